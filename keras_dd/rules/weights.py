"""Layers with weights: convolutions, dense layers, normalisations and PReLU."""

import numpy as np

from keras_dd.config import UserError
from keras_dd.rules.base import Placement, slide, with_channels
from keras_dd.shares import Channels, Share


def _new_channels(operation, share, length):
    return Channels(length, share.channels.count, operation.name)


def conv(operation, x):
    x = with_channels(operation, x)
    make = _new_channels if operation.groups == 1 else _grouped_channels
    return Share((*slide(operation, x, operation.kernel_size), make(operation, x, operation.filters)))


def conv_config(visit, k):
    inputs, outputs = visit.channels(k)
    return {"filters": len(outputs), "groups": len(_groups(visit.operation, visit.inputs[0], inputs))}


def conv_weights(visit, k):
    inputs, outputs = visit.channels(k)
    depth = visit.inputs[0].channels.length // visit.operation.groups
    # A kernel counts input channels from the start of their group, so each output channel has rows of its own.
    rows = inputs.reshape(len(_groups(visit.operation, visit.inputs[0], inputs)), -1) % depth
    rows = np.repeat(rows, len(outputs) // len(rows), axis=0).T
    return [Placement((slice(None), slice(None), rows, outputs)), Placement((outputs,))]


def _groups(operation, x, channels):
    """The groups of a grouped convolution that a part's input `channels` lie in: as many channels in each of them."""
    depth = x.channels.length // operation.groups
    groups = channels // depth
    found = np.unique(groups)
    if len(channels) % len(found) or (groups.reshape(len(found), -1) != found[:, None]).any():
        raise UserError(
            f"layer {operation.name!r} has {operation.groups} groups of {depth} channels, which cannot be dealt to "
            f"{x.channels.count} parts as its input is: choose groups so that the parts divide their number or depth"
        )
    return found


def _grouped_channels(operation, x, filters):
    """A part that has a group whole has all its filters; parts with slices of a group share its filters out."""
    count, groups = x.channels.count, operation.groups
    depth, slices = x.channels.length // groups, filters // groups
    if groups % count and count % groups and depth % count == 0:
        x.channels.settle([c.ravel() for c in np.split(_table(groups, depth), count, axis=1)])
    found = [_groups(operation, x, channels) for channels in x.channels.parts()]
    sharers = np.bincount(np.concatenate(found))
    if any(slices % sharers):
        raise UserError(
            f"layer {operation.name!r} has {slices} filters a group, which the {sharers.max()} parts that share a "
            f"group do not divide: make its filters a multiple of {groups * sharers.max()}"
        )
    dealt = [iter(np.split(filters, n)) for filters, n in zip(_table(groups, slices), sharers, strict=True)]
    parts = [np.concatenate([next(dealt[group]) for group in part]) for part in found]
    return Channels(filters, count, operation.name, parts)


def _table(rows, columns):
    return np.arange(rows * columns).reshape(rows, columns)


def depthwise(operation, x):
    x = with_channels(operation, x)
    channels, times = x.channels, operation.depth_multiplier
    if times > 1:
        parts = [_multiplied(part, times) for part in channels.parts()]
        channels = Channels(channels.length * times, channels.count, operation.name, parts)
    return Share((*slide(operation, x, operation.kernel_size), channels))


def _multiplied(channels, times):
    return (channels[:, None] * times + np.arange(times)).ravel()


def depthwise_weights(visit, k):
    inputs, outputs = visit.channels(k)
    return [Placement((slice(None), slice(None), inputs)), Placement((outputs,))]


def separable(operation, x):
    x = with_channels(operation, x)
    if x.channels.shared:
        raise UserError(
            f"layer {operation.name!r} (SeparableConv2D) reads the image, so its depthwise filters would belong to "
            "all parts at once: begin the network with a Conv2D"
        )
    return Share((*slide(operation, x, operation.kernel_size), _new_channels(operation, x, operation.filters)))


def separable_weights(visit, k):
    inputs, outputs = visit.channels(k)
    rows = _multiplied(inputs, visit.operation.depth_multiplier)
    every = slice(None)
    return [
        Placement((every, every, inputs), averaged=False),
        Placement((every, every, *np.ix_(rows, outputs))),
        Placement((outputs,)),
    ]


def dense(operation, x):
    x = with_channels(operation, x)
    return Share((*x.windows, _new_channels(operation, x, operation.units)))


def dense_weights(visit, k):
    inputs, outputs = visit.channels(k)
    return [Placement(np.ix_(inputs, outputs)), Placement((outputs,))]


def batch_norm(operation, x):
    if operation.axis not in (-1, len(x.axes)):
        raise UserError(f"layer {operation.name!r} normalises axis {operation.axis}: it must be the last, the channels")
    return with_channels(operation, x)


def per_channel(visit, k):
    return [Placement((visit.output.channels.part(k),))] * len(visit.operation.weights)


def group_norm(operation, x):
    x = batch_norm(operation, x)
    for k in range(x.channels.count):
        _norm_groups(operation, x, k)
    return x


def _norm_groups(operation, x, k):
    channels = x.channels.part(k)
    depth = x.channels.length // operation.groups if operation.groups > 0 else 1
    starts = channels[::depth]
    if not np.array_equal(channels, (starts[:, None] + np.arange(depth)).ravel()[: len(channels)]) or any(
        starts % depth
    ):
        raise UserError(
            f"layer {operation.name!r} has {operation.groups} groups, which cannot be dealt whole to "
            f"{x.channels.count} parts: make the number of groups a multiple of {x.channels.count}"
        )
    return len(starts)


def group_norm_config(visit, k):
    return {"groups": _norm_groups(visit.operation, visit.inputs[0], k)}


def prelu(operation, x):
    if len(x.axes) in (operation.shared_axes or []):
        raise UserError(
            f"layer {operation.name!r} (PReLU) has one slope for all channels: leave the last axis out of shared_axes"
        )
    return with_channels(operation, x)


def prelu_weights(visit, k):
    """Slopes beyond the part's box, where it has none, are those of its nearest position."""
    *windows, channels = visit.output.axes
    shared = visit.operation.shared_axes or []
    positions = []
    for axis, window in enumerate(windows, start=1):
        start = window.part(k)[0]
        everywhere = np.clip(np.arange(window.length) - start, 0, window.size - 1)
        positions.append(np.zeros(1, int) if axis in shared else everywhere)
    owned = channels.part(k)
    return [Placement((*[slice(None)] * len(windows), owned), np.ix_(*positions, np.arange(len(owned))))]
