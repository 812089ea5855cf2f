"""Filters that whiten images: what the first layer of a network may begin, and stay, with."""

import math

import numpy as np
import tensorflow as tf

from keras_dd.config import REESTIMATION_IMAGES
from keras_dd.data.moments import PIXELS

SIZE, EPSILON = 2, 5e-4


def whitening(split, moments=None):
    """Filters after which all 2x2 patches of training images together have the identity as their second moments.

    They are the eigenvectors of E[p p^T] over all patches p of some 5,000 images, the one of the largest eigenvalue v
    first, each divided by sqrt(v + 0.0005) so that what hardly ever varies is not blown up, and the negatives of all of
    them, for an activation that cuts off one side.  An eigenvector has no sign: the first entry of ours is positive.

    Args:
        split: the training images, a `Split` or a `Stream`.
        moments: (mean, variance) of the channels by which the network standardises images; by default it brings them
            to -1..1 (see `models.arguments.rescale`).

    Returns:
        A kernel (2, 2, C, 8 C) of a convolution, float32.

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sec. 3.2, with its published constants.
    """
    height, width, channels = split.image_shape
    rows = np.arange(0, len(split), max(1, len(split) // REESTIMATION_IMAGES))
    total = 0  # of whole numbers, so that it does not depend on the order of the sums: a run that goes on has the same
    at_once = max(1, PIXELS // (SIZE**2 * height * width))
    for start in range(0, len(rows), at_once):
        images, _ = split.batch(tf.constant(rows[start : start + at_once]))
        patches = np.lib.stride_tricks.sliding_window_view(images.numpy(), (SIZE, SIZE), axis=(1, 2))
        patches = np.moveaxis(patches, 3, -1).reshape(-1, SIZE * SIZE * channels).astype(np.float64)
        patches = np.hstack([patches, np.ones((len(patches), 1))])
        total = total + patches.T @ patches
    scale, offset = _affine(moments, channels)
    affine = np.hstack([np.diag(np.tile(scale, SIZE**2)), np.tile(offset, SIZE**2)[:, None]])
    values, vectors = np.linalg.eigh(affine @ (total / total[-1, -1]) @ affine.T)
    vectors = np.where(vectors[0] < 0, -vectors, vectors)  # libraries differ in signs, runs that go on must not
    filters = (vectors / np.sqrt(np.maximum(values, 0) + EPSILON))[:, ::-1].reshape(SIZE, SIZE, channels, -1)
    return np.concatenate([filters, -filters], axis=-1).astype(np.float32)


def _affine(moments, channels):
    """(scale, offset) of the channels, 0..255, on their way into the network."""
    if moments is None:
        return np.full(channels, 1 / 127.5), np.full(channels, -1.0)
    mean, variance = moments
    scale = np.array([1 / math.sqrt(each or 1) for each in variance])
    return scale, -np.array(mean) * scale
