"""fused.py: fused kernels train as Keras' batch normalisation and its GELU do."""

import importlib
import json
import os
import platform
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize
from keras import layers

import keras_dd
from keras_dd import compose, decompose
from keras_dd.fused import FusedBatchNormalization, FusedGelu, accelerate, fused
from keras_dd.graph import copy
from keras_dd.models import resnet, speednet

OPTIONS = [
    {},
    {"momentum": 0.5, "epsilon": 0.1},
    {"center": False},
    {"scale": False},
    {"gamma_regularizer": "l2"},
    {"axis": 3},
]


def pair(rng, **options):
    """A plain layer and the fused one with its weights, of 5 channels."""
    plain = layers.BatchNormalization(**options)
    plain.build((None, 4, 4, 5))
    randomize(plain, rng)
    other = fused(plain)
    other.build((None, 4, 4, 5))
    other.set_weights(plain.get_weights())
    return plain, other


def trained_once(layer, images):
    """Outputs, gradients (images first) and weights of one training step's passes."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 3) + sum(layer.losses)
    return [outputs, *tape.gradient(loss, [images, *layer.trainable_variables]), *layer.get_weights()]


def assert_same(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        size = max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("count", [1, 6])
def test_one_step_is_that_of_keras(options, count, rng):
    images = tf.constant(rng.normal(1, 2, (count, 4, 4, 5)).astype("float32"))
    plain, other = pair(rng, **options)
    before = plain.moving_mean.numpy()
    assert_same(trained_once(other, images), trained_once(plain, images), 1e-5)
    assert np.abs(plain.moving_mean.numpy() - before).min() > 1e-4, "the step did not move the statistics"


def test_a_single_value_a_channel_has_no_variance(rng):
    plain, other = pair(rng)
    images = tf.constant(rng.normal(1, 2, (1, 1, 1, 5)).astype("float32"))
    assert_same(trained_once(other, images), trained_once(plain, images), 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_mixed_precision_what_counts_is_computed_in_float32(dtype, rng):
    plain, other = pair(rng, dtype=f"mixed_{dtype}")
    images = tf.constant(rng.normal(1, 2, (6, 4, 4, 5)), dtype)
    ours, theirs = trained_once(other, images), trained_once(plain, images)
    assert ours[0].dtype == dtype and other.moving_mean.dtype == "float32"
    assert_same([tf.cast(x, "float32") for x in ours[:4]], [tf.cast(x, "float32") for x in theirs[:4]], 0.03)
    assert_same(ours[4:], theirs[4:], 1e-3)  # the moving statistics


def kernels(layer, images, **options):
    """The operations of a traced call, by type."""
    graph = tf.function(lambda x: layer(x, **options)).get_concrete_function(images).graph
    return [operation.type for operation in graph.get_operations()]


def test_training_takes_the_kernel_and_inference_is_keras_own(rng):
    plain, other = pair(rng)
    images = tf.constant(rng.normal(1, 2, (6, 4, 4, 5)).astype("float32"))
    assert kernels(other, images, training=True).count("FusedBatchNormV3") == 1
    assert "FusedBatchNormV3" not in kernels(other, images, training=False)
    np.testing.assert_array_equal(other(images, training=False), plain(images, training=False))


@pytest.mark.parametrize("options", [{"axis": 1}, {"axis": 2}, {"synchronized": True}, {"renorm": True}], ids=str)
def test_what_the_kernel_does_not_do_is_left_to_keras(options, rng):
    layer = FusedBatchNormalization(**options)
    images = tf.zeros((6, 5, 5, 5))
    layer(images)
    assert "FusedBatchNormV3" not in kernels(layer, images, training=True)
    dense = FusedBatchNormalization()
    dense(tf.zeros((6, 5)))
    assert "FusedBatchNormV3" not in kernels(dense, tf.zeros((6, 5)), training=True)


def test_frozen_layers_stay_as_they_are(rng):
    _, other = pair(rng)
    other.trainable = False
    before = other.get_weights()
    other(tf.constant(rng.normal(1, 2, (6, 4, 4, 5)).astype("float32")), training=True)
    assert_same(other.get_weights(), before, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 0.02), ("float16", 2e-3)])
def test_gelu_is_that_of_keras(dtype, tolerance, rng):
    plain = layers.Activation("gelu", dtype="float32")
    other = fused(layers.Activation("gelu", dtype=f"mixed_{dtype}" if dtype != "float32" else dtype))
    images = tf.cast(rng.normal(0, 3, (2, 4, 4, 5)), dtype)
    ours, theirs = trained_once(other, images), trained_once(plain, tf.cast(images, "float32"))
    assert type(other) is FusedGelu and all(each.dtype == dtype for each in ours)
    assert_same([tf.cast(x, "float32") for x in ours], theirs, tolerance)
    far = tf.constant([-100.0, -20.0, 0.0, 20.0, 100.0])
    np.testing.assert_allclose(FusedGelu("gelu")(far), [0, 0, 0, 20, 100], atol=2e-5)


def test_what_has_no_kernel_stays_as_it_is():
    for layer in layers.Activation("relu"), layers.Activation("silu"), layers.Activation("gelu", dtype="float64"):
        assert type(fused(layer)) is layers.Activation
    assert type(fused(layers.BatchNormalization(dtype="float64"))) is layers.BatchNormalization


def test_a_network_trains_to_the_same_weights(rng):
    """Three steps of SGD (Adam's first steps are the signs of gradients, and would show rounding only)."""
    model = randomize(resnet(8, width=4, classes=3, image_shape=(12, 12, 3)), rng)
    images = rng.integers(0, 256, (18, 12, 12, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, 18)
    fast = accelerate(model)
    names = {type(layer) for layer in fast.layers}
    assert FusedBatchNormalization in names and layers.BatchNormalization not in names
    before = model.get_weights()
    for network in model, fast:
        network.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        network.fit(images, labels, batch_size=6, epochs=1, shuffle=False, verbose=0)
    assert max(np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True)) > 1e-3
    assert_same(fast.get_weights(), model.get_weights(), 2e-5)


@pytest.mark.parametrize("build", [partial(resnet, 8), speednet])
def test_a_fast_network_is_taken_apart_and_composed_too(build, rng):
    model = build(width=4, classes=3, image_shape=(24, 24, 3))
    fast = accelerate(model)
    assert {type(layer) for layer in fast.layers} & {FusedGelu, FusedBatchNormalization}
    parts, plain = decompose(fast, 2, overlap=4), decompose(model, 2, overlap=4)
    for part, same in zip(parts, plain, strict=True):
        part.set_weights(randomize(same, rng).get_weights())
    assert_same(compose(parts, fast).get_weights(), compose(plain, model).get_weights(), 0)


def network(image_shape=(12, 12, 3)):
    """Batch normalisation in the model, and in one nested in it, where a GELU is too."""
    gelu = layers.Activation("gelu")
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.BatchNormalization(), gelu], name="inner")
    x = inputs = keras.Input(image_shape)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(inner(x))
    return keras.Model(inputs, layers.Dense(3)(x))


# As a stranger would load them: scores of each file, those after another step of training, and the classes.
STRANGER = """
import json, sys
sys.modules["keras_dd"] = None  # as where it is not installed: importing it is an error
import keras, numpy as np
images, labels = np.load("images.npy"), np.load("labels.npy")
model, old = keras.models.load_model("model.keras"), keras.models.load_model("model.h5", compile=False)
found = [each.predict(images, verbose=0).tolist() for each in (model, old)]
model.train_on_batch(images, labels)
found.append(model.predict(images, verbose=0).tolist())
layers = [layer for each in (model, old) for layer in [*each.layers, *each.get_layer("inner").layers]]
json.dump([found, [f"{type(layer).__module__}.{type(layer).__name__}" for layer in layers]], sys.stdout)
"""


def test_a_saved_network_loads_where_keras_dd_is_not(rng, tmp_path):
    fast = accelerate(randomize(network(), rng))
    images, labels = rng.normal(0, 1, (8, 12, 12, 3)).astype("float32"), rng.integers(0, 3, 8)
    fast.compile(keras.optimizers.SGD(0.1, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fast.train_on_batch(images, labels)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    for name in "model.keras", "model.h5":
        fast.save(tmp_path / name)
    before = fast.predict(images, verbose=0)
    fast.train_on_batch(images, labels)  # with the momentum, which model.keras holds too
    after = fast.predict(images, verbose=0)
    assert np.abs(after - before).max() > 1e-2
    done = subprocess.run([sys.executable, "-c", STRANGER], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores, kinds = json.loads(done.stdout)
    for theirs, ours in zip(scores, [before, before, after], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert kinds.count(f"{layers.BatchNormalization.__module__}.BatchNormalization") == 4
    assert kinds.count(f"{layers.Activation.__module__}.Activation") == 2
    assert not any("keras_dd" in kind for kind in kinds)


def test_weights_alone_go_from_fast_networks_to_plain_ones_and_back(rng, tmp_path):
    fast, plain = accelerate(randomize(network(), rng)), network()
    fast.save_weights(tmp_path / "fast.weights.h5")
    plain.load_weights(tmp_path / "fast.weights.h5")
    assert_same(plain.get_weights(), fast.get_weights(), 0)
    other = accelerate(network())
    plain.save_weights(tmp_path / "plain.weights.h5")
    other.load_weights(tmp_path / "plain.weights.h5")
    assert_same(other.get_weights(), fast.get_weights(), 0)


def test_what_keras_clones_is_plain_and_what_we_copy_is_fast(rng):
    fast = accelerate(network())
    kinds = [{type(layer) for layer in clone.layers} for clone in (keras.models.clone_model(fast), copy(fast))]
    assert [FusedBatchNormalization in each for each in kinds] == [False, True]
    assert [layers.BatchNormalization in each for each in kinds] == [True, False]


@pytest.mark.parametrize(
    ("machine", "asked", "found"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("arm64", None, None), ("x86_64", "0", "0")],
)
def test_onednn_is_asked_for_on_x86_unless_the_user_has_decided(machine, asked, found, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")  # so that it is as before in the end
    del os.environ["TF_ENABLE_ONEDNN_OPTS"]
    if asked:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = asked
    importlib.reload(keras_dd)
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == found
