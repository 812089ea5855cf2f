"""Images with labels, held in memory, and the data set that is made of them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from keras_dd.config import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """`images`: uint8 (N, H, W, C), 0 to 255.  `labels`: int32 (N,), from 0."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.images)

    @property
    def image_shape(self):
        """(H, W, C)"""
        return self.images.shape[1:]

    def take(self, rows):
        """The split of these rows: a slice, indices or a mask."""
        return Split(self.images[rows], self.labels[rows])

    def batch(self, rows):
        """(images, labels) of a tensor of rows, as tensors."""
        images, labels = self._tensors
        return tf.gather(images, rows), tf.gather(labels, rows)

    @property
    def mark(self):
        """A short text by which these images are told from others."""
        some = self.images[:: max(1, len(self) // 100)]
        return hashlib.sha256(repr(self.images.shape).encode() + some.tobytes() + self.labels.tobytes()).hexdigest()[
            :16
        ]

    @cached_property
    def _tensors(self):
        with tf.init_scope(), tf.device("CPU"):  # where tf.data works; by default a GPU would be filled with the set
            return tf.constant(self.images), tf.constant(self.labels, tf.int32)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits, each a `Split` or a `Stream`.

    `validation` was held out of the training images, or is None.  `classes[label]` is the name of a class.  `notes` say
    in sentences what was done to the data on the way in.
    """

    name: str
    train: Split
    test: Split
    validation: Split | None
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def image_shape(self):
        """(H, W, C)"""
        return self.train.image_shape


def hold_out(split, fraction, seed):
    """(the rest, the held out `fraction`), both in the order of `split`.

    Sorted by class, and at random within a class, every 1/fraction-th image is held out: so that the total is right,
    and each class is within one image of its share.
    """
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise UserError(
            f"to hold out {fraction} of {len(split)} images leaves one side empty: add images, or choose another share"
        )
    by_class = np.lexsort((np.random.default_rng(seed).random(len(split)), split.labels))
    held = np.zeros(len(split), bool)
    held[by_class[((np.arange(count) + 0.5) * len(split) / count).astype(int)]] = True
    return split.take(~held), split.take(held)


def check_int(name, value, low, high=2**31 - 1):
    """UserError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} {value!r} is not a whole number from {low} to {high}: choose one.")
