"""boxes.py: the paper's sub-domains, other grids, and what does not come out in whole pixels."""

import re

import numpy as np
import pytest

from keras_dd.boxes import Box, boxes, grid_of, near, overlap_of
from keras_dd.config import UserError


@pytest.mark.parametrize(
    ("side", "parts", "overlap", "height", "width", "tops", "lefts"),
    [
        (32, 4, 8, 20, 20, [0, 12], [0, 12]),  # the paper's CIFAR
        (32, 4, 0, 16, 16, [0, 16], [0, 16]),  # Fig. 1
        (32, 4, None, 20, 20, [0, 12], [0, 12]),
        (224, 4, None, 140, 140, [0, 84], [0, 84]),
        (224, 8, None, 140, 98, [0, 84], [0, 42, 84, 126]),
        (32, 2, None, 32, 20, [0], [0, 12]),
        (32, 9, None, 16, 16, [0, 8, 16], [0, 8, 16]),
        (32, 16, None, 14, 14, [0, 6, 12, 18], [0, 6, 12, 18]),
        (32, 1, None, 32, 32, [0], [0]),
        (32, 4, 32, 32, 32, [0, 0], [0, 0]),  # every box the whole image
    ],
)
def test_boxes_are_those_of_the_paper(side, parts, overlap, height, width, tops, lefts):
    expected = [Box(top, left, height, width) for top in tops for left in lefts]
    assert list(boxes((side, side, 3), parts, overlap=overlap)) == expected


@pytest.mark.parametrize(
    ("parts", "grid"), [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (7, (1, 7)), (8, (2, 4)), (9, (3, 3)), (16, (4, 4))]
)
def test_the_grid_is_the_one_nearest_to_a_square(parts, grid):
    assert grid_of(parts) == grid


@pytest.mark.parametrize(
    ("shape", "parts", "grid", "overlap"),
    [
        ((32, 32, 3), 4, (1, 4), None),
        ((32, 32, 3), 4, (4, 1), 8),
        ((32, 32, 3), 8, (4, 2), None),
        ((30, 40, 3), 6, (2, 3), (6, 10)),
        ((30, 40, 3), 6, [2, 3], [6, 10]),
        ((33, 47, 1), 4, None, None),
        ((28, 28, 1), 9, None, None),
        ((32, 32, 3), np.int64(4), None, np.int64(8)),
    ],
)
def test_equal_boxes_cover_the_image(shape, parts, grid, overlap):
    covered = np.zeros(shape[:2], int)
    cut = boxes(shape, parts, grid, overlap)
    for box in cut:
        assert box.top >= 0 and box.left >= 0
        assert box.of(covered[None, :, :, None]).shape == (1, box.height, box.width, 1)
        covered[box.top : box.top + box.height, box.left : box.left + box.width] += 1
    assert covered.min() >= 1
    assert len(cut) == parts and len({(box.height, box.width) for box in cut}) == 1


def test_a_box_cuts_its_part_out_of_images():
    images = np.arange(2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    np.testing.assert_array_equal(Box(1, 2, 3, 4).of(images), images[:, 1:4, 2:6])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 7}, "overlap 7 .*height of 32 px into 2 boxes of 19.5 px.* overlap 4 or 6 or 8"),
        ({"overlap": (8, 9)}, "overlap 9 .*width of 32 px.* overlap 6 or 8 or 10"),
        ({"overlap": -2}, "overlap -2 .*with overlap 0 or 2 or 4"),
        ({"overlap": 40}, "overlap 40 .*with overlap 26 or 28 or 30"),
        ({"overlap": 8.5}, "overlap is 8.5: it must be a whole number"),
        ({"overlap": "8"}, "overlap is '8': it must be a whole number"),
        ({"parts": 9, "overlap": 7}, "overlap 7 .*3 boxes of 15.3333 px.*overlap 5 or 8"),
        ({"parts": 0}, "parts is 0: .*1 or more"),
        ({"parts": -4}, "parts is -4: .*1 or more"),
        ({"parts": 4.0}, "parts is 4.0: it must be a whole number"),
        ({"grid": (2, 3)}, "grid 2x3 has 6 boxes but parts is 4: try grid 2x2"),
        ({"grid": (-2, -2)}, "grid is -2: it must be a whole number, 1 or more"),
        ({"grid": (0, 4)}, "grid is 0: it must be a whole number, 1 or more"),
        ({"parts": 37}, "width of 32 px cannot be cut into 37 boxes: use fewer parts"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(options, message):
    with pytest.raises(UserError) as caught:
        boxes((32, 32, 3), **options)
    assert re.search(message, str(caught.value)), caught.value


def test_the_overlaps_that_an_error_names_do_fit():
    with pytest.raises(UserError) as caught:
        boxes((224, 224, 3), 8, overlap=57)
    named = [int(n) for n in re.findall(r"\d+", str(caught.value).split("with overlap")[1])]
    assert len(named) == 3 and 56 in named
    for overlap in named:
        boxes((224, 224, 3), 8, overlap=overlap)


@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("parts", [2, 4, 16])
def test_boxes_tell_their_overlap(parts, overlap):
    assert overlap_of(boxes((32, 32, 3), parts, overlap=overlap)) == overlap


def test_boxes_of_two_overlaps_or_none_tell_no_overlap():
    assert overlap_of(boxes((32, 16, 3), 4)) is None
    assert overlap_of(boxes((32, 32, 3), 1)) is None


def test_the_overlap_near_a_share_is_one_that_fits():
    assert near((32, 32, 3), (2, 2), 0.0) == (0, 0) and near((32, 32, 3), (2, 2), 0.25) == (8, 8)
    assert near((28, 32, 3), (3, 3), 0.0) == (1, 2) and near((224, 224, 3), (2, 4), 0.25) == (56, 56)
    assert near((2, 32, 3), (4, 1), 0.0) == (0, 0)  # what does not fit is refused where it is cut
    for share in (0.0, 0.1, 0.5):
        boxes((28, 32, 3), 9, overlap=near((28, 32, 3), (3, 3), share))
