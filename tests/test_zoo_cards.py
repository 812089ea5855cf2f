"""zoo/cards.py: what a card must have, and the cards that come with the package."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from keras_dd.config import UserError
from keras_dd.zoo import card, cards, models, verifying
from keras_dd.zoo.rights import DATA, rights

CONTENT = {
    "name": "cnn-w4-pets",
    "architecture": "cnn",
    "arguments": {"width": 4, "classes": 2, "image_shape": [16, 16, 1]},
    "parameters": 1000,
    "macs": 20_000,
    "weights": {"bytes": 2500, "sha256": "0" * 64, "dtype": "float16", "url": None},
    "data": {
        "name": "pets",
        "classes": ["cat", "dog"],
        "image_shape": [16, 16, 1],
        "train_images": 100,
        "test_images": 50,
        "mark": "0123456789abcdef",
        "notes": [],
        "licence": "CC0",
        "citation": "nobody",
    },
    "training": {
        "parts": 4,
        "command": "keras-dd fit",
        "commit": None,
        "seeds": [0],
        "seconds": 12.5,
        "machine": {"cores": 2},
        "settings": {"model": "cnn"},
    },
    "scores": {
        "images": 50,
        "top1": 0.9,
        "top5": None,
        "views": 2,
        "by_views": 0.92,
        "per_class": [1, None],
        "confused": [{"label": "cat", "predicted": "dog", "images": 5}],
        "calibration_error": 0.05,
        "calibration_bins": 15,
    },
    "twin": {"accuracy": 0.8, "seconds": 20, "command": "keras-dd fit --method conventional"},
    "licence": "Apache-2.0",
}


def changed(*keys, to):
    """CONTENT with another value at a place; without the place if that is ..., as `del` would have it."""
    content = copy.deepcopy(CONTENT)
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return content


def test_a_card_comes_back_from_its_file(tmp_path):
    path = tmp_path / "cnn-w4-pets.json"
    found = cards.checked(CONTENT)
    path.write_text(cards.text(found), encoding="utf-8")
    assert cards.read(path) == card(str(path)) == found
    assert json.loads(path.read_text()) == CONTENT
    assert found.scores.confused[0].predicted == "dog" and found.twin.accuracy == 0.8
    assert cards.weights_path(path) == tmp_path / "cnn-w4-pets.npz"


@pytest.mark.parametrize(
    ("keys", "to", "says"),
    [
        (["macs"], ..., "lacks the field 'macs'"),
        (["twin", "command"], ..., "twin lacks the field 'command'"),
        (["pickle"], "x", "has an unknown field 'pickle'"),
        (["weights"], [], "weights is []: it must be an object with bytes, sha256"),
        (["parameters"], "many", "parameters is 'many': it must be a whole number"),
        (["parameters"], True, "parameters is True"),
        (["parameters"], -1, "parameters is -1"),
        (["parameters"], 1.5, "parameters is 1.5"),
        (["parameters"], None, "parameters is None"),
        (["training", "seconds"], float("nan"), "seconds is nan: it must be a number"),
        (["training", "seconds"], float("inf"), "seconds is inf"),
        (["training", "seeds"], [], "training.seeds must not be empty"),
        (["training", "seeds"], 0, "seeds is 0: it must be a list"),
        (["training", "machine"], "fast", "machine is 'fast': it must be an object"),
        (["training", "command"], "", "command is '': it must be text"),
        (["data", "classes"], ["cat"], "data.classes must be two or more"),
        (["data", "classes"], ["cat", 2], "classes is 2: it must be text"),
        (["data", "image_shape"], [16, 16], "data.image_shape must be height, width, channels"),
        (["scores", "top1"], 1.1, "top1 must be a fraction"),
        (["scores", "top5"], 2, "top5 must be a fraction"),
        (["scores", "by_views"], 1.5, "by_views must be a fraction"),
        (["scores", "by_views"], None, "scores.by_views is for two views or more"),
        (["scores", "views"], 3, "scores.views must be one of 1, 2, 6"),
        (["scores", "per_class"], [1], "scores.per_class must have one number a class"),
        (["scores", "per_class"], [1, 2], "per_class must be a fraction"),
        (["scores", "images"], 49, "scores.images must be data.test_images"),
        (["twin", "accuracy"], 80, "twin must be a fraction"),
        (["weights", "sha256"], "0" * 63 + "G", "weights.sha256 must be 64 hexadecimal digits"),
        (["weights", "dtype"], "object", "weights.dtype must be float16 or float32"),
        (["weights", "url"], "file:///etc/passwd", "weights.url must begin with https://"),
        (["name"], "../up", "name must be lower-case letters"),
    ],
)
def test_a_bad_card_is_refused(keys, to, says):
    with pytest.raises(UserError) as refused:
        cards.checked(changed(*keys, to=to))
    assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is no JSON"), ("[" * 100_000, "is no JSON"), ("[]", "must be an object with name")]
)
def test_a_file_that_is_no_card(tmp_path, text, says):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=says):
        card(tmp_path / "a.json")


def test_names(tmp_path):
    with pytest.raises(UserError, match="unknown model of the zoo 'nonsense'"):
        card("nonsense")
    with pytest.raises(UserError, match="cannot be read .No such file"):
        card("nowhere/mine.json")
    (tmp_path / "other.json").write_text(json.dumps(CONTENT))
    with pytest.raises(UserError, match="is that of 'cnn-w4-pets': name the file cnn-w4-pets.json"):
        card(tmp_path / "other.json")


def test_what_comes_with_the_package():
    assert "cnn-w16-digits-dd4" in models()
    found = [card(name) for name in models()]
    assert sum(each.weights.bytes for each in found if not each.weights.url) < 40e6
    for each in found:
        state, what = verifying.verify(each.name)
        assert state == ("not downloaded" if each.weights.url else "sound"), what
        assert each.weights.url or each.weights.bytes <= cards.LARGEST_WEIGHTS
        assert (each.data.licence, each.data.citation) == DATA[each.data.name]
        assert each.training.commit and not each.training.commit.endswith("-dirty")
        assert str(Path.home()) not in cards.text(each)
        right = sum(a * n for a, n in zip(each.scores.per_class, images_of(each), strict=True))
        assert right / each.scores.images == pytest.approx(each.scores.top1)


def images_of(each):
    """Test images of each class: those of the digits as counted, all others have as many of each."""
    if each.data.name == "digits":
        from keras_dd import data

        labels = data.load("digits").test.labels
        return [int((labels == label).sum()) for label in range(10)]
    return [each.data.test_images / len(each.data.classes)] * len(each.data.classes)


def test_settings_of_a_card_hold_no_folders_of_a_machine():
    for name in models():
        assert not {"data_dir", "run_dir"} & card(name).training.settings.keys()


def test_rights():
    assert rights("cifar100", None, None) == DATA["cifar10"]
    assert rights("mine", "CC0", "me, 2026") == ("CC0", "me, 2026")
    with pytest.raises(UserError, match="licence and citation of data set 'mine' are not known here: say them"):
        rights("mine", "CC0", None)


def test_a_card_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cards.checked(CONTENT).name = "another"
