"""What a rule is, and what rules share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import keras

from keras_dd.config import UserError
from keras_dd.shares import Channels, Share, Window


class Placement(NamedTuple):
    """`full_weight[full]` is `part_weight[part]`; both are numpy indices.

    Where every part has all output channels, as at the head, `averaged` weights are divided by the number of parts.
    `sums` marks a kernel that is multiplied with the input's channels and summed over them, along its axis -2.
    """

    full: tuple
    part: object = ...
    averaged: bool = True
    sums: bool = False


@dataclass(frozen=True)
class Rule:
    """How a layer class carries index sets.

    flow(operation, *shares) -> Share: the output's index sets from the inputs'.
    config(visit, k) -> dict: what part k's layer has otherwise in its config than the full network's.
    weights(visit, k) -> [Placement]: where each of `layer.weights` of part k lies in that of the full network; None
        for a layer whose weights, if it has any, are not trained and are the same in all parts.
    """

    flow: Callable
    config: Callable = lambda visit, k: {}
    weights: Callable | None = None


@dataclass(frozen=True)
class Visit:
    """One call of an operation on the walk: its rule, and the shares of what it read and of what it gave."""

    name: str
    operation: keras.Operation
    rule: Rule
    inputs: tuple[Share, ...]
    output: Share

    def channels(self, k):
        """Part k's channels at the (first) input and at the output."""
        return self.inputs[0].channels.part(k), self.output.channels.part(k)

    @property
    def is_of_image(self):
        """Whether it is a frozen layer on the image's channels: all parts have it whole, with the model's weights."""
        if self.rule.weights is None or not self.operation.weights or self.operation.trainable:
            return False
        channels = self.output.channels
        if not isinstance(channels, Channels) or not channels.root.image:
            return False
        return all(place.part is ... for place in self.rule.weights(self, 0))  # a PReLU has weights for positions


def with_channels(operation, share, also_moved=False):
    """The share, if it has the channels last; those that a Permute or Reshape has moved only where `also_moved`."""
    data_format = getattr(operation, "data_format", "channels_last")
    axes = share.axes if also_moved else share.axes[-1:]
    if data_format != "channels_last" or not any(isinstance(axis, Channels) for axis in axes):
        raise UserError(f"layer {operation.name!r} does not have the channels last: set data_format='channels_last'")
    return share


def slide(operation, share, size):
    """The windows behind a layer that slides a kernel or pool of `size` over them."""
    dilation = getattr(operation, "dilation_rate", (1, 1))
    reach = [d * (s - 1) + 1 for s, d in zip(size, dilation, strict=True)]
    return tuple(
        window.slide(r, stride, operation.padding, operation.name)
        for window, r, stride in zip(share.windows, reach, operation.strides, strict=True)
    )


def point(deal):
    """An image axis of one position."""
    return Window(1, 1, (0.0,) * deal.count)


def output_shape(operation, shape):
    """The shape that a layer or a `keras.ops` operation makes of `shape`, both without the batch axis."""
    return tuple(operation.compute_output_spec(keras.KerasTensor((None, *shape))).shape[1:])
