"""cost.py: multiply-accumulates and memory, against numbers counted by hand."""

import json

import keras
import pytest
from keras import layers
from support import script

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


def kept(model, largest=8 * 8 * 6):
    """Numbers that one more image of a batch costs, without the two gradients of the size of the largest tensor."""
    one, two = (cost.training_bytes([model], batch_size) for batch_size in (1, 2))
    return (two - one) / 4 - 2 * largest


def shared_input():
    image = keras.Input((8, 8, 6))
    x = layers.ZeroPadding2D(1)(image)
    return keras.Model(image, layers.Add()([layers.Conv2D(4, 3)(x), layers.Conv2D(4, 3)(x)]))


@pytest.mark.parametrize(
    ("model", "numbers"),
    [
        (chain(layers.Flatten(), layers.Dense(5)), 8 * 8 * 6),
        (chain(layers.Conv2D(4, 3)), 8 * 8 * 6),
        (chain(layers.Conv2D(4, 3, activation="relu")), 8 * 8 * 6 + 6 * 6 * 4),
        (chain(layers.Conv2D(4, 3), layers.ReLU(), layers.Conv2D(5, 1)), 8 * 8 * 6 + 6 * 6 * 4),  # the ReLU's once
        (chain(layers.Conv2D(4, 3), layers.Activation("relu"), layers.Conv2D(5, 1)), 8 * 8 * 6 + 6 * 6 * 4),
        (chain(layers.Conv2D(4, 3), layers.Activation("gelu"), layers.Conv2D(5, 1)), 8 * 8 * 6 + 2 * 6 * 6 * 4),
        (chain(layers.Rescaling(0.5), layers.BatchNormalization(), layers.ReLU()), 2 * 8 * 8 * 6),
        (chain(layers.MaxPooling2D(2)), 8 * 8 * 6 + 4 * 4 * 6),
        (chain(layers.AveragePooling2D(2), layers.GlobalAveragePooling2D()), 0),
    ],
)
def test_the_backward_pass_reads_what_was_counted_by_hand(model, numbers):
    assert kept(model) == numbers


def test_what_two_layers_read_is_kept_once():
    assert kept(shared_input(), largest=10 * 10 * 6) == 10 * 10 * 6


def test_bfloat16_keeps_half(bfloat16):
    model = chain(layers.Rescaling(0.5), layers.Conv2D(4, 3))  # but its images come in float32
    assert kept(model) == 8 * 8 * 6 / 2


def test_networks_at_once_share_the_process_and_hold_most_of_their_tensors_at_different_times():
    model = chain(layers.Flatten(), layers.Dense(5))
    one, two = (cost.training_bytes([model] * count, 3) - cost.BYTES_OF_A_PROCESS for count in (1, 2))
    weights, outputs = 8 * 8 * 6 * 5 + 5, 8 * 8 * 6
    fixed, tensors = 2 * cost.BYTES_OF_A_CALL + 4 * 4 * weights, 4 * 3 * 3 * outputs
    assert one == pytest.approx(fixed + tensors, abs=1)
    assert two == pytest.approx(2 * (fixed + cost.SHARE_AT_ONCE * tensors), abs=2)


def test_the_estimates_are_those_that_were_measured_and_right_within_30_percent():
    """figures/memory.json: the full network, and four sub-networks at once."""
    memory = script("memory")
    results = json.loads(memory.OUTPUT.read_text(encoding="utf-8"))["results"]
    assert [tuple(result.values())[:5] for result in results] == memory.CASES
    assert len({result["model"] for result in results}) >= 2
    for case, result in zip(memory.CASES, results, strict=True):
        again = "python figures/memory.py measures anew"
        if result["model"] != "resnet20":  # it takes longest to build, and is counted like the others
            assert round(memory.estimate(*case)) == result["estimated"], again
        assert 0.7 < result["estimated"] / result["measured"] < 1.3, again
