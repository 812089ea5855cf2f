"""folding.py: networks with their batch norm folded into other layers, and the algebra of the FastResNet paper."""

import keras
import numpy as np
import pytest
from bodies import BODIES, network
from conftest import images_for, randomize, scores
from keras import layers, ops

from keras_dd import accelerate, fold_batchnorm
from keras_dd.models import fastresnet, resnet


def norms(model):
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def folded(model, rng, tolerance=1e-4):
    """The folded model, which gives the scores of `model`; both have random weights and statistics."""
    randomize(model, rng)
    before = model.get_weights()
    result = fold_batchnorm(model)
    images = images_for(model, rng)
    expected = scores(model, images)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(
        scores(result, images), expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max())
    )
    assert all(map(np.array_equal, model.get_weights(), before))
    return result


@pytest.mark.parametrize("block", ["basic", "type1", "type2"])
def test_what_stays_of_a_fastresnet_is_what_reads_sums(block, rng):
    """Type 1 keeps one batch norm, the last; the others keep those that begin their blocks."""
    result = folded(fastresnet(8, 4, image_shape=(12, 12, 3), block=block), rng)
    first = [] if block == "type1" else [f"stack{n}_block1_1_bn" for n in (2, 3)]
    # That of the first block follows the stem, but the shortcut reads the stem too.
    assert norms(result) == (["stack1_block1_1_bn", *first, "last_bn"] if first else ["last_bn"])


def test_a_resnet_keeps_none(rng):
    model = resnet(8, 4, image_shape=(12, 12, 3))
    assert not norms(folded(model, rng))
    assert not norms(fold_batchnorm(accelerate(model)))


def test_a_network_of_keras_applications_keeps_none(rng):
    """Depthwise convolutions, and paddings of their own."""
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=7, classifier_activation=None)
    result = folded(model, rng)
    assert len(norms(model)) == 52 and not norms(result)


def test_nested_models_come_out_flat(rng):
    result = folded(network(BODIES["nested models"]), rng)
    assert not norms(result) and not any(isinstance(layer, keras.Model) for layer in result.layers)


@pytest.mark.parametrize("body", ["batch norm", "constants", "operators", "a layer without weights called twice"])
def test_other_layers_stay_as_they_are(body, rng):
    folded(network(BODIES[body]), rng)


def before(layer):
    """A batch norm behind an activation, and then `layer`."""
    return before_any(lambda x: layer(x))


def before_any(body):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(body(x)))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(6, 3, strides=2),
        lambda: layers.Conv2D(6, 3, dilation_rate=2, use_bias=False, activation="relu"),
        lambda: layers.Conv2D(6, 1, padding="same"),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: layers.Dense(6),
    ],
)
def test_equation_9_batch_norm_goes_into_the_layer_that_follows(layer, rng):
    """With all of W t in the bias; the paper writes beta only, as for a kernel that sums to 1."""
    assert not norms(folded(before(layer()), rng))


def test_a_layer_takes_the_batch_norms_of_both_sides(rng):
    body = before_any(lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3)(x)))
    assert not norms(folded(body, rng))


def residual(x):
    return layers.Conv2D(4, 1)(x) + x


def called_twice(x):
    layer = layers.Conv2D(4, 1)
    return layer(layer(x))


@pytest.mark.parametrize(
    "body",
    [
        layers.Conv2D(6, 3, padding="same"),
        layers.Conv2D(6, 3, groups=2),
        layers.SeparableConv2D(6, 3),
        residual,
        called_twice,
    ],
)
def test_what_would_change_the_scores_stays(body, rng):
    assert norms(folded(before_any(body), rng)) == ["bn"]


def test_another_axis_stays(rng):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x))
    assert norms(folded(keras.Model(inputs, layers.GlobalMaxPooling2D()(x)), rng))


def test_two_outputs(rng):
    """A convolution whose output the user sees is not changed."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(x)
    model = randomize(keras.Model(inputs, [x, layers.BatchNormalization()(x)]), rng)
    result = fold_batchnorm(model)
    images = images_for(model, rng)
    for ours, theirs in zip(result(images), model(images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert len(norms(result)) == 1


# Equations 12 and 13.


def test_the_two_convolutions_of_type_2_are_one_of_5x5_away_from_the_border(rng):
    first, second = rng.normal(size=(3, 3, 4, 5)), rng.normal(size=(3, 3, 5, 6))
    bias, other = rng.normal(size=5), rng.normal(size=6)
    kernel = np.zeros((5, 5, 4, 6))
    for i in range(3):
        for j in range(3):
            kernel[i : i + 3, j : j + 3] += first @ second[i, j]
    images = rng.normal(size=(2, 9, 9, 4))
    two = ops.conv(ops.conv(images, first, padding="same") + bias, second, padding="same") + other
    one = ops.conv(images, kernel, padding="same") + (bias @ second.sum((0, 1)) + other)
    np.testing.assert_allclose(one[:, 1:-1, 1:-1], two[:, 1:-1, 1:-1], atol=1e-4)
    border = np.ones((9, 9), bool)
    border[1:-1, 1:-1] = False
    assert np.abs(one - two)[:, border].max(axis=(0, -1)).min() > 0.01
