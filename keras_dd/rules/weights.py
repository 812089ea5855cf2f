"""Layers with weights: convolutions, dense layers, normalisations and PReLU."""

import numpy as np

from keras_dd.config import UserError
from keras_dd.rules.base import Placement, slide, with_channels
from keras_dd.shares import Channels, Share


def _new_channels(operation, share, length):
    return Channels(length, share.channels.deal, operation.name)


def conv(operation, x):
    x = with_channels(operation, x)
    if x.channels.root.image and not operation.trainable:  # it belongs to the image, and so does what it makes of it
        made = Channels.of_image(operation.filters, x.channels.deal)
        return Share((*slide(operation, x, operation.kernel_size), made))
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
    return [Placement((slice(None), slice(None), rows, outputs), sums=True), Placement((outputs,))]


def _groups(operation, x, channels):
    """The groups of a grouped convolution that a part's input `channels` lie in: as many channels in each of them."""
    depth = x.channels.length // operation.groups
    groups = channels // depth
    found = np.unique(groups)
    if len(channels) % len(found) or (groups.reshape(len(found), -1) != found[:, None]).any():
        raise UserError(
            f"layer {operation.name!r} has {operation.groups} groups of {depth} channels, which cannot be dealt to "
            f"{x.channels.deal} as its input is: choose groups so that the parts divide their number or depth"
        )
    return found


def _grouped_channels(operation, x, filters):
    """A part that has a group whole has all its filters; parts with slices of a group share its filters out."""
    deal, groups = x.channels.deal, operation.groups
    depth, slices = x.channels.length // groups, filters // groups
    if groups % deal.count:
        x.channels.settle(_by_groups(groups, depth, deal.count))
    found = [_groups(operation, x, channels) for channels in x.channels.parts()]
    sharers = np.bincount(np.concatenate(found), minlength=groups)
    dealt = [iter([g * slices + run for run in deal.runs(slices, n)]) for g, n in enumerate(sharers)]
    runs = [[next(dealt[group]) for group in part] for part in found]
    if any(len(part[0]) == 0 or len({len(run) for run in part}) > 1 for part in runs):
        raise UserError(
            f"layer {operation.name!r} has {slices} filters a group, which cannot be dealt to the {sharers.max()} "
            f"parts that share a group: make its filters a multiple of {groups * sharers.max()}"
        )
    parts = [np.concatenate(part) for part in runs]
    return Channels(filters, deal, operation.name, parts)


def _by_groups(groups, depth, count):
    """Channels dealt so that each part has as many of each of its groups; None where that cannot be.

    A part has some groups whole, a run within one group, or a slice of every group, whichever comes out even.
    """
    table = _table(groups, depth)
    if count % groups == 0 and depth * groups >= count:
        return [run for group in table for run in np.array_split(group, count // groups)]
    if depth % count and groups > count:
        return [part.ravel() for part in np.array_split(table, count)]
    return [part.ravel() for part in np.array_split(table, count, axis=1)] if depth >= count else None


def _table(rows, columns):
    return np.arange(rows * columns).reshape(rows, columns)


def depthwise(operation, x):
    x = with_channels(operation, x)
    channels, times = x.channels, operation.depth_multiplier
    if times > 1:
        parts = [_multiplied(part, times) for part in channels.parts()]
        channels = Channels(channels.length * times, channels.deal, operation.name, parts)
    return Share((*slide(operation, x, operation.kernel_size), channels))


def _multiplied(channels, times):
    return (channels[:, None] * times + np.arange(times)).ravel()


def depthwise_weights(visit, k):
    inputs, outputs = visit.channels(k)
    return [Placement((slice(None), slice(None), inputs)), Placement((outputs,))]


def separable(operation, x):
    x = with_channels(operation, x)
    if x.channels.shared and x.channels.count > 1:
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
        Placement((every, every, *np.ix_(rows, outputs)), sums=True),
        Placement((outputs,)),
    ]


def dense(operation, x):
    x = with_channels(operation, x)
    return Share((*x.windows, _new_channels(operation, x, operation.units)))


def dense_weights(visit, k):
    inputs, outputs = visit.channels(k)
    return [Placement(np.ix_(inputs, outputs), sums=True), Placement((outputs,))]


def batch_norm(operation, x):
    if operation.axis not in (-1, len(x.axes)):
        raise UserError(f"layer {operation.name!r} normalises axis {operation.axis}: it must be the last, the channels")
    return with_channels(operation, x)


def per_channel(visit, k):
    return [Placement((visit.output.channels.part(k),))] * len(visit.operation.weights)


def group_norm(operation, x):
    x = batch_norm(operation, x)
    deal, groups = x.channels.deal, operation.groups
    if groups % deal.count and groups > deal.count:
        x.channels.settle([part.ravel() for part in np.array_split(_table(groups, _depth(operation, x)), deal.count)])
    for k in range(deal.count):
        _norm_groups(operation, x, k)
    return x


def _depth(operation, x):
    """Channels a group; -1 groups are groups of one channel, in Keras."""
    return x.channels.length // operation.groups if operation.groups > 0 else 1


def _norm_groups(operation, x, k):
    """How many groups part k has: all their channels, each as often as the others."""
    depth, channels = _depth(operation, x), x.channels.part(k)
    groups = np.unique(channels // depth)
    whole = np.repeat((groups[:, None] * depth + np.arange(depth)).ravel(), len(channels) // (len(groups) * depth) or 1)
    if not np.array_equal(channels, whole):
        raise UserError(
            f"layer {operation.name!r} has {operation.groups} groups, which cannot be dealt whole to "
            f"{x.channels.deal}: make the number of groups a multiple of the number of parts"
        )
    return len(groups)


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
