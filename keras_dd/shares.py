"""Index sets: which entries of a tensor of the full network are those of part k's tensor.

A `Share` has one axis set for each axis of the tensor but the batch: a `Window` along an image axis, where part k sees
a run of positions, and `Channels` along the channel axis, where it owns a set of indices.  Entry (i, j, c) of part k's
tensor is entry (rows[i], columns[j], channels[c]) of the full network's.
"""

from dataclasses import dataclass

import numpy as np

from keras_dd.config import UserError


@dataclass(frozen=True)
class Window:
    """Part k's run of positions along an image axis.

    `length` positions in the full network, `size` of them in a part, from `starts[k]` on.  Starts are fractions where
    a stride does not divide them; they are rounded only where positions matter, at a Flatten.
    """

    length: int
    size: int
    starts: tuple[float, ...]

    def part(self, k):
        start = min(max(round(self.starts[k]), 0), self.length - self.size)
        return np.arange(start, start + self.size)

    def slide(self, kernel, stride, padding, name):
        """The window of the output of a convolution or pooling, `kernel` being its reach in input positions."""
        (length, before), (size, before_in_part) = (
            _output(n, kernel, stride, padding) for n in (self.length, self.size)
        )
        if size < 1:
            raise UserError(
                f"layer {name!r} reaches over {kernel} positions but its input in a part has only {self.size}: "
                "boxes are too small for this network, use fewer parts or a larger overlap"
            )
        # The input position under output 0 is -before, so this is where part k's output 0 stands among the full ones.
        return Window(length, size, tuple((start - before_in_part + before) / stride for start in self.starts))


def _output(length, kernel, stride, padding):
    """(positions of the output, zeros put before the input) of a convolution over `length` positions."""
    if padding == "valid":
        return (length - kernel) // stride + 1, 0
    output = -(-length // stride)
    return output, max((output - 1) * stride + kernel - length, 0) // 2


@dataclass(frozen=True)
class Deal:
    """How channels are dealt: to `count` parts that share them out, or `times` over to the one part that repeats them.

    With `times` > 1 the part is a network wider than the full one: its index sets name some channels more than once.
    """

    count: int
    times: float = 1

    def __str__(self):
        return f"{self.count} parts" if self.times == 1 else f"a network {self.times:g} times as wide"

    def runs(self, length, count=None):
        """`length` channels in `count` runs of nearly equal length (the first are the longer), each repeated in place.

        Repeated in place (0 0 1 1, not 0 1 0 1), the channels of a group stay together.
        """
        total = round(length * self.times)
        return np.array_split(np.arange(total) * length // max(total, 1), count or self.count)


class Channels:
    """Which of `length` channels belong to each of the parts of `deal`.

    A layer that makes new channels leaves it open how they are dealt, because a layer further on may ask for an order
    (an Add wants the order of its other branch).  Reading `part(k)` settles it; by default parts get runs of nearly
    equal length, one after the other.  `maker` names the layer, for errors.
    """

    def __init__(self, length, deal, maker, parts=None, image=False):
        self.length, self.deal, self.maker = length, deal, maker
        self._parts = parts
        self._same = None
        self.image = image  # every part reads all channels of the image
        self.head = False  # every part has all channels of the output, and the full network their mean

    @classmethod
    def of_image(cls, length, deal):
        return cls(length, deal, "the image", [np.arange(length)] * deal.count, image=True)

    @property
    def count(self):
        return self.deal.count

    @property
    def root(self):
        return self._same.root if self._same else self

    @property
    def is_open(self):
        return self.root._parts is None

    @property
    def shared(self):
        """Whether all parts have all channels, as of the image and of the output."""
        return self.root.image or self.root.head

    def settle(self, parts):
        if self.is_open:
            self.root._parts = parts

    def settle_as_head(self):
        root = self.root
        if not root.head:
            if not root.is_open:
                raise UserError(
                    f"the output of the network is made of the channels of {root.maker!r}, which are dealt to the "
                    "parts: end the network in a Dense or Conv2D layer with one channel a class"
                )
            root._parts, root.head = [np.arange(self.length)] * self.count, True

    def part(self, k):
        root = self.root
        if root.is_open:
            if root.length < root.count:
                raise UserError(
                    f"layer {root.maker!r} has {root.length} channels, fewer than the {root.count} parts: make it "
                    f"{root.count} channels wide or more, or use fewer parts"
                )
            root._parts = root.deal.runs(root.length)
        return root._parts[k]

    def parts(self):
        return [self.part(k) for k in range(self.count)]

    def join(self, other):
        """Make both one and the same.  False where they are settled and differ."""
        a, b = self.root, other.root
        if a is b:
            return True
        if a.is_open and not b.shared:
            a._same = b
        elif b.is_open and not a.shared:
            b._same = a
        elif a.is_open or b.is_open or a.image != b.image:
            return False
        else:
            return all(np.array_equal(*pair) for pair in zip(a.parts(), b.parts(), strict=True))
        return True


@dataclass(frozen=True)
class Share:
    """The axis sets of one tensor, batch axis left out."""

    axes: tuple[Window | Channels, ...]

    @property
    def shape(self):
        """Shape of the full network's tensor."""
        return tuple(axis.length for axis in self.axes)

    @property
    def channels(self):
        return self.axes[-1]

    @property
    def windows(self):
        return self.axes[:-1]

    def part(self, k):
        """One index array an axis: where part k's entries lie."""
        return tuple(axis.part(k) for axis in self.axes)
