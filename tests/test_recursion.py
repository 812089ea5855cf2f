"""recursion.py: networks of more layers in a row than Python lets functions call one another."""

import sys

import keras
import numpy as np
import pytest

from keras_dd import compose, decompose
from keras_dd.recursion import deep
from keras_dd.userfiles import load_model

LAYERS = 200


@pytest.fixture
def limit():
    """A lower one than Python's 1,000: as many layers would take a while."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(LAYERS)
    yield LAYERS
    sys.setrecursionlimit(before)


@deep()
def chain():
    x = inputs = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(2, 1)(x)
    for _ in range(LAYERS):
        x = -x
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_deep_network_is_built_taken_apart_composed_saved_and_loaded(limit, tmp_path):
    model = chain()
    composed = compose(decompose(model, 1), model)
    composed.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert all(map(np.array_equal, loaded.get_weights(), composed.get_weights()))
    assert sys.getrecursionlimit() == limit


def test_without_it_there_is_an_error(limit):
    x = inputs = keras.Input((1,))
    for _ in range(LAYERS):
        x = -x
    with pytest.raises(RecursionError):
        keras.Model(inputs, x)


def test_the_limit_is_put_back_after_an_error():
    limit = sys.getrecursionlimit()
    with pytest.raises(KeyError), deep():
        assert sys.getrecursionlimit() > limit
        raise KeyError
    assert sys.getrecursionlimit() == limit
