"""evaluation.py: each image counts once."""

import keras
import numpy as np
import pytest
import support
import tensorflow as tf

from keras_dd import data
from keras_dd.evaluation import accuracies, predictions, views_of


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def network(few):
    """One that answers differently to different images."""
    keras.utils.set_random_seed(0)
    body = [keras.layers.Rescaling(1 / 127.5, offset=-1), keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(few.image_shape), *body])


@pytest.fixture(scope="module")
def evaluation(few):
    return data.evaluation_batches(few.test, 64)


def test_top_accuracies_count_the_highest_scores(network, few, evaluation):
    ranked = np.argsort(-np.array(network(few.test.images)), axis=1)
    wanted = [np.mean((ranked[:, :n] == few.test.labels[:, None]).any(axis=1)) for n in (1, 3)]
    assert wanted[0] < wanted[1] and accuracies(network, evaluation, (1, 3)) == pytest.approx(wanted, abs=1e-6)


def test_accuracy_counts_each_image_once(network, few, evaluation):
    guesses = network.predict(few.test.images, verbose=0).argmax(-1)
    assert len(set(guesses)) > 1
    assert accuracies(network, evaluation)[0] == pytest.approx(np.mean(guesses == few.test.labels), abs=1e-6)
    one_class = data.Split(few.test.images, np.zeros(100, np.int32))  # the images that fill up have label 0 too
    assert accuracies(network, data.evaluation_batches(one_class, 64))[0] == pytest.approx(np.mean(guesses == 0))


def test_views_are_averaged(network, few, evaluation):
    """6: half of it the image and its mirror image, half both of them shifted by a pixel along the diagonal."""
    images = few.test.images.astype("float32")
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    plain = [images, images[:, :, ::-1]]
    shifted = [side for x in (wide[:, :-2, :-2], wide[:, 2:, 2:]) for side in (x, x[:, :, ::-1])]
    for count, views, shares in ((2, plain, [1 / 2] * 2), (6, plain + shifted, [1 / 4] * 2 + [1 / 8] * 4)):
        mean = sum(share * np.array(network(view)) for share, view in zip(shares, views, strict=True))
        for (share, view), wanted in zip(views_of(tf.constant(images), count), views, strict=True):
            np.testing.assert_array_equal(view, wanted)
            assert share in shares
        assert sum(share for share, _ in views_of(tf.constant(images), count)) == 1
        wanted = np.mean(mean.argmax(axis=1) == few.test.labels)
        assert accuracies(network, evaluation, views=count)[0] == pytest.approx(wanted, abs=1e-6)
    assert len({tuple(accuracies(network, evaluation, (1, 3), views)) for views in (1, 2, 6)}) == 3


def test_predictions_are_those_of_the_network_and_no_image_comes_twice(network, few, evaluation):
    scores = np.array(network(few.test.images))
    found = predictions(network, evaluation, 3)
    assert np.array_equal(found.labels, few.test.labels)
    assert np.array_equal(found.ranked, np.argsort(-scores, axis=1)[:, :3])
    assert found.confidences == pytest.approx(np.array(keras.ops.softmax(scores)).max(axis=1), abs=1e-6)
    assert found.accuracies((1, 3)) == accuracies(network, evaluation, (1, 3))


def test_probabilities_are_taken_as_they_are(network, few, evaluation):
    sure = keras.Sequential([keras.Input(few.image_shape), *network.layers, keras.layers.Softmax()])
    assert predictions(sure, evaluation).confidences == pytest.approx(predictions(network, evaluation).confidences)
