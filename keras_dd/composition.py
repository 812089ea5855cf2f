"""Compose: the weights of K sub-networks transplanted into the full network."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_dd.boxes import boxes, grid_of, pair
from keras_dd.channels import walk
from keras_dd.config import UserError, parse_off_diagonal, shown, whole
from keras_dd.graph import copy, image_of, operations


def compose(subnets, model, off_diagonal="zeros", seed=0, grid=None, head_scale=1.0):
    """Fill the full network with the weights of its sub-networks.

    First layer: kernels side by side.  Hidden layers: block diagonal, W[..., in(k), out(k)] = W_k.  Per-channel
    weights: side by side.  Frozen layers on the image, which all parts have whole: their mean.
    Head: kernels stacked along the input and divided by K, biases averaged.  So with zeros off the diagonal the
    composed network's scores are the mean of the sub-networks' scores on the whole image, times `head_scale`.

    Args:
        subnets: the trained `Decomposition`, or its K models in the order of their boxes.
        model: the full network that they were taken from.  It is not changed.
        off_diagonal: what stands in the blocks between two parts: "zeros", "noise:S" (normal with S times the standard
            deviation of He's initialisation) or "orthogonal:S" (an orthogonal matrix scaled to the same size).
        seed: of the noise and of the orthogonal matrices.
        grid: (rows, columns) of the boxes, where `subnets` is a list and the grid is not the one nearest to a square.
        head_scale: of the head's kernel and bias.

    Returns:
        A new model with the layers of `model`.

    Raises:
        UserError: sub-networks that are not parts of this model.

    Source: "A fast learning strategy for convolutional neural networks based on domain decomposition" (2020), sec. 2.3.
    """
    kind, scale = parse_off_diagonal(off_diagonal)
    seed = whole("seed", seed, least=0)
    visits = walk(model, _boxes_of(subnets, model, grid))
    composed = copy(model)
    full, parts = operations(composed), [operations(subnet) for subnet in subnets]
    for number, visit in enumerate(visits):
        if visit.rule.weights is None or not visit.operation.weights:
            continue
        layer = full[visit.name]
        weights = [np.zeros(weight.shape, np.float32) for weight in layer.weights]
        owned = [np.zeros(weight.shape, bool) for weight in layer.weights]
        channels = visit.output.channels.root
        mean = (head_scale if channels.head else 1) / len(parts) if channels.shared else 1
        for k, part in enumerate(parts):
            # A layer without bias has fewer weights than its rule has places.
            places = visit.rule.weights(visit, k)[: len(weights)]
            for i, (value, place) in enumerate(zip(_weights(part, visit, k), places, strict=True)):
                share = mean if place.averaged else 1
                weights[i][place.full] += share * _entries(value, place, weights[i], visit, k)
                owned[i][place.full] = True
        for i, weight in enumerate(weights):
            if kind != "zeros" and weight.ndim > 1:
                between = _off_diagonal(kind, scale, weight.shape, [seed, number, i])
                weights[i] = np.where(owned[i], weight, between)
        layer.set_weights(weights)
    return composed


def _weights(part, visit, k):
    if visit.name not in part:
        raise UserError(f"sub-network {k + 1} has no layer {visit.name!r}: compose the sub-networks of this very model")
    weights = part[visit.name].get_weights()
    if len(weights) != len(visit.operation.weights):
        raise UserError(
            f"layer {visit.name!r} of sub-network {k + 1} has {len(weights)} weights, that of the full network "
            f"{len(visit.operation.weights)}: compose the sub-networks that decompose(model) gave"
        )
    return weights


def _entries(value, place, weight, visit, k):
    """The entries of a sub-network's weight that go to `place` in the full network's."""
    try:
        entries = value[place.part]
    except IndexError:
        entries = None
    if entries is None or entries.shape != weight[place.full].shape:
        raise UserError(
            f"layer {visit.name!r} of sub-network {k + 1} has a weight of shape {value.shape}, which does not fit its "
            "place in the full network: compose the sub-networks that decompose(model) gave"
        )
    return entries


def _boxes_of(subnets, model, grid):
    """The boxes of a decomposition of this model; those of a plain list of sub-networks are told by their inputs."""
    if not isinstance(subnets, Sequence):
        raise UserError(f"{shown(subnets)} is no list of sub-networks: give those of decompose(model)")
    if not subnets:
        raise UserError("there are no sub-networks to compose: give those of decompose(model)")
    grid = grid_of(len(subnets)) if grid is None else pair("grid", grid, least=1)
    for subnet in subnets:
        image_of(subnet)  # an error for what is no network
    image, size = image_of(model).shape[1:3], image_of(subnets[0]).shape[1:3]
    overlaps = [(g * s - side) // (g - 1) if g > 1 else 0 for side, s, g in zip(image, size, grid, strict=True)]
    try:
        found = getattr(subnets, "boxes", None) or boxes(image, len(subnets), grid, overlaps)
    except UserError:
        found = ()
    last = found[-1] if found else None  # ends where the image ends
    if not last or (last.height, last.width) != size or (last.top + last.height, last.left + last.width) != image:
        size, image, grid = ("x".join(map(str, pair)) for pair in (size, image, grid))
        raise UserError(
            f"{len(subnets)} sub-networks that see {size} px are no grid {grid} of an image of {image} px: "
            "say which grid they are, or compose what decompose(model) gave"
        )
    return found


def _off_diagonal(kind, scale, shape, seed):
    """Random values of `scale` times the size that He's initialisation gives a kernel of `shape`."""
    random = np.random.default_rng(seed)
    size = scale * math.sqrt(2 / math.prod(shape[:-1]))
    if kind == "noise":
        return random.normal(0, size, shape)
    matrix = np.asarray(keras.initializers.Orthogonal(seed=int(random.integers(2**31)))(shape))
    return matrix * size / np.sqrt(np.mean(matrix**2))
