"""batchnorm.py: moving statistics are those of the batches."""

import keras
import numpy as np
import pytest
from conftest import images_for, randomize, scores
from keras import layers

from keras_dd.batchnorm import reestimate
from keras_dd.models import cnn, resnet


def one_norm(*before):
    image = x = keras.Input((8, 8, 3))
    for layer in (*before, layers.BatchNormalization(name="bn")):
        x = layer(x)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def statistics(model):
    bn = model.get_layer("bn")
    return bn.moving_mean.numpy(), bn.moving_variance.numpy()


@pytest.mark.parametrize("sizes", [[12], [4, 4, 4], [8, 3, 1]])
def test_statistics_are_those_of_all_images_together(sizes, rng):
    """Whether in one batch, in several, or in batches of different sizes."""
    model = randomize(one_norm(layers.Conv2D(6, 3)), rng)
    images = rng.normal(1, 2, (sum(sizes), 8, 8, 3)).astype("float32")
    result = reestimate(model, iter(np.split(images, np.cumsum(sizes)[:-1])))
    features = model.layers[1](images).numpy().astype(np.float64)
    mean, variance = statistics(result)
    np.testing.assert_allclose(mean, features.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, features.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("noise", [layers.Dropout(0.5), layers.GaussianNoise(1.0), layers.GaussianDropout(0.5)])
def test_dropout_and_noise_are_off(noise, rng):
    model = one_norm(noise)
    images = rng.normal(1, 2, (8, 8, 8, 3)).astype("float32")
    mean, variance = statistics(reestimate(model, [images]))
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(variance, images.var((0, 1, 2)), rtol=1e-4)
    assert model.layers[1].get_config() == noise.get_config()


def test_deep_statistics_are_those_of_training(rng):
    """With one batch, the result in inference is the network in training."""
    model = randomize(resnet(8, 4, image_shape=(16, 16, 3)), rng)
    images = images_for(model, rng, count=6)
    before, weights = scores(model, images), model.get_weights()
    result = reestimate(model, [images])
    assert all(map(np.array_equal, weights, model.get_weights())), "the original is left as it was"
    assert np.abs(scores(result, images) - before).max() > 0.1
    np.testing.assert_allclose(scores(result, images), model(images, training=True), atol=1e-4)


def test_only_statistics_change(rng):
    model = randomize(resnet(8, 4, image_shape=(16, 16, 3)), rng)
    raw = [rng.integers(0, 256, (4, 16, 16, 3), dtype="uint8") for _ in range(2)]
    result = reestimate(model, raw)
    for before, after in zip(model.weights, result.weights, strict=True):
        assert before.name == after.name
        assert np.array_equal(before, after) != before.name.startswith("moving"), before.path
    norms = [layer for layer in result.layers if isinstance(layer, layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}
    assert all((layer.moving_variance.numpy() >= 0).all() for layer in norms)


def test_frozen_statistics_stay(rng):
    model = randomize(one_norm(), rng)
    model.get_layer("bn").trainable = False
    after = statistics(reestimate(model, [images_for(model, rng)]))
    for a, b in zip(statistics(model), after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_network_without_batch_norm_is_copied(rng):
    model = randomize(cnn(4, image_shape=(16, 16, 3)), rng)
    result = reestimate(model, [images_for(model, rng)])
    assert result is not model and all(map(np.array_equal, model.get_weights(), result.get_weights()))
