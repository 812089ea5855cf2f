"""html_campaign.py on an invented comparison: its page is sound and has every number; and in Chromium, its looks."""

import dataclasses
import re

import pytest
from pages import CONTRAST, SHOWN, Reader, press, visiting
from PIL import Image

from keras_dd import clocks, comparison, comparison_report, html_campaign, reproduction_report, verdict
from keras_dd.config import Settings


def compared():
    """Three seeds of three arms."""
    rates = {"decomposed": (0.3, 0.6, 0.75), "tuned": (0.4, 0.65, 0.72), "paper": (0.2, 0.4, 0.5)}
    arms = {
        arm: [[(100.0 * k, y + seed / 100) for k, y in enumerate(accuracies, 1)] for seed in range(3)]
        for arm, accuracies in rates.items()
    }
    curves = {
        clock: {arm: [[(x * factor, y) for x, y in run] for run in runs] for arm, runs in arms.items()}
        for clock, factor in zip(clocks.CLOCKS, (1, 0.25, 0.8, 1e12), strict=True)
    }
    settings = dataclasses.asdict(Settings(dataset="cifar10", model="resnet8"))
    facts = {
        arm: {
            "settings": settings,
            "epochs": {"subnets": 1, "full": 3} if arm == "decomposed" else {"full": 3},
            "learning_rate": 0.005,
            "final_accuracy": [run[-1][1] for run in runs],
            "seconds": [300.0, 310.0, 320.0],
            "stages": {"subnets": [60.0] * 3, "finetune": [240.0, 250.0, 260.0]}
            if arm == "decomposed"
            else {"baseline": [300.0, 310.0, 320.0]},
            "tracing": 12.5,
            "estimated_peak_bytes": dict.fromkeys(("subnet", "full") if arm == "decomposed" else ("full",), 2**28),
            "peak_bytes": {"subnet": 123 * 2**20, "full": 456 * 2**20},
        }
        for arm, runs in arms.items()
    }
    against = {baseline: comparison._against(curves, "decomposed", baseline) for baseline in ("tuned", "paper")}
    said = [verdict.sentence(name, "on one device", each["one-device"]["summary"]) for name, each in against.items()]
    tried = {arm: {"learning_rate": 0.005, "tried": {"0.005": 0.71, "0.01": 0.68}} for arm in ("decomposed", "tuned")}
    found = {"verdict": said, "seeds": 3, "arms": facts, "search": tried, "against": against, "curves": curves}
    found |= {"runs": ["decomposed-seed0"], "remarks": {"tuned-seed1": ["baseline diverged in epoch 2"]}}
    return found | {"command": "keras-dd compare --model resnet8", "environment": {"machine": "two cores"}}


def reproduced(folder):
    Image.new("RGB", (40, 30), "white").save(folder / "curves.png")
    values = [{"name": "a", "published": "7.62 ± 0.15", "measure": "error", "ours": [50.0, 52.0]}]
    found = {"about": "Table 1: hours", "scale": "small", "seeds": 2, "shrunk": ["epochs 4 instead of 160"]}
    found |= {"left_out": [], "values": values, "pictures": [], "command": "keras-dd reproduce table1"}
    return found | {"environment": {"machine": "two cores"}}


def sound(written):
    page = Reader(written)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "form", "base", "a"}
    assert not re.search(r"url\((?!data:)|@import|https?:", written)
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:"), (tag, attributes)
    return page


def test_the_page_of_a_comparison_has_every_number():
    found = compared()
    page = sound(html_campaign.comparison(found))
    tables = [comparison_report.arm_lines(found), comparison_report.stage_lines(found)]
    tables += [comparison_report.seed_lines(found)]
    assert tables[1][1:3] == [("sub-networks", "60.0", "–", "–"), ("fine-tune", "250.0", "–", "–")]
    assert tables[1][3:] == [("full network", "–", "310.0", "310.0"), ("of these, tracing", "12.5", "12.5", "12.5")]
    assert "tuned-seed1: baseline diverged in epoch 2" in page.text
    tables += comparison_report.search_lines(found)
    tables += [comparison_report.clock_lines(found, baseline) for baseline in found["against"]]
    for lines in tables:
        for cell in (cell for line in lines for cell in line):
            assert cell in page.text
    for sentence in (*found["verdict"], *comparison_report.NOTES, comparison_report.pages(found)):
        assert sentence in page.text
    assert "123 / 456 MiB" in page.text and "74.00 %" in page.text  # measured, not estimated; of the last seed
    dots = [attributes for tag, attributes in page.elements if attributes.get("class", "").startswith("dot")]
    assert len(dots) == 4 * 3 * 3 * 3  # clocks, arms, seeds, epochs
    assert "tuned, seed 2, 5.0 minutes: 74.00 %" in page.text
    assert page.text.count("the best is at an edge") == 2  # 0.005, of 0.005 and 0.01


def test_what_comes_from_outside_is_text():
    found = compared()
    found["command"] = "<script>alert(1)</script>${title}"
    assert found["command"] in sound(html_campaign.comparison(found)).text


def test_the_page_of_a_reproduction(tmp_path):
    found = reproduced(tmp_path)
    page = sound(html_campaign.reproduction(found, tmp_path))
    for text in (*reproduction_report.head(found), *reproduction_report.lines(found)[1], "two cores", found["command"]):
        assert text in page.text
    assert [attributes["alt"] for tag, attributes in page.elements if tag == "img"] == ["curves"]


@pytest.mark.parametrize(("width", "scheme"), [(1000, "dark"), (360, "light")])
def test_in_chromium(width, scheme, browser, tmp_path):
    file = tmp_path / "comparison.html"
    file.write_text(html_campaign.comparison(compared()), encoding="utf-8")
    js = visiting(browser, file, width, scheme)
    assert js("document.documentElement.scrollWidth") <= width  # a scroll bar takes some
    assert js(CONTRAST) == []
    assert js(SHOWN) == ["clock one-device"]
    press(browser, "TAB", "TAB", "ARROW_RIGHT")
    assert js(SHOWN) == ["clock linked"]
