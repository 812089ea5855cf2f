"""confusion.py on answers that are counted by hand."""

import json

import numpy as np
import pytest

from keras_dd import confusion
from keras_dd.evaluation import Predictions

CLASSES = ("cat", "dog", "bird", "unicorn")
#          0    1    2    3    4    5    6    7
LABELS = [0, 0, 0, 1, 1, 2, 2, 2]
GUESSES = [0, 1, 1, 1, 2, 2, 2, 2]
SURE = [0.9, 0.6, 0.8, 0.5, 0.99, 0.7, 0.6, 0.5]


@pytest.fixture
def counted():
    ranked = np.array([GUESSES, np.zeros(8, int)], np.int32).T
    return confusion.summary(Predictions(np.array(LABELS, np.int32), ranked, np.array(SURE, np.float32)), CLASSES)


def test_each_image_is_in_the_matrix_once(counted):
    assert counted["matrix"] == [[1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 3, 0], [0, 0, 0, 0]]


def test_the_worst_classes_are_those_that_have_images(counted):
    assert [(each["label"], each["images"]) for each in counted["worst"]] == [(0, 3), (1, 2), (2, 3)]
    assert [each["accuracy"] for each in counted["worst"]] == pytest.approx([1 / 3, 1 / 2, 1])


def test_pairs_and_examples(counted):
    assert counted["confused"] == [
        {"label": 0, "predicted": 1, "images": 2},
        {"label": 1, "predicted": 2, "images": 1},
    ]
    assert [each["index"] for each in counted["wrong"]] == [4, 2, 1]  # the most confident first
    assert counted["wrong"][0] == {"index": 4, "label": 1, "predicted": 2, "confidence": pytest.approx(0.99)}
    assert [each["index"] for each in counted["right"]] == [0, 3, 5, 6, 7]
    assert json.loads(json.dumps(counted)) == counted


def test_the_right_examples_are_of_different_classes():
    labels = np.repeat([0, 1, 2], [50, 3, 50])
    found = confusion.summary(Predictions(labels, labels[:, None], np.ones(103)), CLASSES)
    assert [each["label"] for each in found["right"]] == [0] * 5 + [1] * 3 + [2] * 4
    assert found["wrong"] == found["confused"] == []
    assert set(confusion.tables(found)) == {"worst", "matrix"}


def test_a_thousand_classes_have_no_matrix_and_nan_no_confidence():
    labels = np.arange(1000)
    found = confusion.summary(Predictions(labels, np.zeros((1000, 1), int), np.full(1000, np.nan)), ["a"] * 1000)
    assert found["matrix"] is None and len(found["worst"]) == len(found["confused"]) == 10
    assert {each["confidence"] for each in found["wrong"]} == {0.0}


def test_tables_have_names_and_numbers(counted):
    tables = confusion.tables(counted)
    assert tables["worst"][1] == ("cat", "3", "33.3 %")
    assert tables["confused"][1] == ("cat", "dog", "2")
    assert tables["matrix"][:2] == [("is, taken for", *CLASSES), ("cat", "1", "2", "0", "0")]
