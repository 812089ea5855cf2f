"""cost.py: multiply-accumulates and memory, against numbers counted by hand."""

import keras
import pytest
from keras import layers

from keras_dd import cost
from keras_dd.models import cnn, resnet


def chain(*hidden):
    return keras.Sequential([keras.Input((8, 8, 6)), *hidden])


def called_twice():
    layer = layers.Conv2D(6, 3, padding="same")
    image = keras.Input((8, 8, 6))
    return keras.Model(image, layer(keras.ops.relu(layer(image))))


def nested():
    return chain(chain(layers.Conv2D(4, 3)), layers.Flatten(), layers.Dense(5))


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (chain(layers.Conv2D(4, 3)), 6 * 6 * 9 * 6 * 4),
        (chain(layers.Conv2D(4, 3, padding="same", use_bias=False)), 8 * 8 * 9 * 6 * 4),
        (chain(layers.Conv2D(4, (3, 5), strides=2, padding="same")), 4 * 4 * 15 * 6 * 4),
        (chain(layers.Conv2D(4, 3, groups=2)), 6 * 6 * 9 * 3 * 4),
        (chain(layers.DepthwiseConv2D(3)), 6 * 6 * 9 * 6),
        (chain(layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2)), 3 * 3 * 9 * 12),
        (chain(layers.SeparableConv2D(4, 3)), 6 * 6 * (9 * 6 + 6 * 4)),
        (chain(layers.Dense(5)), 8 * 8 * 6 * 5),
        (chain(layers.Flatten(), layers.Dense(5)), 8 * 8 * 6 * 5),
        (chain(layers.BatchNormalization(), layers.PReLU(), layers.MaxPooling2D(2)), 0),
        (called_twice(), 2 * 8 * 8 * 9 * 6 * 6),
        (nested(), 6 * 6 * 9 * 6 * 4 + 6 * 6 * 4 * 5),
        (cnn(), 32 * 32 * 75 * 16 + 16 * 16 * 400 * 32 + 2048 * 128 + 128 * 10),
    ],
)
def test_macs_are_those_counted_by_hand(model, macs):
    assert cost.macs(model) == macs


def test_resnet20_has_the_macs_that_are_published():
    """40.8 million, with identity shortcuts."""
    assert 40.5e6 < cost.macs(resnet(20, 16, shortcut="identity")) < 41e6


def test_a_sub_network_of_a_quarter_of_the_width_costs_a_sixteenth():
    full, part = (cost.macs(resnet(8, width)) for width in (64, 16))
    assert 15 < full / part < 16


def test_training_is_three_passes_of_two_flops():
    assert cost.training_flops(chain(layers.Flatten(), layers.Dense(5)), images=10) == 10 * 3 * 2 * 8 * 8 * 6 * 5


def test_a_training_step_keeps_weights_and_outputs():
    model = chain(layers.Flatten(), layers.Dense(5))
    weights, outputs = 8 * 8 * 6 * 5 + 5, 8 * 8 * 6 + 5
    assert cost.training_bytes(model, batch_size=3) == 4 * (4 * weights + 3 * outputs)
