"""Batches drawn from a split.

Every training batch is a pure function of (seed, epoch, step), so that one stage goes on in the order where another has
ended, and a run that was interrupted goes on where it stopped.
"""

import numpy as np
import tensorflow as tf

from keras_dd.config import EVALUATION_BATCH, PADDINGS, UserError, unknown
from keras_dd.data.splits import check_int


def steps_per_epoch(split, batch_size):
    """The whole batches in `split`; what remains is left out of that epoch.  UserError if there is not even one."""
    check_int("batch_size", batch_size, low=1)
    if batch_size > len(split):
        raise UserError(f"batch_size {batch_size} is more than the {len(split)} training images: choose a smaller one.")
    return len(split) // batch_size


def training_batches(
    split,
    batch_size,
    seed=0,
    first_epoch=0,
    flip=True,
    crop=0,
    first_step=0,
    alternate=False,
    padding="black",
):
    """Endless batches (images uint8 (B, H, W, C), labels int32 (B,)), each a function of (seed, epoch, step) only.

    An epoch is `steps_per_epoch(split, batch_size)` batches in a new random order, and no image comes twice in it.
    `flip` mirrors an image left to right with probability one half, drawn in each epoch anew.  With `alternate` it is
    drawn for epoch 0 only, and from then on the sides take turns: two epochs in a row show both sides of every image.
    (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sec. 3.6.)
    `crop` pads by that many pixels, black ones or with `padding` "reflect" the image's own, mirrored at its border, and
    cuts out a random window of the old size.
    `first_epoch`, and `first_step` in it, start there, exactly as if all before had been drawn.
    """
    steps = steps_per_epoch(split, batch_size)
    check_int("seed", seed, low=0)
    check_int("first_epoch", first_epoch, low=0)
    check_int("first_step", first_step, low=0, high=steps - 1)
    check_int("crop", crop, low=0, high=min(split.image_shape[:2]) - 1)
    if padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)

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
        x, labels = split.batch(rows)
        mirrored = None
        if flip and alternate:
            mirrored = (tf.gather(sides, rows) + tf.cast(epoch, tf.int32)) % 2
        elif flip:
            mirrored = _half(rows, keys[0])
        if crop:
            x = _crop(x, crop, keys[1], padding, mirrored)
        elif flip:
            x = _flip(x, mirrored)
        return x, labels

    with tf.init_scope(), tf.device("CPU"):
        sides = _half(tf.range(len(split)), [seed, -1]) if alternate else None  # no epoch has this key
    batches = tf.data.Dataset.counter(first_epoch).flat_map(epoch_batches)
    batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return batches.prefetch(2).with_options(_one_thread())


def evaluation_batches(split, batch_size=EVALUATION_BATCH):
    """The images once and in order: (images uint8 (B, H, W, C), labels int32 (B,), weights float32 (B,)).

    The last batch is filled up with black images of weight 0 (all others weigh 1): every batch has one static shape,
    as replicas need, and weighted metrics are exact.
    """
    check_int("batch_size", batch_size, low=1)
    steps = -(-len(split) // batch_size)

    rows = np.arange(steps * batch_size).reshape(steps, batch_size)
    weights = (rows < len(split)).astype("float32")

    def batch(rows, weights):
        images, labels = split.batch(tf.minimum(rows, len(split) - 1))
        return (
            images * tf.cast(weights, images.dtype)[:, None, None, None],
            labels * tf.cast(weights, tf.int32),
            weights,
        )

    with tf.device("CPU"):
        batches = tf.data.Dataset.from_tensor_slices((rows, weights)).map(batch)
        return batches.prefetch(2).with_options(_one_thread())


def _half(rows, key):
    """0 or 1 for each row, at random."""
    return tf.random.stateless_uniform(tf.shape(rows), key, maxval=2, dtype=tf.int32)


def _flip(images, mirrored):
    """Each image, or its mirror image where `mirrored` is 1."""
    # Slicing with [::-1], or tf.where, takes four times as long or more.
    return tf.gather(tf.stack([images, tf.reverse(images, axis=[2])], axis=1), mirrored, batch_dims=1)


def _crop(images, margin, key, padding, mirrored):
    """A window of the old size out of each image, or out of its mirror image, padded by `margin` pixels."""
    count, height, width, _ = images.shape
    top, left = tf.unstack(tf.random.stateless_uniform((2, count, 1), key, maxval=2 * margin + 1, dtype=tf.int32))
    rows, columns = top + tf.range(height), left + tf.range(width)
    if mirrored is not None:  # what is to be seen of the mirror image is in the image, from right to left
        columns = tf.where(mirrored[:, None] == 1, width + 2 * margin - 1 - columns, columns)
    if padding == "black":
        images = tf.pad(images, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
    else:  # tf.pad reflects so slowly that it took a fifth of the processor where narrow networks train
        rows, columns = _reflected(rows - margin, height), _reflected(columns - margin, width)
    images = tf.gather(images, rows, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _reflected(positions, length):
    """Positions before 0 or after `length` - 1, mirrored at these."""
    last = length - 1
    return last - tf.abs(last - tf.abs(positions))


def _one_thread():
    """Options for tf.data: one thread draws ten times what a small ResNet trains on, and the cores are for training."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return options
