"""Accuracy of networks on whole splits."""

import tensorflow as tf


def subnet_accuracies(parts, evaluation, devices, tops=(1,)):
    """For each n of `tops` the fractions, one a sub-network, of images whose class is among its n highest scores."""

    def scores(images):
        for k, (subnet, box) in enumerate(zip(parts, parts.boxes, strict=True)):
            with tf.device(devices[k % len(devices)]):
                yield subnet(box.of(images), training=False)

    return _accuracies(scores, evaluation, tops)


def accuracies(model, evaluation, tops=(1,)):
    """For each n of `tops` the fraction of the images whose class is among the n highest scores of `model`."""
    return [fraction for [fraction] in _accuracies(lambda images: [model(images, training=False)], evaluation, tops)]


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
        counts += right(images, labels, weights).numpy()
        total += float(tf.reduce_sum(weights))
    return (counts / total).tolist()
