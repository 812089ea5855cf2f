"""feeding.py and `keras-dd feed`: what is measured is written; how much it is, is not tested on a shared machine."""

import json

import pytest
from PIL import Image

from keras_dd import data
from keras_dd.apps.main import main


def fed(*options):
    with pytest.raises(SystemExit) as end:
        main(["feed", *map(str, options)])
    return end.value.code or 0


def test_feed_writes_what_it_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data.stream, "HELD_BYTES", 0)
    for colour in ("red", "blue"):
        (tmp_path / "photos" / colour).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (30, 20), colour).save(tmp_path / "photos" / colour / f"{number}.jpg")
    output = tmp_path / "feed.json"
    small = ("--dataset", tmp_path / "photos", "--image-size", 12, "--batch-size", 4, "--steps", 2, "--rounds", 3)
    assert fed(*small, "--output", output) == 0
    written, printed = json.loads(output.read_text()), capsys.readouterr().out
    assert (written["images"], written["image_shape"], written["is_streamed"]) == (16, [12, 12, 3], True)
    assert len(written["images_per_second"]) == 3 and min(written["images_per_second"]) > 0
    assert 50 < written["peak_rss_mib"]["loaded"] <= written["peak_rss_mib"]["fed"] < 50_000
    assert written["command"].startswith("keras-dd feed") and written["environment"]["cores"]
    assert "photos: 16 training images 12x12x3, streamed" in printed and "images/s (median of 3" in printed


@pytest.mark.parametrize(("options", "said"), [("--rounds 0", "rounds 0 is not"), ("--batch-size 5000", "more than")])
def test_feed_refuses(options, said, capsys):
    assert fed(*options.split()) == 2
    assert said in capsys.readouterr().err
