"""bench.py and `keras-dd bench`: each measurement runs and is written as the README's table reads it.

What it measures is not tested: tests share the machine with others.
"""

import json

import pytest

from keras_dd.apps.main import main


def test_bench_writes_what_it_measured(tmp_path, capsys):
    output = tmp_path / "bench.json"
    small = "--model cnn --width 4 --parts 2 --batch-size 16 --steps 1 --rounds 2 --output"
    with pytest.raises(SystemExit) as end:
        main(["bench", *small.split(), str(output)])
    assert not end.value.code
    written, printed = json.loads(output.read_text()), capsys.readouterr().out
    assert len(written["results"]) == 4 and written["environment"]["cores"]
    for result in written["results"]:
        assert result["what"] in printed
        pairs = zip(result["first"], result["second"], result["ratio"], strict=True)
        assert [a / b for a, b, _ in pairs] == pytest.approx(result["ratio"]) and len(result["ratio"]) == 2
        assert min(result["ratio"]) <= result["median_ratio"] <= max(result["ratio"])


@pytest.mark.parametrize(("options", "said"), [("--rounds 0", "rounds is 0"), ("--model cnm", "did you mean 'cnn'")])
def test_bench_refuses(options, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["bench", *options.split()])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
