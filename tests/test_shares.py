"""shares.py: windows slide, channels are dealt."""

import numpy as np
import pytest

from keras_dd.shares import Channels, Deal, Share, Window


@pytest.mark.parametrize(
    ("window", "kernel", "stride", "padding", "expected"),
    [
        (Window(32, 20, (0.0, 12.0)), 3, 1, "same", Window(32, 20, (0.0, 12.0))),
        (Window(32, 20, (0.0, 12.0)), 2, 2, "valid", Window(16, 10, (0.0, 6.0))),
        (Window(32, 20, (0.0, 12.0)), 3, 1, "valid", Window(30, 18, (0.0, 12.0))),
        (Window(32, 14, (0.0, 6.0)), 4, 4, "valid", Window(8, 3, (0.0, 1.5))),
        # "same" puts no zeros before an even side that strides, and one before an odd one.
        (Window(32, 17, (0.0, 15.0)), 3, 2, "same", Window(16, 9, (-0.5, 7.0))),
    ],
)
def test_windows_slide(window, kernel, stride, padding, expected):
    assert window.slide(kernel, stride, padding, "layer") == expected


def test_windows_begin_at_whole_positions_within_the_image():
    window = Window(8, 3, (-0.5, 1.75, 5.6))
    assert [window.part(k).tolist() for k in range(3)] == [[0, 1, 2], [2, 3, 4], [5, 6, 7]]


def test_channels_are_dealt_in_equal_runs_unless_another_order_is_asked_for():
    plain, asked = (Channels(6, Deal(2), name) for name in "ab")
    order = Channels(6, Deal(2), "c", [np.array([0, 2, 4]), np.array([1, 3, 5])])
    assert asked.join(order) and plain.is_open
    assert [part.tolist() for part in plain.parts()] == [[0, 1, 2], [3, 4, 5]]
    assert [part.tolist() for part in asked.parts()] == [[0, 2, 4], [1, 3, 5]]
    assert not plain.join(asked) and asked.join(order)
    share = Share((Window(8, 4, (0.0, 4.0)), plain))
    assert share.shape == (8, 6) and [axis.tolist() for axis in share.part(1)] == [[4, 5, 6, 7], [3, 4, 5]]
