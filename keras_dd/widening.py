"""Widen: a network made wider without a change of its function (Net2WiderNet)."""

import math

import numpy as np

from keras_dd.boxes import Box
from keras_dd.channels import walk
from keras_dd.config import UserError
from keras_dd.decomposition import part_of
from keras_dd.graph import image_of, operations


def widen(model, factor, noise=0.0, seed=0):
    """A network with `factor` times the channels in every hidden layer, which computes the same function.

    The wide network is a part of the model whose index sets name channels more than once.  Its weights are the
    model's at these indices; kernels are divided by the number of times that an input channel is repeated, so that the
    sum over the repeated channels is what it was.

    Args:
        model: a functional `keras.Model`, as for `decompose`.  It is not changed.
        factor: 1 or more; widths are rounded to whole channels.
        noise: repeated channels are alike, and would stay alike in training, unless their outgoing weights differ:
            those of the repetitions of a channel deviate from equal shares by `noise` (relative, normal), and their sum
            is kept.
        seed: of the noise.

    Returns:
        A new model with the layer names of `model`.

    Raises:
        UserError: a factor below 1, or a layer whose channels cannot be repeated.

    Source: Chen, Goodfellow, Shlens, "Net2Net: accelerating learning via knowledge transfer" (2016), sec. 2.2.
    """
    if not 1 <= factor < math.inf:
        raise UserError(f"factor is {factor}: a network is widened by a factor of 1 or more")
    if not 0 <= noise < math.inf:
        raise UserError(f"noise is {noise}: it must be 0 or more")
    random = np.random.default_rng(seed)
    height, width, _ = image_of(model).shape[1:]
    box = Box(0, 0, height, width)
    visits = walk(model, [box], factor)
    wide = part_of(model, visits, box, 0, model.name)
    narrow, layers = operations(model), operations(wide)
    for visit in visits:
        if visit.rule.weights is None or not visit.operation.weights:
            continue
        weights = narrow[visit.name].get_weights()
        places = visit.rule.weights(visit, 0)[: len(weights)]  # a layer without bias has fewer weights than places
        layers[visit.name].set_weights(
            [_repeated(weight, place, noise, random) for weight, place in zip(weights, places, strict=True)]
        )
    return wide


def _repeated(weight, place, noise, random):
    weight = weight[place.full]
    return weight * np.apply_along_axis(_fractions, 0, place.full[-2], noise, random) if place.sums else weight


def _fractions(channels, noise, random):
    """What each of these input channels weighs: those that are the same channel sum up to 1."""
    count = np.bincount(channels)
    deviation = random.normal(0, noise, len(channels))
    deviation -= (np.bincount(channels, deviation) / np.maximum(count, 1))[channels]
    return (1 + deviation) / count[channels]
