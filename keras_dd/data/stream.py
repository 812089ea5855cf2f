"""Images that stay encoded until they are drawn: a batch or two of them is all that memory ever holds."""

import functools
import hashlib
import math
import os
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from keras_dd.config import HELD_BYTES
from keras_dd.data.images import FORMATS, decode
from keras_dd.data.splits import Split

AT_ONCE = 256  # rows a thread looks at: a task for each small image would take longer than the image


class Source(Protocol):
    """Encoded images by number: `source[row]` is (the bytes of an image file, its label)."""

    labels: np.ndarray

    def __len__(self): ...
    def __getitem__(self, row): ...


@dataclass(frozen=True, eq=False)
class Stream:
    """The images `rows` of a source, each decoded to `image_shape` whenever it is drawn.  Otherwise as a `Split`."""

    source: Source
    rows: np.ndarray
    image_shape: tuple[int, int, int]

    def __len__(self):
        return len(self.rows)

    @property
    def is_small(self):
        """Whether its images, decoded, may be held in memory."""
        return len(self) * math.prod(self.image_shape) <= HELD_BYTES

    @property
    def labels(self):
        return self.source.labels[self.rows]

    def take(self, rows):
        """The stream of these rows: a slice, indices or a mask."""
        return Stream(self.source, self.rows[rows], self.image_shape)

    def batch(self, rows):
        """(images, labels) of a tensor of rows, as tensors."""
        images, labels = tf.numpy_function(self._decoded, [rows], [tf.uint8, tf.int32], stateful=False)
        return tf.ensure_shape(images, (*rows.shape, *self.image_shape)), tf.ensure_shape(labels, rows.shape)

    @property
    def mark(self):
        """A short text by which these images are told from others."""
        images, labels = self._decoded(np.arange(0, len(self), max(1, len(self) // 100)))
        said = repr((len(self), self.image_shape)).encode() + self.rows.tobytes()
        return hashlib.sha256(said + images.tobytes() + labels.tobytes()).hexdigest()[:16]

    def _decoded(self, rows):
        images, labels = zip(*_threads().map(self.image, rows), strict=True)
        return np.stack(images), np.array(labels, np.int32)

    def image(self, row):
        """(image, label) of one row, as an array and a number."""
        encoded, label = self.source[self.rows[row]]
        return decode(encoded, self.image_shape), label


def hold(stream):
    """All images of a stream looked through: (a `Split`, {row: why its image cannot be used}).

    One that is not small stays the stream that it is.
    """
    images = np.zeros((len(stream) if stream.is_small else 0, *stream.image_shape), np.uint8)
    labels = np.zeros(len(images), np.int32)

    def look(row):
        image, label = stream.image(row)
        if stream.is_small:
            images[row], labels[row] = image, label

    bad = failures(look, range(len(stream)))
    return (Split(images, labels) if stream.is_small else stream), bad


def failures(work, rows):
    """{row: the error in a few words} of those rows for which `work(row)`, done in threads, fails."""

    def attempt(row):
        try:
            work(row)
        except UnidentifiedImageError:
            return f"not one of {', '.join(FORMATS)}"
        except Exception as error:  # Pillow's decoders raise whatever they like at a broken file
            return textwrap.shorten(str(error) or type(error).__name__, 100, placeholder="...")

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # refuses at the size where Pillow only warns
        shares = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
        found = _threads().map(lambda some: [(row, attempt(row)) for row in some], shares)
        return {row: reason for some in found for row, reason in some if reason}


@functools.cache
def _threads():
    """One a core: Pillow lets go of Python's lock while it decodes and scales, so that several do so at once."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
