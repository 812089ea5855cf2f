"""Properties that hold for every box, every index set and every composed network, tried on ones nobody thought of."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from conftest import images_for, on_whole_images, randomize, scores
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import layers

from keras_dd import compose, decompose, snapshot
from keras_dd.boxes import boxes, grid_of, overlap_of
from keras_dd.channels import walk
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


@settings(same, max_examples=300)
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


@settings(same, max_examples=200)
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


# Small functional graphs: every step keeps what composing promises, the mean of the sub-networks' scores.


def conv(x, draw, width):
    filters = width * draw(st.integers(1, 2))
    x = layers.Conv2D(filters, draw(st.sampled_from([1, 3])), padding="same", strides=draw(st.integers(1, 2)))(x)
    return layers.Activation(draw(st.sampled_from(["relu", "tanh", "gelu"])))(x)


def depthwise(x, draw, width):
    return layers.DepthwiseConv2D(3, padding="same")(x)


def norm(x, draw, width):
    return layers.BatchNormalization()(x)


def residual(x, draw, width):
    return layers.Add()([x, layers.Conv2D(x.shape[-1], 3, padding="same", activation="tanh")(x)])


def branches(x, draw, width):
    both = [x, layers.Conv2D(width, 1, activation="relu")(x)]
    return layers.Concatenate()(both[:: draw(st.sampled_from([1, -1]))])


def pool(x, draw, width):
    return draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))(2, padding="same")(x)


STEPS = (conv, depthwise, norm, residual, branches, pool)


def network(draw, steps, width):
    """8x8x3 -> 3 scores."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(width, 3, padding="same")(x)
    for step in steps:
        x = step(x, draw, width)
    x = draw(st.sampled_from([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]))()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


@settings(same, max_examples=8)
@given(st.data(), st.sampled_from([2, 4]), st.lists(st.sampled_from(STEPS), min_size=1, max_size=4))
def test_a_composed_network_is_the_mean_of_its_parts(data, parts, steps):
    rng = np.random.default_rng(0)
    model = network(data.draw, steps, width=parts * data.draw(st.integers(1, 2)))
    subnets = decompose(model, parts, overlap=4)
    for subnet in subnets:
        randomize(subnet, rng)
    # On whole images all parts see what the full network sees.
    wholes = on_whole_images(subnets, lambda: decompose(model, parts, grid=None, overlap=8)[0])
    images = images_for(model, rng) / 255
    each = np.stack([scores(whole, images) for whole in wholes])
    np.testing.assert_allclose(scores(compose(subnets, model), images), each.mean(0), atol=1e-5 * np.abs(each).max())
    # Index sets: the parts' channels are a partition of every hidden tensor, and all of the output.
    for visit in walk(model, subnets.boxes):
        channels = visit.output.channels
        dealt = np.sort(np.concatenate(channels.parts()))
        expected = np.repeat(np.arange(channels.length), parts if channels.shared else 1)
        assert np.array_equal(dealt, expected)


@settings(same, max_examples=30)
@given(st.lists(hnp.arrays(np.float32, hnp.array_shapes(max_side=4)), max_size=4), st.data())
def test_a_snapshot_comes_back_whole_or_not_at_all(arrays, data):
    """Whatever it holds, and wherever it is cut off or altered."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot.write(Path(folder), "stage", arrays, {"position": [1, 2]})
        [path] = snapshot.files(folder, "stage")
        again, facts = snapshot.read(path)
        assert facts == {"position": [1, 2]} and len(again) == len(arrays)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, arrays, strict=True))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            path.write_bytes(content[:at])
        else:
            content[at] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(content)
        assert snapshot.read(path) is None
