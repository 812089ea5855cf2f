"""Batch-norm statistics: re-estimated on whole images after composing."""

import keras
import numpy as np
import tensorflow as tf

from keras_dd.config import UserError, shown
from keras_dd.fused import fused
from keras_dd.graph import again, copy, image_of, operations


def reestimate(model, batches):
    """A copy of `model` whose moving means and variances are those of `batches`.

    The sub-networks have seen only their boxes, and the composed network sees whole images.  Each batch goes through
    the network as in training; means are averaged, and variances are those of all batches together,
    mean(variance + mean^2) - mean(mean)^2, where a batch counts by its images.  Dropout and noise are off.

    Args:
        model: a functional `keras.Model`.
        batches: an iterable of image batches (N, H, W, C), finite.

    Returns:
        A new model; the weights that are trained are the same.

    Raises:
        UserError: no batches, or images that are not the model's.
    """
    shape = image_of(model).shape[1:]
    probe = copy(model, lambda layer: fused(_last_batch_only(layer)))
    norms = {n: o for n, o in operations(probe).items() if isinstance(o, keras.layers.BatchNormalization)}
    result = copy(model)
    if not norms:
        return result
    forward = tf.function(lambda images: probe(images, training=True))
    seen, counts = {name: [] for name in norms}, []
    for images in _iterated(batches):
        if tuple(np.shape(images))[1:] != shape or not len(images):
            raise UserError(
                f"a batch has the shape {np.shape(images)} but {model.name!r} takes images {shape}: give batches "
                "(N, height, width, channels) of them"
            )
        forward(images)
        counts.append(len(images))
        for name, norm in norms.items():
            seen[name].append((norm.moving_mean.numpy(), norm.moving_variance.numpy()))
    if not counts:
        raise UserError("there are no batches to re-estimate batch norm on: give some thousand images")
    layers = operations(result)
    for name, statistics in seen.items():
        means, variances = np.stack(statistics, axis=1).astype(np.float64)
        mean = np.average(means, axis=0, weights=counts)
        layers[name].moving_mean.assign(mean)
        layers[name].moving_variance.assign(np.average(variances + means**2, axis=0, weights=counts) - mean**2)
    return result


def _iterated(batches):
    try:
        return iter(batches)
    except TypeError:
        raise UserError(f"batches is {shown(batches)}: it must be something to iterate over, as a list") from None


def _last_batch_only(layer):
    names = {"momentum"} if isinstance(layer, keras.layers.BatchNormalization) else {"rate", "stddev"}
    return again(layer, **dict.fromkeys(names & layer.get_config().keys(), 0.0))
