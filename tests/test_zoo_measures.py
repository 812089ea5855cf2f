"""zoo/measures.py: scores by hand, when two of them agree, and those of the shipped cards."""

import dataclasses

import numpy as np
import pytest
from conftest import scores

from keras_dd import data, zoo
from keras_dd.evaluation import Predictions
from keras_dd.zoo import measures


@pytest.mark.parametrize("name", [name for name in zoo.models() if "digits" in name])
def test_shipped_cards_are_true(name):
    found = measures.measure(zoo.load(name), data.load("digits").test, zoo.card(name).data.classes)
    assert measures.agree(found, zoo.card(name).scores)


def test_mirrored_images_are_measured_too():
    model, test = zoo.load("cnn-w16-digits-dd4"), data.load("digits").test
    found = measures.measure(model, test, "0123456789", views=2)
    both = scores(model, test.images) + scores(model, test.images[:, :, ::-1])
    assert found.views == 2 and found.by_views == pytest.approx(np.mean(both.argmax(1) == test.labels))
    assert found.by_views < found.top1, "a mirrored digit is another one"


def test_scores_by_hand():
    ranked = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [2, 1, 0, 3, 4]])
    answers = Predictions(np.array([0, 0, 0, 5]), ranked, np.array([0.95, 0.96, 0.55, 0.51]))
    found = measures.scores(answers, "abcdef")
    assert (found.images, found.top1, found.top5) == (4, 0.5, 0.75)
    assert found.per_class == (pytest.approx(2 / 3), None, None, None, None, 0.0)
    assert [(c.label, c.predicted, c.images) for c in found.confused] == [("a", "b", 1), ("f", "c", 1)]
    # Bins of 1/15: 0.95 and 0.96 in one, both right; 0.55 in one and 0.51 in another, both wrong.
    assert found.calibration_bins == 15
    assert found.calibration_error == pytest.approx((0.05 + 0.04 + 0.55 + 0.51) / 4)


def test_calibration_within_a_bin_is_of_its_means():
    answers = Predictions(np.zeros(4, int), np.array([[0], [0], [0], [1]]), np.full(4, 0.75))
    assert measures.scores(answers, "ab").calibration_error == pytest.approx(0)
    assert measures.scores(answers, "ab").top5 is None


@pytest.mark.parametrize(
    ("images", "more", "agrees"), [(10_000, 5, True), (10_000, 6, False), (360, 1, True), (360, 2, False)]
)
def test_scores_agree_within_rounding(images, more, agrees):
    first = measures.Scores(images, 0.5, None, 2, 0.5, (), (), 0.0, 15)
    second = dataclasses.replace(first, top1=0.5 + more / images)
    assert measures.agree(first, second) is measures.agree(second, first) is agrees
    assert measures.agree(first, dataclasses.replace(first, by_views=0.5 + more / images)) is agrees
    assert not measures.agree(first, dataclasses.replace(first, top5=0.9))
