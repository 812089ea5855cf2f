"""Models of the zoo for other programs: what is exported computes the same, and is not kept otherwise."""

import dataclasses

import numpy as np
import pytest
from conftest import scores
from zoo_support import command

from keras_dd import data, models, zoo
from keras_dd.config import UserError
from keras_dd.zoo import exporting

NAME = "cnn-w16-digits-dd4"


@pytest.fixture(scope="module")
def loaded():
    return zoo.load(NAME)


@pytest.fixture(scope="module")
def test_split():
    return data.load("digits").test


@pytest.mark.parametrize(
    ("to", "package", "name"),
    [
        ("savedmodel", "tensorflow", NAME),
        ("onnx", "tf2onnx", f"{NAME}.onnx"),
        ("litert", "ai_edge_litert", f"{NAME}.tflite"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of the converters' own packages
def test_export(loaded, test_split, tmp_path, capsys, to, package, name):
    pytest.importorskip(package)
    code, lines, _ = command(capsys, "export", NAME, "--to", to, "--output", tmp_path)
    assert code == 0 and lines[-1].startswith(f"{tmp_path / name}: its scores for 32 test images are those")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    images = test_split.images[40:45].astype("float32")  # others, and another number of them
    found = exporting.FORMATS[to][3](str(tmp_path / name), images)
    np.testing.assert_allclose(found, scores(loaded, images), atol=1e-3)
    code, _, [error] = command(capsys, "export", NAME, "--to", to, "--output", tmp_path)
    assert code == 2 and "is there already" in error


@pytest.mark.parametrize("to", exporting.FORMATS)
@pytest.mark.parametrize("network", ["resnet8", "speednet"])
@pytest.mark.filterwarnings("ignore")
def test_every_kind_of_layer_of_the_zoo_is_exported(rng, tmp_path, network, to):
    """Residual blocks, and the exact GELU of a hundred classes."""
    for package in exporting.FORMATS[to][2]:
        pytest.importorskip(package)
    images = rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    path, difference = exporting.export(models.MODELS[network](width=4, classes=100), images, to, tmp_path / "it")
    assert path.exists() and difference < 1e-3


def test_what_a_converter_cannot_do_is_one_line(loaded, test_split, tmp_path, monkeypatch):
    def run(path, images):
        raise RuntimeError("Select TensorFlow op(s)\nNode number 7 (FlexErf) failed to prepare")

    monkeypatch.setitem(exporting.FORMATS, "savedmodel", (*exporting.FORMATS["savedmodel"][:3], run))
    with pytest.raises(UserError, match=r"cannot be exported to savedmodel \(RuntimeError: Node number 7 \(FlexErf\)"):
        exporting.export(loaded, test_split.images[:4].astype("float32"), "savedmodel", tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_computes_something_else_is_not_kept(loaded, test_split, tmp_path, monkeypatch):
    *how, run = exporting.FORMATS["savedmodel"]
    off = (*how, lambda path, images: run(path, images) + 0.01)  # as a converter with a bug would
    monkeypatch.setitem(exporting.FORMATS, "savedmodel", off)
    images = test_split.images[:4].astype("float32")
    with pytest.raises(UserError, match="gives scores that differ by up to .* and it was not kept"):
        exporting.export(loaded, images, "savedmodel", tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_is_not_installed(loaded, tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.FORMATS, "onnx", ("onnx", ".onnx", ("no_such_package",), None))
    with pytest.raises(UserError, match=r"--to onnx takes no_such_package, .* pip install 'keras-dd\[onnx\]'"):
        exporting.export(loaded, np.zeros((1, 32, 32, 1), "float32"), "onnx", tmp_path / "it")


def test_noise_stands_for_images_that_are_not_at_hand():
    card = zoo.card(NAME)
    images, what = exporting.images_for(card)
    assert what == "test images" and images.shape == (32, 32, 32, 1)
    elsewhere = dataclasses.replace(card, data=dataclasses.replace(card.data, name="cifar10"))
    images, what = exporting.images_for(elsewhere)
    assert what == "images of noise" and images.shape == (32, 32, 32, 1) and 100 < images.mean() < 155
