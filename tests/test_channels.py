"""channels.py: the walk deals out the channels of every layer."""

import keras
import numpy as np
from bodies import SIDE, identity_shortcut, merging, network, one_by_one
from keras import layers

from keras_dd.boxes import boxes
from keras_dd.channels import walk
from keras_dd.shares import Channels


def test_the_parts_of_every_layer_share_out_its_channels():
    """Over a whole ResNet-like network: hidden channels belong to one part each, image and classes to all."""
    model = network(lambda x: identity_shortcut(merging(x)))
    for visit in walk(model, boxes((SIDE, SIDE, 3), 4)):
        owned = [set(visit.output.channels.part(k).tolist()) for k in range(4)]
        everything = set(range(visit.output.channels.length))
        if visit.name == "head":
            assert owned == [everything] * 4
        elif isinstance(visit.output.channels, Channels):
            assert set().union(*owned) == everything and sum(map(len, owned)) == len(everything)


def test_flatten_finds_the_rows_of_a_box():
    """Row (i, j, c) of a Flatten is number (i * width + j) * channels + c."""
    model = network(one_by_one(layers.MaxPooling2D(2), layers.Flatten(name="flat")), width=8)
    visit = next(v for v in walk(model, boxes((SIDE, SIDE, 3), 4, overlap=0)) if v.name == "flat")
    numbers = np.arange(4 * 4 * 8).reshape(4, 4, 8)
    for k, (top, left) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        mine = numbers[top : top + 2, left : left + 2, 2 * k : 2 * k + 2]
        np.testing.assert_array_equal(visit.output.channels.part(k), mine.ravel())


def test_a_network_of_keras_applications_can_be_walked():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10)
    visits = walk(model, boxes((64, 64, 3), 4))
    assert len(visits) == len(model.layers) - 1
    assert all(visit.output.channels.parts() for visit in visits)
