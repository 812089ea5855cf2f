"""Decompose: K sub-networks of 1/K width, each for its own box of the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_dd.boxes import Box, boxes
from keras_dd.channels import walk
from keras_dd.graph import again, image_of, replay
from keras_dd.recursion import deep


@dataclass(frozen=True)
class Decomposition(Sequence):
    """The sub-networks of a full network, and the box of the image that each of them sees."""

    subnets: tuple[keras.Model, ...]
    boxes: tuple[Box, ...]

    def __getitem__(self, k):
        return self.subnets[k]

    def __len__(self):
        return len(self.subnets)


def decompose(model, parts=4, overlap=None, grid=None):
    """Take a functional network apart into sub-networks of the same depth and topology.

    Every hidden width is divided by `parts`, in parts of nearly equal width where it is no multiple of them; the head
    keeps its classes.  The sub-networks have fresh weights and the layer names of `model`, which is not changed.
    Frozen convolutions that read the image, and frozen normalisations behind them, belong to the image: all
    sub-networks have them whole, with the weights of `model`.

    Args:
        model: a functional `keras.Model` from images (H, W, C) to class scores; its layers are those of
            `keras_dd.rules.RULES`.
        parts: the number of sub-networks K; no hidden width may be less.
        overlap: pixels that neighbouring boxes share; by default a quarter of the side, as in the paper (`keras_dd.fit`
            takes its recipe's).
        grid: (rows, columns) of the boxes; by default the one nearest to a square.

    Returns:
        A `Decomposition`, a sequence of K models from boxes (height, width, C) to class scores.

    Raises:
        UserError: names the layer or the number that does not fit, and the way out.

    Source: "A fast learning strategy for convolutional neural networks based on domain decomposition" (2020), sec. 2.2.
    """
    domains = boxes(image_of(model).shape[1:], parts, grid, overlap)
    visits = walk(model, domains)
    names = [f"{model.name}_part{k}" for k in range(1, len(domains) + 1)]
    subnets = tuple(
        part_of(model, visits, box, k, name) for k, (box, name) in enumerate(zip(domains, names, strict=True))
    )
    return Decomposition(subnets, domains)


@deep()
def part_of(model, visits, box, k, name):
    """Part k of a model whose `visits` were taken with these boxes, under a new name and with fresh weights."""
    configs = {visit.name: visit.rule.config(visit, k) for visit in visits}
    layers = {}

    def call(name, operation, *args, **kwargs):
        if name not in layers:  # a layer without weights may be called more than once
            layers[name] = again(operation, **configs[name], name=name)
        return layers[name](*args, **kwargs)

    image = image_of(model)
    inputs = keras.Input((box.height, box.width, image.shape[-1]), dtype=image.dtype, name=image.name)
    outputs = replay(model, [inputs], call)
    for visit in visits:
        if visit.is_of_image:
            layers[visit.name].set_weights(visit.operation.get_weights())
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=name)
