"""Mean and variance of images."""

import math

import numpy as np
import tensorflow as tf

from keras_dd.config import REESTIMATION_IMAGES
from keras_dd.data.splits import Split

PIXELS = 2**20  # of a channel at once: they are counted as int64
LEVELS = np.arange(256)


def moments(split):
    """(mean, variance), each a tuple of C numbers: of the channels of all pixels of a `Split`, 0..255.

    Of a `Stream`, whose images are decoded for it, some 5,000 images stand for all.
    """
    every = 1 if isinstance(split, Split) else max(1, len(split) // REESTIMATION_IMAGES)
    rows = np.arange(0, len(split), every)
    counts = 0  # how often each channel has each of the 256 values: exact, and quick
    at_once = max(1, PIXELS // math.prod(split.image_shape[:2]))
    for start in range(0, len(rows), at_once):
        images, _ = split.batch(tf.constant(rows[start : start + at_once]))
        channels = np.moveaxis(images.numpy(), -1, 0)
        counts += np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ LEVELS
    variance = np.sum(shares * (LEVELS - mean[:, None]) ** 2, axis=1)
    return tuple(mean.tolist()), tuple(variance.tolist())
