"""Properties that hold for every grid of boxes and every window, tried on ones nobody thought of."""

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from keras_dd.boxes import boxes, grid_of, overlap_of
from keras_dd.config import UserError
from keras_dd.shares import Window

# Examples are the same in every run: CI is no place to find something new.
same = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
side, count = st.integers(1, 64), st.integers(1, 6)


@settings(same, max_examples=100)
@given(side, side, count, count, st.one_of(st.none(), st.integers(-2, 70)))
def test_boxes_cover_the_image_or_are_refused(height, width, rows, columns, overlap):
    try:
        cut = boxes((height, width, 3), rows * columns, (rows, columns), overlap)
    except UserError as error:
        assert "\n" not in str(error)
        # With all freedom there is always a way, if there are pixels for all.
        assert overlap is not None or height < rows or width < columns
        return
    seen = np.zeros((height, width), int)
    for box in cut:
        assert (box.height, box.width) == (cut[0].height, cut[0].width)
        assert box.top >= 0 and box.left >= 0 and box.top + box.height <= height and box.left + box.width <= width
        seen[box.top : box.top + box.height, box.left : box.left + box.width] += 1
    assert len(cut) == rows * columns and seen.min() >= 1
    if overlap is not None and rows > 1 and columns > 1 and overlap < min(height, width):
        assert overlap_of(cut) == overlap
    if overlap == 0:
        assert seen.max() == 1


@settings(same, max_examples=100)
@given(st.integers(1, 500))
def test_the_grid_is_the_one_nearest_to_a_square(parts):
    rows, columns = grid_of(parts)
    assert rows * columns == parts and rows <= columns
    assert not any(parts % n == 0 for n in range(rows + 1, int(parts**0.5) + 1))


@settings(same, max_examples=100)
@given(st.data(), st.integers(1, 40), st.integers(1, 7), st.integers(1, 3), st.sampled_from(["same", "valid"]))
def test_a_window_slides_as_its_part_does(draw, length, kernel, stride, padding):
    """The window of a layer's output is as long as the output of the layer on the part's input, and lies in it."""
    size = draw.draw(st.integers(1, length))
    start = draw.draw(st.integers(0, length - size))
    window = Window(length, size, (float(start),))
    assume(padding == "same" or kernel <= size)
    slid = window.slide(kernel, stride, padding, "layer")
    ones = [len(range(0, n, stride)) if padding == "same" else (n - kernel) // stride + 1 for n in (length, size)]
    assert [slid.length, slid.size] == ones
    positions = slid.part(0)
    assert len(positions) == slid.size and positions[0] >= 0 and positions[-1] < slid.length
