"""Data sets, whole in memory as uint8, and the batches drawn from them.

`load` gives the images, `training_batches` and `evaluation_batches` feed them.  Every training batch is a pure function
of (seed, epoch, step), so that one stage goes on in the order where another has ended.
"""

import contextlib
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_dd.config import DATASETS, EVALUATION_BATCH, UserError, unknown


@dataclass(frozen=True, eq=False)
class Split:
    """`images`: uint8 (N, H, W, C), 0 to 255.  `labels`: int32 (N,), from 0."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Dataset:
    """`validation` was held out of the training images, or is None.  `classes[label]` is the name of a class."""

    name: str
    train: Split
    test: Split
    validation: Split | None
    classes: tuple[str, ...]

    @property
    def image_shape(self):
        """(H, W, C)"""
        return self.train.images.shape[1:]


def load(name="digits", data_dir=None, validation_split=0.0, seed=0):
    """The data set `name`: one of `config.DATASETS`.

    "digits" is embedded: no file, no network.  "cifar10" and "cifar100" (its 100 fine classes) are TensorFlow
    Datasets': read offline where `data_dir` (default: TFDS's own, ~/tensorflow_datasets) holds them prepared, otherwise
    downloaded and prepared there.  `validation_split`, in [0, 1), is the fraction of the training images to hold out:
    by class, drawn by `seed`; the test images are never touched.

    Raises UserError for an unknown name or value, and for a folder that cannot be read or filled.
    """
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    if not 0 <= validation_split < 1:
        raise UserError(f"validation_split {validation_split} is not in [0, 1): 0.1 holds out a tenth, 0 nothing.")
    _check_int("seed", seed, low=0)
    train, test, classes = _digits() if name == "digits" else _tfds(name, data_dir)
    train, validation = _hold_out(train, validation_split, seed) if validation_split else (train, None)
    return Dataset(name, train, test, validation, classes)


def steps_per_epoch(split, batch_size):
    """The whole batches in `split`; what remains is left out of that epoch.  UserError if there is not even one."""
    _check_int("batch_size", batch_size, low=1)
    if batch_size > len(split):
        raise UserError(f"batch_size {batch_size} is more than the {len(split)} training images: choose a smaller one.")
    return len(split) // batch_size


def training_batches(split, batch_size, seed=0, first_epoch=0, flip=True, crop=0, first_step=0):
    """Endless batches (images uint8 (B, H, W, C), labels int32 (B,)), each a function of (seed, epoch, step) only.

    An epoch is `steps_per_epoch(split, batch_size)` batches in a new random order, and no image comes twice in it.
    `flip` mirrors an image left to right with probability one half; `crop` pads by that many black pixels and cuts out
    a random window of the old size.  `first_epoch`, and `first_step` in it, start there, exactly as if all before had
    been drawn.
    """
    steps = steps_per_epoch(split, batch_size)
    _check_int("seed", seed, low=0)
    _check_int("first_epoch", first_epoch, low=0)
    _check_int("first_step", first_step, low=0, high=steps - 1)
    _check_int("crop", crop, low=0, high=min(split.images.shape[1:3]) - 1)
    with tf.device("CPU"):  # where tf.data works; by default a GPU would be filled with the whole set
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def epoch_batches(epoch):
        # Not index_shuffle, which would need no order in memory: its orders for successive seeds correlate (0.75 over
        # 50,000 images), so that the same images would meet in batch after batch.
        order = tf.random.experimental.stateless_shuffle(tf.range(len(split)), seed=[seed, epoch])
        order = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        steps_of = tf.data.Dataset.from_tensor_slices(order).enumerate()
        steps_of = steps_of.skip(tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0))
        return steps_of.map(lambda step, rows: batch(epoch, step, rows))

    def batch(epoch, step, rows):
        keys = tf.random.split(tf.random.fold_in([seed, epoch], step), 2)
        x = tf.gather(images, rows)
        x = _flip(x, keys[0]) if flip else x
        x = _crop(x, crop, keys[1]) if crop else x
        return x, tf.gather(labels, rows)

    batches = tf.data.Dataset.counter(first_epoch).flat_map(epoch_batches)
    batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return batches.prefetch(2).with_options(_one_thread())


def evaluation_batches(split, batch_size=EVALUATION_BATCH):
    """The images once and in order: (images uint8 (B, H, W, C), labels int32 (B,), weights float32 (B,)).

    The last batch is filled up with black images of weight 0 (all others weigh 1): every batch has one static shape,
    as replicas need, and weighted metrics are exact.
    """
    _check_int("batch_size", batch_size, low=1)
    steps = -(-len(split) // batch_size)

    def batched(array):
        padded = np.zeros((steps * batch_size, *array.shape[1:]), array.dtype)
        padded[: len(array)] = array
        return padded.reshape(steps, batch_size, *array.shape[1:])

    arrays = (split.images, split.labels, np.ones(len(split), "float32"))
    with tf.device("CPU"):
        return tf.data.Dataset.from_tensor_slices(tuple(map(batched, arrays))).prefetch(2).with_options(_one_thread())


def _flip(images, key):
    """Each image, or its mirror image.  (Slicing with [::-1], or tf.where, takes four times as long or more.)"""
    mirrored = tf.random.stateless_uniform(tf.shape(images)[:1], key, maxval=2, dtype=tf.int32)
    return tf.gather(tf.stack([images, tf.reverse(images, axis=[2])], axis=1), mirrored, batch_dims=1)


def _crop(images, margin, key):
    """A window of the old size out of each image padded with `margin` zeros."""
    count, height, width, _ = images.shape
    top, left = tf.unstack(tf.random.stateless_uniform((2, count, 1), key, maxval=2 * margin + 1, dtype=tf.int32))
    images = tf.pad(images, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
    images = tf.gather(images, top + tf.range(height), batch_dims=1)
    return tf.gather(images, left + tf.range(width), axis=2, batch_dims=1)


def _one_thread():
    """Options for tf.data: one thread draws ten times what a small ResNet trains on, and the cores are for training."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return options


def _digits():
    """1,797 handwritten digits of 8x8, brought to 32x32x1.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    doi 10.24432/C50P49, CC BY 4.0: its test file, as in scikit-learn's `load_digits`.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        small, labels = file["images"], file["labels"].astype("int32")
    # Bilinear, pixel centre to pixel centre: a hat function at each old pixel.
    at = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    hats = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(8)))
    images = np.rint(hats @ small @ hats.T * (255 / 16)).astype("uint8")[..., None]
    # In the file's order, as scikit-learn's examples split them: neighbours in the file are by the same hand, and a
    # random split, with each hand on both sides, flatters (nearest neighbour: 98.8 % instead of 95.6 %).
    cut = 1437  # four fifths
    return Split(images[:cut], labels[:cut]), Split(images[cut:], labels[cut:]), tuple("0123456789")


def _tfds(name, data_dir):
    """`name` from TensorFlow Datasets, prepared first if need be."""
    import tensorflow_datasets as tfds  # takes seconds, and the digits do without

    data_dir = data_dir and str(Path(data_dir).expanduser())  # TFDS would make a folder named "~"
    if data_dir and not Path(data_dir).is_dir():
        raise UserError(f"data_dir {data_dir!r} is not a folder: create it, or name the one that holds {name}.")
    where, again = data_dir or "the default folder", "delete it there and run again, or copy a sound one to its place"
    with _explained(f"{name} in {where} cannot be read", again):
        builder = tfds.builder(name, data_dir=data_dir)
    if not builder.is_prepared():
        online = "connect to the internet once, or copy a prepared folder to that place"
        missing = _explained(f"{name} is neither prepared in {builder.data_dir} nor could it be downloaded", online)
        with missing, contextlib.redirect_stdout(sys.stderr):  # TFDS prints, and stdout is for results
            builder.download_and_prepare()  # without a network, TFDS gives up after three minutes
    with _explained(f"{name} in {builder.data_dir} cannot be read", again):
        both = tfds.as_numpy(builder.as_dataset(split=["train", "test"], batch_size=-1, as_supervised=True))
        train, test = (Split(images, labels.astype("int32")) for images, labels in both)
    return train, test, tuple(builder.info.features["label"].names)


@contextlib.contextmanager
def _explained(what, way_out):
    """Any error as one line: any, for TFDS lets through whatever its network and file libraries raise."""
    try:
        yield
    except Exception as error:
        text = re.sub(r"{{.*?}}", "", str(error))  # TF names its graph node first, and whole paths follow
        reason = textwrap.shorten(f"{type(error).__name__}: {text}", 160, placeholder="...")
        raise UserError(f"{what} ({reason}): {way_out}.") from error


def _hold_out(split, fraction, seed):
    """(the rest, the held out `fraction`), both in the order of `split`.

    Sorted by class, and at random within a class, every 1/fraction-th image is held out: so that the total is right,
    and each class is within one image of its share.
    """
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise UserError(f"validation_split {fraction} of {len(split)} images leaves one side empty: choose another.")
    by_class = np.lexsort((np.random.default_rng(seed).random(len(split)), split.labels))
    held = np.zeros(len(split), bool)
    held[by_class[((np.arange(count) + 0.5) * len(split) / count).astype(int)]] = True
    return tuple(Split(split.images[part], split.labels[part]) for part in (~held, held))


def _check_int(name, value, low, high=2**31 - 1):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} {value!r} is not a whole number from {low} to {high}: choose one.")
