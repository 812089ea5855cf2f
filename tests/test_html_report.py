"""html_report.py on invented runs: the page is whole and safe; and in Chromium: the clocks, the keyboard, a phone."""

import base64
import re

import numpy as np
import pytest
import test_report
from pages import CONTRAST, SHOWN, Reader, press, visiting

from keras_dd import clocks, confusion, data, html_report
from keras_dd import report as reporting
from keras_dd.evaluation import Predictions

CASES = test_report.CASES
HOSTILE = "<script>document.title='PWNED'</script>\"><img src=x onerror=\"document.title='PWNED'\">'${verdict}"


def finished(classes=10, side=8, name="digits", channels=1):
    """A report with everything on it, its history, and the split that it was evaluated on."""
    rng = np.random.default_rng(0)
    report, history = test_report.sample(side=side, overlap=2, name=name, chance=1 / classes)
    report["clocks"] = clocks.summary(report, history)
    labels = np.arange(200) % classes
    guesses = np.where(rng.random(200) < 0.8, labels, (labels + 1) % classes)
    predictions = Predictions(labels, guesses[:, None], rng.uniform(0.3, 1, 200))
    report["predictions"] = confusion.summary(predictions, [f"class {label}" for label in range(classes)])
    return report, history, data.Split(rng.integers(0, 256, (200, side, side, channels), np.uint8), labels)


def conventional():
    """A run without sub-networks."""
    report, history = test_report.sample()
    for key in ("subnet_accuracy", "composed_accuracy", "recalibrated_accuracy"):
        report[key] = None
    report |= {"seconds": {"baseline": 300.0, "total": 310.0}, "boxes": []}
    return report, [row | {"stage": "baseline"} for row in history if row["stage"] == "finetune"]


def hundred():
    return finished(classes=100, channels=3)


PAGES = CASES | {"conventional": conventional, "finished": finished, "hundred": hundred}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_the_page_is_sound_and_has_every_number(make):
    report, history, *split = make()
    report["clocks"] = clocks.summary(report, history)
    written = html_report.page(report, history, *split)
    page = Reader(written)
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        sources = [attributes.get(name, "data:") for name in ("src", "href", "xlink:href")]
        assert all(source.startswith("data:") for source in sources), (tag, attributes)
    assert not re.search(r"url\((?!data:)|@import|https?:", written)
    for number in test_report.numbers(report):
        assert number in page.text
    assert page.text.count("None") == 1  # the environment's git state
    assert html_report.verdict(report, history) in page.text


def test_the_verdict_is_honest():
    report, history, _ = finished()
    said = html_report.verdict(report, history)
    assert said.startswith("4 sub-networks of ") and "fine-tuning brought it to" in said and "6.7 minutes" in said
    assert "less than the best of its sub-networks" in html_report.verdict(report | {"final_accuracy": 0.2}, history)
    assert "not fine-tuned" in html_report.verdict(report, history[:-8])
    report, history = CASES["interrupted"]()
    said = html_report.verdict(report, history)
    assert said.startswith("Interrupted in the stage 'fine-tune', after 7.0 minutes. Sub-networks of 60.0")
    assert said.endswith("had composed a network of 60.23 % on 10,000 test images.")
    stopped = html_report.verdict(*CASES["stopped_early"]())
    assert stopped.startswith("Interrupted in the stage 'sub-networks', after 25.0 seconds. Its sub-networks had reach")
    said = html_report.verdict(report, [*history, history[-1] | {"stage": "finetune", "test_accuracy": 0.66}])
    assert said.endswith("The full network had reached 66.00 % on 10,000 test images.")
    nothing = report | {"seconds": {}, "composed_accuracy": None}
    assert html_report.verdict(nothing, []).endswith("after 0.0 seconds.")


def test_pictures_are_those_of_the_split():
    report, history, split = finished(channels=3)
    page = Reader(html_report.page(report, history, split))
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    wrong = report["predictions"]["wrong"]
    assert len(sources) == len(wrong) + len(report["predictions"]["right"])
    with open_png(sources[0]) as image:
        assert np.array_equal(np.asarray(image), split.images[wrong[0]["index"]])


def open_png(source):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))


def test_images_that_are_no_pictures_are_left_out():
    report, history, split = finished(channels=2)
    assert "<img" not in html_report.page(report, history, split)


def hostile():
    """Every text that comes from a user says something else in HTML, in an attribute, and in a template."""
    report, history, split = finished()
    report["predictions"]["classes"] = [f"{HOSTILE}{k}" for k in range(10)]
    report["command"] = report["dataset"]["name"] = report["settings"]["model"] = HOSTILE
    report["dataset"]["notes"] = [HOSTILE]
    report["environment"]["machine"] = report["settings"]["run_dir"] = HOSTILE
    return report, history, split


def test_names_are_text_and_nothing_else():
    report, history, split = hostile()
    page = Reader(html_report.page(report, history, split))
    innocent = Reader(html_report.page(*finished()))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in innocent.elements} | {"ul", "li"}
    assert {name for _, given in page.elements for name in given} == {
        name for _, given in innocent.elements for name in given
    }
    assert page.text.count(HOSTILE) > 20
    markdown = reporting.markdown(report, history)
    assert f"| {HOSTILE}" not in markdown and "| \\<script>" in markdown


def test_markdown_and_json_have_the_mistakes(tmp_path):
    report, history, _ = finished(classes=100)
    reporting.write(tmp_path, report, history)
    text = (tmp_path / "report.md").read_text()
    worst = report["predictions"]["worst"][0]
    assert f"| class {worst['label']} | {worst['images']} | {100 * worst['accuracy']:.1f} % |" in text
    assert "K devices, no link" in text and "taken for" in text and "is, taken for" not in text
    written = (tmp_path / "report.json").read_text()
    assert len(written.splitlines()) < 700  # the matrix of 100 classes has a line each


@pytest.fixture
def visit(browser, tmp_path):
    """Open the page of a run, as `visiting` does."""

    def visit(report, history, split, width=1000, scheme="light"):
        html_report.write(tmp_path, report, history, split)
        return visiting(browser, tmp_path / "report.html", width, scheme)

    return visit


def test_clocks_are_switched_by_the_keyboard(browser, visit):
    js = visit(*finished())
    assert js(SHOWN) == ["clock one-device"]
    press(browser, "TAB", "TAB")  # the colours, the clocks
    assert js("document.activeElement.id") == "clock-one-device"
    outline = "getComputedStyle(document.activeElement.parentElement).outlineWidth"
    assert js(outline) == "3px"
    for clock in [*clocks.CLOCKS][1:]:
        press(browser, "ARROW_RIGHT")
        assert js(SHOWN) == [f"clock {clock}"]
    press(browser, "ARROW_RIGHT")
    assert js(SHOWN) == ["clock one-device"]


def test_colours_are_those_of_the_system_or_chosen(browser, visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert visit(*finished(), scheme="light")(ground) == "rgb(255, 255, 255)"
    js = visit(*finished(), scheme="dark")
    assert js(ground) == "rgb(20, 23, 26)"
    press(browser, "TAB", "ARROW_RIGHT")
    assert js(ground) == "rgb(255, 255, 255)"
    press(browser, "ARROW_RIGHT")
    assert js(ground) == "rgb(20, 23, 26)"


@pytest.mark.parametrize("classes", [10, 100])
def test_a_phone_scrolls_down_only(classes, visit):
    js = visit(*finished(classes, channels=3), width=360)
    assert js("innerWidth") == 360
    assert js("document.documentElement.scrollWidth") == 360
    small = "[...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12)"
    assert js(f"{small}.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme, visit):
    js = visit(*finished(), scheme=scheme)
    assert js(CONTRAST) == []


def test_chromium_shows_hostile_names_and_fetches_nothing(browser, visit):
    js = visit(*hostile())
    assert "PWNED" in js("document.body.innerText") and js("document.title") != "PWNED"
    assert js("document.scripts.length") == 0
    assert js("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []
