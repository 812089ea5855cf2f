"""Layers without weights: they merge, move, pad or reduce what they are given."""

import functools

import keras
import numpy as np

from keras_dd.config import UserError
from keras_dd.rules.base import output_shape, point, slide, with_channels
from keras_dd.shares import Channels, Share, Window


def same(operation, x):
    return x


def constants_of(*names):
    """Config of a layer with constants: those it has one a channel are cut to the part's channels."""

    def config(visit, k):
        return {name: _constant(getattr(visit.operation, name), visit, k) for name in names}

    return config


def _constant(value, visit, k):
    if np.size(value) == 1:
        return np.ravel(value).item()
    channels = visit.output.channels
    if np.shape(value)[-1] != np.size(value) or np.size(value) != channels.length:
        raise UserError(
            f"layer {visit.name!r} has constants of shape {np.shape(value)}: there must be one, or one for each of its "
            f"{channels.length} channels"
        )
    return np.ravel(value)[channels.part(k)].tolist()


def pool(operation, x):
    x = with_channels(operation, x)
    return Share((*slide(operation, x, operation.pool_size), x.channels))


def global_pool(operation, x):
    x = with_channels(operation, x)
    return Share((*[point(x.channels.deal)] * (len(x.windows) * operation.keepdims), x.channels))


def merge(operation, *args):
    """Elementwise layers and operations of several tensors: the same channels in each, sizes of 1 spread out."""
    values = keras.tree.flatten(args)
    shares = [value for value in values if isinstance(value, Share)]
    if any(not isinstance(value, Share) and np.size(value) > 1 for value in values):
        raise UserError(f"operation {operation.name!r} has a constant of several values: only scalars can be carried")
    output = shares[0]
    for share in shares[1:]:
        longer, shorter = sorted((output, share), key=lambda s: -len(s.axes))
        lead = len(longer.axes) - len(shorter.axes)
        axes = [_merge_axes(operation, a, b) for a, b in zip(longer.axes[lead:], shorter.axes, strict=True)]
        output = Share((*longer.axes[:lead], *axes))
    return output


def _merge_axes(operation, a, b):
    if a.length != b.length:
        return a if b.length == 1 else b
    if isinstance(a, Window) and isinstance(b, Window):
        if a.size != b.size:
            raise UserError(
                f"layer {operation.name!r} joins branches of {a.length} positions, but in a part they have {a.size} "
                f"and {b.size}: choose an overlap that gives boxes whose sides the strides divide"
            )
        return a
    if type(a) is not type(b) or not a.join(b):
        raise UserError(
            f"layer {operation.name!r} joins two branches whose channels are dealt to the parts in different ways "
            f"({_maker(a)} and {_maker(b)}): put a 1x1 Conv2D into one of the branches"
        )
    return a


def _maker(axis):
    return f"made by {axis.maker!r}" if isinstance(axis, Channels) else "positions"


def concatenate(operation, inputs):
    axis = operation.axis % (len(inputs[0].axes) + 1)
    if axis != len(inputs[0].axes):
        raise UserError(
            f"layer {operation.name!r} concatenates along axis {operation.axis}: it must be the last, the channels"
        )
    merge = functools.partial(_merge_axes, operation)
    windows = tuple(functools.reduce(merge, axes) for axes in zip(*(x.windows for x in inputs), strict=True))
    starts = np.cumsum([0, *(x.channels.length for x in inputs)])
    deal = inputs[0].channels.deal
    parts = [
        np.concatenate([start + x.channels.part(k) for start, x in zip(starts, inputs, strict=False)])
        for k in range(deal.count)
    ]
    return Share((*windows, Channels(int(starts[-1]), deal, operation.name, parts)))


def regroup(operation, x):
    """Flatten and Reshape: number the entries and read where the numbers stand afterwards."""
    x = with_channels(operation, x, also_moved=True)
    shape = output_shape(operation, x.shape)
    deal = next(axis.deal for axis in x.axes if isinstance(axis, Channels))
    if [n for n in shape if n != 1] == [n for n in x.shape if n != 1]:
        kept = iter(axis for axis in x.axes if axis.length != 1)
        return Share(tuple(next(kept) if n != 1 else point(deal) for n in shape))
    parts = [_regrouped(operation, x, shape, k) for k in range(deal.count)]
    axes = []
    for i, (length, sets) in enumerate(zip(shape, zip(*parts, strict=True), strict=True)):
        runs = all(np.array_equal(s, s[0] + np.arange(len(sets[0]))) for s in sets)
        if i == len(shape) - 1 or not runs:
            axes.append(Channels(length, deal, operation.name, list(sets)))
        elif i < len(x.axes) and isinstance(x.axes[i], Window) and x.axes[i].length == length:
            axes.append(x.axes[i])
        else:
            axes.append(Window(length, len(sets[0]), tuple(float(s[0]) for s in sets)))
    return Share(tuple(axes))


def _regrouped(operation, x, shape, k):
    """Part k's index set along each axis of `shape`."""
    numbers = np.ravel_multi_index(np.ix_(*x.part(k)), x.shape).ravel()
    axes, leading = [], numbers
    for length in reversed(shape):
        leading, own = np.divmod(leading, length)
        size = int(np.argmax(leading != leading[0])) or len(leading)  # until the axes before this one go on
        axes.insert(0, own[:size])
        leading = leading[::size]
    if not np.array_equal(np.ravel_multi_index(np.ix_(*axes), shape).ravel(), numbers):
        raise UserError(
            f"layer {operation.name!r} mixes positions and channels of shape {x.shape} into {shape} so that a part's "
            "entries no longer form a block: reshape axis by axis, or Flatten"
        )
    return axes


def reshape_config(visit, k):
    return {"target_shape": [len(axis) for axis in visit.output.part(k)]}


def permute(operation, x):
    return Share(tuple(x.axes[axis - 1] for axis in operation.dims))


def pad(operation, x):
    x = with_channels(operation, x, also_moved=True)
    return Share((*(_pad_axis(operation, *pair) for pair in zip(x.axes, operation.padding, strict=False)), x.axes[-1]))


def _pad_axis(operation, axis, padding):
    """Zeros before and after an axis.  Zero channels (of an identity shortcut) even the parts out to like widths."""
    before, after = padding
    if isinstance(axis, Window):
        return Window(before + axis.length + after, before + axis.size + after, axis.starts)
    length = before + axis.length + after
    zeros = [len(run) - len(own) for run, own in zip(axis.deal.runs(length), axis.parts(), strict=True)]
    if min(zeros) < 0:
        raise UserError(
            f"layer {operation.name!r} adds {before} and {after} zero channels, too few to make {axis.deal} of like "
            "width: make its width a multiple of the number of parts, or use another number of parts"
        )
    ends = np.cumsum(zeros)
    heads = np.round(ends * before / max(before + after, 1)).astype(int)
    parts = zip(_dealt(before, heads), axis.parts(), _dealt(after, ends - heads), strict=True)
    parts = [np.concatenate([head, before + own, before + axis.length + tail]) for head, own, tail in parts]
    return Channels(length, axis.deal, operation.name, parts)


def _dealt(length, ends):
    """`length` channels, as often as it takes to deal them in runs up to these ends."""
    return np.split(np.arange(ends[-1]) * length // max(ends[-1], 1), ends[:-1])


def pad_config(visit, k):
    axes = zip(visit.inputs[0].axes, visit.output.part(k), visit.operation.padding, strict=False)
    return {"padding": [_padding_of(*axis) for axis in axes]}


def _padding_of(axis, part, padding):
    if isinstance(axis, Window):
        return padding
    before, _ = padding
    return [int(np.sum(part < before)), int(np.sum(part >= before + axis.length))]


def crop(operation, x):
    x = with_channels(operation, x)
    windows = [
        Window(window.length - before - after, window.size - before - after, window.starts)
        for window, (before, after) in zip(x.windows, operation.cropping, strict=True)
    ]
    if any(window.size < 1 for window in windows):
        raise UserError(f"layer {operation.name!r} crops a part's box away: use fewer parts or a larger overlap")
    return Share((*windows, x.channels))


def upsample(operation, x):
    x = with_channels(operation, x)
    windows = [
        Window(window.length * size, window.size * size, tuple(start * size for start in window.starts))
        for window, size in zip(x.windows, operation.size, strict=True)
    ]
    return Share((*windows, x.channels))
