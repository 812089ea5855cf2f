"""Sub-domains: a grid of boxes of equal size, which may overlap, that covers the image."""

import math
import numbers
from dataclasses import dataclass

from keras_dd.config import UserError, shown, whole

QUARTER = 0.25  # of a side, the paper's overlap on CIFAR


@dataclass(frozen=True)
class Box:
    """The sub-domain of one part, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, images):
        """The box cut out of `images` (N, H, W, C), array or tensor: (N, height, width, C)."""
        return images[:, self.top : self.top + self.height, self.left : self.left + self.width, :]


def grid_of(parts):
    """The (rows, columns) of `parts` boxes nearest to a square, no taller than wide: 4 -> 2x2, 8 -> 2x4."""
    rows = max(r for r in range(1, math.isqrt(parts) + 1) if parts % r == 0)
    return rows, parts // rows


def boxes(image_shape, parts=4, grid=None, overlap=None):
    """Cut an image into `parts` boxes of equal size, row by row.

    Along an axis of side S cut into g boxes with overlap o, a box has side s = (S + (g-1) o) / g and box i starts at
    i (s - o), as in the paper's CIFAR (S=32, g=2, o=8: s=20) and Fig. 1 (o=0: s=16).

    Args:
        image_shape: (height, width, ...) in pixels.
        parts: the number of boxes K.
        grid: (rows, columns) with rows * columns = parts; by default the grid nearest to a square.
        overlap: pixels that neighbours share, one number or (vertical, horizontal); by default the paper's, a quarter
            of each side, or the nearest number that comes out in whole pixels.  (`keras_dd.fit` has its recipe's.)

    Returns:
        A tuple of K `Box`es.

    Raises:
        UserError: a grid that does not have `parts` boxes, or boxes that do not come out in whole pixels.
    """
    parts = whole("parts", parts)
    rows, columns = grid_of(parts) if grid is None else pair("grid", grid, least=1)
    if rows * columns != parts:
        fit = "x".join(map(str, grid_of(parts)))
        raise UserError(
            f"grid {rows}x{columns} has {rows * columns} boxes but parts is {parts}: try grid {fit}, or "
            f"{rows * columns} parts"
        )
    overlap = near(image_shape, (rows, columns), QUARTER) if overlap is None else overlap
    one = not isinstance(overlap, tuple | list)
    vertical, horizontal = (overlap, overlap) if one else pair("overlap", overlap, least=0)
    fitting = [_whole_overlaps(side, count) for side, count in zip(image_shape[:2], (rows, columns), strict=True)]
    if one:
        # One number for both axes: an error names those that fit both, if there are any.
        fitting = [[o for o in fitting[0] if o in fitting[1]] or own for own in fitting]
    height, tops = _axis("height", image_shape[0], rows, vertical, fitting[0])
    width, lefts = _axis("width", image_shape[1], columns, horizontal, fitting[1])
    return tuple(Box(top, left, height, width) for top in tops for left in lefts)


def near(image_shape, grid, share):
    """The (vertical, horizontal) overlaps nearest to a share of each side that come out in whole pixels."""
    sides = zip(image_shape[:2], grid, strict=True)
    return tuple(
        min(_whole_overlaps(side, count), key=lambda o, side=side: abs(o - share * side), default=0)
        for side, count in sides
    )


def pair(name, value, least):
    """Two whole numbers, one an axis."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UserError(f"{name} is {shown(value)}: it must be two whole numbers, as (2, 4)")
    return tuple(whole(name, number, least) for number in value)


def _whole_overlaps(side, count):
    """Overlaps that come out in whole pixels: s = (S - o)/g + o is whole just when g divides S - o."""
    return range(side % count, side, count)


def _axis(name, side, count, overlap, fitting):
    """Side and starts of `count` boxes along an axis of `side` pixels; `fitting` are overlaps that fit."""
    if count == 1:
        return side, (0,)
    if side < count:
        raise UserError(f"the image's {name} of {side} px cannot be cut into {count} boxes: use fewer parts, or a grid")
    if not isinstance(overlap, numbers.Integral):
        raise UserError(f"overlap is {shown(overlap)}: it must be a whole number of pixels")
    if not 0 <= overlap <= side or (side - overlap) % count:
        nearest = sorted(sorted(fitting, key=lambda o: abs(o - overlap))[:3])
        raise UserError(
            f"overlap {overlap} cuts the image's {name} of {side} px into {count} boxes of "
            f"{(side + (count - 1) * overlap) / count:g} px: boxes must cover the image in whole pixels, "
            f"as with overlap {' or '.join(map(str, nearest))}"
        )
    size = (side + (count - 1) * overlap) // count
    return size, tuple(i * (size - overlap) for i in range(count))


def overlap_of(boxes):
    """Pixels that neighbouring boxes of a grid share; None if it is not one number for both axes."""
    first = boxes[0]
    below = next((box for box in boxes if box.top > first.top), None)
    beside = next((box for box in boxes if box.left > first.left), None)
    overlaps = {first.height - below.top} if below else set()
    overlaps |= {first.width - beside.left} if beside else set()
    return overlaps.pop() if len(overlaps) == 1 else None
