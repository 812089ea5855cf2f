"""Networks with more layers, one behind another, than Python lets functions call one another."""

import sys
from contextlib import contextmanager

FRAMES = 5_000


@contextmanager
def deep():
    """Within it (or in a function decorated with `@deep()`), Keras can build networks of some 5,000 layers in a row.

    It follows a network from its outputs to its inputs by recursion, one frame a layer, and Python stops at 1,000:
    ResNet-668 has 2,000.  The limit is put back afterwards, for it also bounds what broken files can do.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
