"""recomputation.py: the same training in less memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize
from keras import layers

from keras_dd import accelerate, decompose
from keras_dd.config import UserError
from keras_dd.models import fastresnet
from keras_dd.recomputation import recompute


def network():
    return fastresnet(8, 2, 3, (8, 8, 3), block="basic")


def trained(model, network, images, labels):
    """`network`, which has the layers of `model`, after two steps; the weights of `model` then."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.05), loss)
    network.fit(images, labels, batch_size=4, shuffle=False, verbose=0)
    return model.get_weights()


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1, np.abs(b).max()))


def test_training_is_the_same(rng):
    """Two steps: so the moving statistics and the gradients behind them were right in the first."""
    plain = randomize(network(), rng)
    ours = accelerate(plain)
    images, labels = rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 8)
    before = ours.get_weights()
    fast = recompute(ours)
    same(trained(ours, fast, images, labels), trained(plain, plain, images, labels))
    moved = [np.abs(a - b).max() > 1e-6 for a, b in zip(ours.get_weights(), before, strict=True)]
    assert np.mean(moved) > 0.8, "the steps did not move weights and statistics"
    np.testing.assert_array_equal(fast(images, training=False), ours(images, training=False))


def test_what_is_random_is_drawn_once(rng):
    """The gradient of a product with a dropout mask shows the mask, and the next call has another."""
    x = inputs = keras.Input((4, 4, 1))
    for layer in (layers.Dropout(0.5, seed=1), layers.Conv2D(1, 1), layers.Flatten(), layers.Dense(1)):
        x = layer(x)
    model = keras.Model(inputs, x)
    fast = recompute(model, 2)
    images = tf.ones((3, 4, 4, 1))
    masks = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = fast(images, training=True)
        slopes = tape.gradient(outputs, images)
        np.testing.assert_allclose(
            tf.reduce_sum(slopes * images, (1, 2, 3)), outputs[:, 0] - model(images * 0)[:, 0], atol=1e-5
        )
        masks.append(slopes.numpy() != 0)
    assert 0 < masks[0].mean() < 1 and (masks[0] != masks[1]).any()


def convolutions(model):
    """How often a training step convolves forwards."""

    def step(images):
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(model(images, training=True))
        return tape.gradient(outputs, model.trainable_variables)

    graph = tf.function(step).get_concrete_function(tf.zeros((2, 8, 8, 3))).graph
    return sum(operation.type == "Conv2D" for operation in graph.get_operations())


def test_all_but_the_last_segment_is_computed_twice():
    """Two blocks of two convolutions, and one behind them."""
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(2):
        x = layers.Add()([x, layers.Conv2D(3, 3, padding="same")(layers.Conv2D(3, 1)(x))])
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    assert [convolutions(recompute(model, segments)) for segments in (1, 2, 3)] == [5, 5 + 2, 5 + 4]
    assert convolutions(recompute(model)) == 5 + 2
    with pytest.raises(UserError, match="segments is 4, and 'functional.*' can be cut into 3 only"):
        recompute(model, 4)


def test_the_graph_is_that_of_the_model(rng):
    model = randomize(network(), rng)
    again = recompute(model)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert len(decompose(again, 2, overlap=4)) == 2


def test_what_cannot_be_cut_or_would_be_lost_is_refused():
    image = keras.Input((4, 4, 1))
    two = keras.Model(image, [layers.Flatten()(image), layers.GlobalAveragePooling2D()(image)])
    with pytest.raises(UserError, match="has 1 inputs and 2 outputs: recomputation is "):
        recompute(two)
    adds = keras.Sequential([image, layers.Dense(2, activity_regularizer="l2"), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(UserError, match="dense.* adds to the loss, which recomputation would lose"):
        recompute(adds, 3)(tf.zeros((2, 4, 4, 1)), training=True)
