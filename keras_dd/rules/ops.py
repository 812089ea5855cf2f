"""Operations of `keras.ops` that have no layer of their own, or another signature than the layer.

Their axes count the batch as axis 0.
"""

import numpy as np

from keras_dd.config import UserError
from keras_dd.rules.base import point
from keras_dd.shares import Channels, Share, Window


def reduce(operation, x):
    """Mean, maximum and the like, over positions."""
    count = len(x.axes) + 1
    reduced = _axes(operation.axis, count)
    if 0 in reduced or any(isinstance(x.axes[axis - 1], Channels) for axis in reduced):
        raise UserError(
            f"operation {operation.name!r} reduces axes {reduced}, among them the batch or channels that are dealt to "
            "the parts: reduce rows and columns only"
        )
    spot = point(x.channels.deal)
    axes = ((axis, number in reduced) for number, axis in enumerate(x.axes, start=1))
    return Share(tuple(spot if gone else axis for axis, gone in axes if operation.keepdims or not gone))


def _axes(axis, count):
    axes = range(count) if axis is None else np.atleast_1d(axis)
    return sorted(int(axis) % count for axis in axes)


def reshape_config(visit, k):
    return {"newshape": [-1, *(len(axis) for axis in visit.output.part(k))]}


def transpose(operation, x):
    axes = operation.axes or range(len(x.axes), -1, -1)
    if axes[0] != 0:
        raise UserError(f"operation {operation.name!r} moves the batch axis: leave axis 0 where it is")
    return Share(tuple(x.axes[axis - 1] for axis in axes[1:]))


def expand(operation, x):
    """New axes of one position."""
    new = np.atleast_1d(operation.axis)
    count = len(x.axes) + 1 + len(new)
    new = {int(axis) % count for axis in new}
    kept = iter(x.axes)
    return Share(tuple(point(x.channels.deal) if axis in new else next(kept) for axis in range(1, count)))


def get_item(operation, x, key):
    """Slices of rows and columns: `x[:, ::2, 1:-1, :]`."""
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *[slice(None)] * (len(x.axes) + 2 - len(key)), *key[at + 1 :])
    key = (*key, *[slice(None)] * (len(x.axes) + 1 - len(key)))
    return Share(tuple(_sliced(operation, *pair) for pair in zip(x.axes, _checked(operation, key)[1:], strict=True)))


def _checked(operation, key):
    if key[0] != slice(None) or not all(isinstance(k, slice) for k in key):
        raise _cannot_slice(operation, key)
    return key


def _sliced(operation, axis, key):
    if key == slice(None):
        return axis
    start, step = key.start or 0, key.step or 1
    # An end is counted from the end: counted from the beginning it would be another one in a box than in the image.
    if not isinstance(axis, Window) or start < 0 or step < 1 or (key.stop is not None and key.stop >= 0):
        raise _cannot_slice(operation, key)
    length, size = (len(range(n)[key]) for n in (axis.length, axis.size))
    if not size:
        raise UserError(f"operation {operation.name!r} cuts a part's box away: use fewer parts or a larger overlap")
    return Window(length, size, tuple(first / step for first in axis.starts))


def _cannot_slice(operation, key):
    return UserError(
        f"operation {operation.name!r} takes {key} of a tensor: only slices of rows and columns that leave out some at "
        "the ends or take every n-th, as x[:, 1:-1, ::2, :], can be carried"
    )
