"""Accuracy of networks on whole splits, and what they take each image for."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_dd.graph import is_softmax, operations


@dataclass(frozen=True)
class Predictions:
    """A network's answers to N images.

    Attributes:
        labels: int (N,), the right classes.
        ranked: int (N, n), the classes of the n highest scores, best first.
        confidences: float (N,), the probability (by softmax, where the network gives logits) of the first of them.
    """

    labels: np.ndarray
    ranked: np.ndarray
    confidences: np.ndarray

    def accuracies(self, tops=(1,)):
        """For each n of `tops` the fraction of the images whose class is among the n highest scores."""
        hits = self.ranked == self.labels[:, None]
        return [float(np.mean(hits[:, :top].any(axis=1))) for top in tops]


def predictions(model, evaluation, count=1):
    """The `Predictions` of a network in one pass over the images, with the `count` highest scores of each."""
    *_, last = operations(model).values()

    def answers(images):
        scores = model(images, training=False)
        probabilities = scores if is_softmax(last) else tf.nn.softmax(tf.cast(scores, tf.float32))
        return tf.math.top_k(scores, count).indices, tf.cast(tf.reduce_max(probabilities, axis=-1), tf.float32)

    answers = tf.function(answers, autograph=False).get_concrete_function(evaluation.element_spec[0])
    found = [(labels, *answers(images), weights) for images, labels, weights in evaluation]
    labels, ranked, confidences, weights = (np.concatenate(column) for column in zip(*found, strict=True))
    return Predictions(*(column[weights > 0] for column in (labels, ranked, confidences)))


def subnet_accuracies(parts, evaluation, devices, tops=(1,)):
    """For each n of `tops` the fractions, one a sub-network, of images whose class is among its n highest scores."""

    def scores(images):
        for k, (subnet, box) in enumerate(zip(parts, parts.boxes, strict=True)):
            with tf.device(devices[k % len(devices)]):
                yield subnet(box.of(images), training=False)

    return _accuracies(scores, evaluation, tops)


def accuracies(model, evaluation, tops=(1,), views=1):
    """For each n of `tops` the fraction of the images whose class is among the n highest scores of `model`.

    With more than one of `views` an image's scores are the mean over them, as `views_of` weighs them.
    """

    def scores(images):
        return [sum(share * model(view, training=False) for share, view in views_of(images, views))]

    return [fraction for [fraction] in _accuracies(scores, evaluation, tops)]


def views_of(images, count):
    """[(share, images)]: each image as it is, and as others might have taken it; the shares sum up to 1.

    1 is the image alone, 2 the image and its mirror image, and 6 these two, which share one half, and both of them
    shifted by one pixel up and left, and down and right, which share the other; what comes in at a border is mirrored
    there.

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sec. 3.5.
    """
    if count == 1:
        return [(1.0, images)]
    if count == 2:
        return [(0.5, images), (0.5, tf.reverse(images, axis=[2]))]
    height, width = images.shape[1:3]
    wide = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    shifted = wide[:, :height, :width], wide[:, 2:, 2:]
    return [
        (part * share, view)
        for part, each in ((0.5, images), (0.25, shifted[0]), (0.25, shifted[1]))
        for share, view in views_of(each, 2)
    ]


def _accuracies(scores, evaluation, tops):
    """For each n of `tops`, the accuracy among the best n of each of the networks whose `scores(images)` are given.

    A forward pass is all it takes: compiling a model and tracing its `evaluate` would last longer than the evaluation.
    """

    def right(images, labels, weights):
        best = [tf.math.top_k(s, max(tops)).indices for s in scores(images)]
        hits = tf.cast(tf.stack(best) == labels[:, None], weights.dtype) * weights[:, None]  # networks, images, ranks
        counts = tf.cumsum(tf.reduce_sum(hits, axis=1), axis=-1)
        return tf.stack([counts[:, top - 1] for top in tops])

    right = tf.function(right, autograph=False).get_concrete_function(*evaluation.element_spec)
    counts, total = 0.0, 0.0
    for images, labels, weights in evaluation:
        counts += right(images, labels, weights).numpy().astype(float)
        total += float(tf.reduce_sum(weights))
    return (counts / total).tolist()
