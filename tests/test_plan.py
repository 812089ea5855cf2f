"""plan.py: what is printed, and that nothing else happens."""

import re

import keras
import numpy as np
import pytest

from keras_dd import data, plan
from keras_dd.config import Settings, UserError


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path, monkeypatch):
    def fit(*args, **kwargs):
        raise AssertionError("a plan trains nothing")

    monkeypatch.setattr(keras.Model, "fit", fit)
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cifar(monkeypatch):
    """Images of the size and number of CIFAR-10's, all black."""
    train = data.Split(np.zeros((50_000, 32, 32, 3), np.uint8), np.zeros(50_000, np.int32))
    test = data.Split(train.images[:10_000], train.labels[:10_000])
    dataset = data.Dataset("cifar10", train, test, None, tuple("abcdefghij"))
    monkeypatch.setattr(data, "load", lambda *args: dataset)


def test_the_paper_on_cifar(cifar):
    text = plan.plan(Settings(dataset="cifar10", model="resnet20", width=16, recipe="paper", workers=1))
    assert "cifar10: 50,000 training images 32x32x3, 10 classes, accuracy on 10,000 test images" in text
    # He et al.'s 0.27 M, and 2,752 for projections and their batch norm; moving statistics count too.
    [full] = re.findall(r"resnet20: ([\d,]+) parameters, ([\d.]+) M MACs", text)
    assert 270_000 < int(full[0].replace(",", "")) < 277_000
    assert 40.5 < float(full[1]) < 41.5
    [part] = re.findall(r"4 sub-networks of ([\d,]+) parameters, ([\d.]+) M MACs, each on a box of 20x20 px", text)
    assert float(full[1]) / 16 * (20 / 32) ** 2 < float(part[1]) < float(full[1]) / 14 * (20 / 32) ** 2
    assert re.findall(r"rows (\d+)-(\d+), columns (\d+)-(\d+), on CPU:0", text) == [
        ("0", "19", "0", "19"),
        ("0", "19", "12", "31"),
        ("12", "31", "0", "19"),
        ("12", "31", "12", "31"),
    ]
    stages = re.findall(r"(\d+) epochs x (\d+) steps, learning rate (\S+) \((\S+)\), (\S+) FLOPs", text)
    [subnets, finetune] = stages
    assert subnets[:4] == ("120", "390", "0.001", "step") and finetune[:4] == ("80", "390", "0.0001", "step")
    images = 80 * 390 * 128
    assert float(finetune[4]) == pytest.approx(6 * float(full[1]) * 1e6 * images, rel=0.1)
    assert float(subnets[4]) == pytest.approx(4 * 6 * float(part[1]) * 1e6 * images * 120 / 80, rel=0.1)
    one, all_at_once, full = (int(n.replace(",", "")) for n in re.findall(r" ([\d,]+) MiB", text))
    assert one < all_at_once < 4 * one  # what the process needs is counted once
    assert 300 < full < 700
    assert [line.split("  ")[1] for line in text.splitlines() if "MiB" in line] == [
        "one sub-network",
        "all 4 at once",
        "full network",
    ]
    assert max(map(len, text.splitlines())) <= 120


def test_conventional_training(cifar):
    settings = Settings(dataset="cifar10", model="resnet8", method="conventional", recipe="paper", train_images=5000)
    text = plan.plan(settings)
    assert "5,000 training images" in text and "160 epochs x 39 steps, learning rate 0.001 (step)" in text
    assert "sub-network" not in text and "rows" not in text and text.count("MiB") == 1


def test_eight_parts(cifar):
    text = plan.plan(Settings(dataset="cifar10", model="resnet8", width=16, parts=8, grid=(2, 4), epochs=3, workers=1))
    assert text.count("on CPU:0") == 8
    assert "  3 epochs x" in text


@pytest.mark.parametrize(("dtype", "told"), [("float32", "float32"), ("bfloat16", "bfloat16 and float32")])
def test_what_numbers_are_computed_in_is_told(dtype, told):
    text = plan.plan(Settings(dtype=dtype))
    assert re.findall(r"M MACs an image, computed in (.*)", text) == [told]


def test_the_default(capsys):
    text = plan.plan(Settings())
    assert "digits: 1,437 training images 32x32x1" in text and "4 sub-networks" in text
    assert "rows 16-31, columns 0-15" in text
    assert "nothing was trained" in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong", [{"parts": 3, "overlap": 0}, {"batch_size": 5000}, {"model": "resnet9"}, {"crop": 32}]
)
def test_what_would_not_run_is_not_planned(wrong):
    with pytest.raises(UserError):
        plan.plan(Settings(**wrong))
