"""stacking.py: narrow networks side by side have the numbers that they have alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize
from keras import layers

from keras_dd import stacking
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.models import MODELS
from keras_dd.train import Subnetworks


def mine(width):
    """Every layer that can stand side by side, and a softmax."""
    image = keras.Input((32, 32, 3))
    x = layers.Normalization(mean=[100.0, 120.0, 140.0], variance=[9.0, 16.0, 25.0])(image)
    x = layers.MaxPooling2D(1)(layers.ZeroPadding2D(1)(x))
    a = layers.Dense(width, activation="relu")(layers.Conv2D(width, 3, strides=4, activation="tanh")(x))
    b = layers.Conv2D(width, 3, strides=4, dilation_rate=1, use_bias=False)(x)
    b = layers.Rescaling(np.linspace(0.5, 1.5, width).tolist())(b)  # each network has other constants
    b = layers.Activation("tanh")(layers.BatchNormalization(scale=False)(b))
    x = layers.Concatenate()([a, layers.Multiply()([a, b])])
    x = layers.MaxPooling2D()(layers.LeakyReLU()(x))
    x = layers.Dense(4 * width, activation="gelu", use_bias=False)(layers.Flatten()(x))
    return keras.Model(image, layers.Softmax()(layers.Dense(10)(x)))


def pooled(width):
    """It begins with a layer that would work on whole numbers, if it were given any."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(width, 3, strides=4)(layers.AveragePooling2D(2)(image))
    return keras.Model(image, layers.Dense(10)(layers.GlobalMaxPooling2D()(x)))


def wide(width):
    """Behind a convolution that fills the lanes the networks are apart, in every kind of layer."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4 * width, 1)(layers.Conv2D(width, 3, strides=4, activation="relu")(image))
    a = layers.Conv2D(4 * width, 3, padding="same", strides=2, use_bias=False)(x)
    a = layers.Activation("tanh")(layers.BatchNormalization()(a))
    b = layers.MaxPooling2D(2, padding="same")(x)  # all in one tensor still
    b = layers.Rescaling(np.linspace(0.5, 1.5, 4 * width).tolist(), offset=0.1)(b)
    x = layers.Concatenate()((layers.Add()((a, b)), layers.ReLU()(a)))
    x = layers.Dense(4 * width, activation="gelu")(layers.Flatten()(layers.MaxPooling2D()(x)))
    return keras.Model(image, layers.Softmax()(layers.Dense(10)(x)))


NETWORKS = {
    "resnet8": lambda: MODELS["resnet8"](16),
    "mine": lambda: mine(16),
    "pooled": lambda: pooled(16),
    "wide": lambda: wide(16),
    "speednet": lambda: MODELS["speednet"](16),  # begins with a frozen layer
}


@pytest.fixture(params=NETWORKS)
def networks(request, rng):
    """Four networks of width 4 in random states, as they are trained, and their boxes of eight images."""
    parts = decompose(NETWORKS[request.param](), 4, overlap=0)
    model = Subnetworks(parts)
    assert model.groups == [[0, 1, 2, 3]]
    for subnet in model.subnets:
        randomize(subnet, rng)
    images = tf.constant(rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    return model.subnets, [box.of(images) for box in parts.boxes]


def step(subnets, groups, boxes):
    """(scores, gradients, all weights behind the step) of each network."""
    before = [subnet.get_weights() for subnet in subnets]
    with tf.GradientTape() as tape:
        found = [s for g in groups for s in stacking.scores([subnets[k] for k in g], [boxes[k] for k in g])]
        loss = sum(tf.reduce_sum(scores[:, k] ** 2) for k, scores in enumerate(found))
    gradients = tape.gradient(loss, [subnets[k].trainable_variables for g in groups for k in g])
    after = [subnets[k].get_weights() for g in groups for k in g]
    for subnet, weights in zip(subnets, before, strict=True):
        subnet.set_weights(weights)
    return [[scores, *theirs, *moved] for scores, theirs, moved in zip(found, gradients, after, strict=True)]


def test_each_has_the_numbers_that_it_has_alone(networks):
    subnets, boxes = networks
    alone = step(subnets, [[0], [1], [2], [3]], boxes)
    for side_by_side in step(subnets, [[0, 1, 2, 3]], boxes), step(subnets, [[0, 1], [2, 3]], boxes):
        for one, other in zip(alone, side_by_side, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5 * float(np.abs(a).max()))


def test_low_precision_stays_low(bfloat16, rng):
    subnets = Subnetworks(decompose(MODELS["resnet8"](16), 4, overlap=0)).subnets
    assert subnets[0].get_layer("stem_conv").compute_dtype == "bfloat16" and stacking.sizes_of_groups(subnets) == [4]
    images = tf.constant(rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8))
    alone, side_by_side = step(subnets, [[0], [1]], [images] * 2), step(subnets, [[0, 1]], [images] * 2)
    for (one, *_), (other, *_) in zip(alone, side_by_side, strict=True):
        assert one.dtype == other.dtype == tf.float32  # the head's
        np.testing.assert_allclose(other, one, atol=0.05 * float(np.abs(one).max()))


def of_width(width, *layers_behind):
    head = layers.GlobalAveragePooling2D(), layers.Dense(10)
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(width, 3), *layers_behind, *head])


def groups(model, parts=4):
    return Subnetworks(decompose(model, parts)).groups


def test_as_many_as_fill_sixteen_channels():
    assert groups(of_width(16)) == [[0, 1, 2, 3]]
    assert groups(of_width(32)) == [[0, 1], [2, 3]]
    assert groups(of_width(64)) == [[0], [1], [2], [3]]
    assert groups(of_width(16), parts=8) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert groups(of_width(40), parts=8) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert groups(of_width(16, layers.Conv2D(64, 3))) == [[0, 1, 2, 3]]


def test_a_convolution_that_fills_the_lanes_keeps_its_own_kernel(bfloat16):
    def convolutions(model, count=2):
        subnets = Subnetworks(decompose(model, 4)).subnets[:count]
        boxes = [tf.TensorSpec((8, 20, 20, 3), tf.uint8)] * count
        graph = tf.function(lambda *images: stacking.scores(subnets, images)).get_concrete_function(*boxes).graph
        return [operation.type for operation in graph.get_operations()].count("Conv2D")

    assert convolutions(of_width(32, layers.Conv2D(32, 3))) == 2  # 3 and 8 channels: one kernel for both networks
    assert convolutions(of_width(32, layers.Conv2D(64, 3), layers.Conv2D(64, 3))) == 3  # 16 halves fill half of them
    assert convolutions(of_width(32, layers.Conv2D(128, 3), layers.Conv2D(64, 3))) == 4  # 32 fill all
    keras.config.set_dtype_policy("float32")
    assert convolutions(of_width(32, layers.Conv2D(64, 3), layers.Conv2D(64, 3))) == 4


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5),
        layers.DepthwiseConv2D(3),
        layers.Conv2D(16, 3, groups=8),
        layers.Conv2D(16, 5),
        layers.Conv2D(16, 3, activity_regularizer="l2"),
        layers.BatchNormalization(trainable=False),
        layers.BatchNormalization(renorm=True),
    ],
)
def test_networks_with_other_layers_are_branches(layer):
    assert groups(of_width(16, layer)) == [[0], [1], [2], [3]]


def test_batch_norm_of_vectors_makes_branches():
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3)(image))
    assert groups(keras.Model(image, layers.Dense(10)(layers.BatchNormalization()(x)))) == [[0], [1], [2], [3]]


def test_a_layer_called_by_keyword_makes_branches():
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3)(inputs=image))
    assert groups(keras.Model(image, layers.Dense(10)(x))) == [[0], [1], [2], [3]]


def test_networks_of_unlike_shapes_are_branches():
    parts = decompose(of_width(18), 4)  # 5, 5, 4 and 4 channels
    assert Subnetworks(parts).groups == [[0], [1], [2], [3]]
    assert Subnetworks(Decomposition(parts[:2], parts.boxes[:2])).groups == [[0, 1]]
