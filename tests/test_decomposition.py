"""decomposition.py: sub-networks are the same network at a K-th of the width, on a box of the image."""

import json

import keras
import numpy as np
import pytest
from conftest import images_for, scores
from keras import layers

from keras_dd import decompose
from keras_dd.config import UserError
from keras_dd.models import cnn, fastresnet, resnet

IMAGE = (32, 32, 3)


def description(model):
    """Class, name, config and shapes of weights of every layer, as JSON (which has no tuples)."""
    return [
        json.loads(json.dumps([type(x).__name__, x.name, x.get_config(), [tuple(w.shape) for w in x.weights]]))
        for x in model.layers
    ]


@pytest.mark.parametrize(
    ("parts", "grid", "overlap", "box"),
    [
        (2, None, None, (32, 20, 3)),
        (4, None, None, (20, 20, 3)),
        (4, None, 0, (16, 16, 3)),
        (4, (1, 4), None, (32, 14, 3)),
        (8, None, None, (20, 14, 3)),
        (8, (4, 2), None, (14, 20, 3)),
        (9, None, None, (16, 16, 3)),
        (16, None, None, (14, 14, 3)),
    ],
)
def test_the_cnn_decomposes_into_itself_at_less_width(parts, grid, overlap, box):
    parts_of = decompose(cnn(2 * parts), parts, overlap, grid)
    expected = description(cnn(2, image_shape=box))
    assert len(parts_of) == len(parts_of.boxes) == parts
    assert all(description(subnet) == expected for subnet in parts_of)


@pytest.mark.parametrize(
    ("shortcut", "depth", "width", "parts"),
    [("projection", 8, 16, 4), ("identity", 8, 16, 4), ("projection", 8, 9, 9), ("identity", 14, 8, 2)],
)
def test_the_resnet_decomposes_into_itself_at_less_width(shortcut, depth, width, parts):
    model = resnet(depth, width, classes=7, shortcut=shortcut)
    parts_of = decompose(model, parts)
    box = parts_of.boxes[0]
    narrow = resnet(depth, width // parts, 7, (box.height, box.width, 3), shortcut)
    for subnet in (parts_of[0], parts_of[-1]):
        assert description(subnet) == description(narrow)
        assert [x.output.shape for x in subnet.layers] == [x.output.shape for x in narrow.layers]


@pytest.mark.parametrize(("block", "shortcut"), [("basic", "projection"), ("type1", "identity"), ("type2", "identity")])
def test_fastresnets_decompose_into_themselves_at_less_width(block, shortcut):
    parts_of = decompose(fastresnet(8, 8, 7, (16, 16, 3), shortcut, block, ([1, 2, 3], [4, 5, 6])), 4)
    box = parts_of.boxes[0]
    narrow = fastresnet(8, 2, 7, (box.height, box.width, 3), shortcut, block, ([1, 2, 3], [4, 5, 6]))
    for subnet in (parts_of[0], parts_of[-1]):
        assert description(subnet) == description(narrow)
        assert subnet.get_layer("rescale").get_config() == narrow.get_layer("rescale").get_config()


@pytest.mark.parametrize("parts", [3, 7])
def test_parts_of_a_width_that_they_do_not_divide_are_of_nearly_equal_width(parts):
    """And their sum is the full width."""
    subnets = decompose(resnet(8, 16, image_shape=(20, 20, 3)), parts, overlap=20)
    for name, width in (("stem_conv", 16), ("stack2_block1_1_conv", 32), ("stack3_block1_shortcut_conv", 64)):
        widths = [subnet.get_layer(name).filters for subnet in subnets]
        assert sum(widths) == width and max(widths) - min(widths) == 1


def test_fig_1():
    """16x16 input, 4, 8, dense 32, dense 10."""
    (part, *_) = decompose(cnn(), 4, overlap=0)
    assert part.input_shape == (None, 16, 16, 3) and part.output_shape == (None, 10)
    names = ("conv1", "conv2", "dense", "head")
    assert [part.get_layer(name).kernel.shape[-1] for name in names] == [4, 8, 32, 10]


def test_a_sub_network_takes_its_box_of_raw_images(rng):
    parts = decompose(cnn(8), 4)
    images = rng.integers(0, 256, (2, *IMAGE), dtype="uint8")
    for subnet, box in zip(parts, parts.boxes, strict=True):
        assert scores(subnet, box.of(images)).shape == (2, 10)


def test_a_decomposition_is_a_sequence_of_named_models():
    parts = decompose(cnn(8), 4)
    assert list(parts) == [parts[k] for k in range(4)] and parts[-1] is parts.subnets[3]
    assert [subnet.name for subnet in parts] == [f"cnn_part{k}" for k in (1, 2, 3, 4)]


def test_the_model_is_left_as_it_was(rng):
    model = resnet(8, 8, image_shape=(16, 16, 3))
    weights = model.get_weights()
    nodes = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in model.layers]
    images = images_for(model, rng)
    before = scores(model, images)
    decompose(model, 4)
    assert nodes == [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in model.layers]
    assert all(map(np.array_equal, weights, model.get_weights()))
    np.testing.assert_array_equal(scores(model, images), before)


def test_sub_networks_begin_with_weights_of_their_own():
    """Whatever seeds the user has written into the initializers."""
    init = keras.initializers.HeNormal(seed=1)
    image = keras.Input((8, 8, 3))
    x = layers.SeparableConv2D(8, 3, depthwise_initializer=init, pointwise_initializer=init)(
        layers.Conv2D(8, 1, kernel_initializer=init, bias_initializer=keras.initializers.RandomNormal(seed=2))(image)
    )
    model = keras.Model(image, layers.Dense(5, kernel_initializer=init)(layers.Flatten()(x)))
    parts = decompose(model, 2, overlap=4)
    for a, b in zip(parts[0].weights, parts[1].weights, strict=True):
        assert a.name == "bias" or not np.allclose(a, b), a.path
    assert not np.allclose(parts[0].layers[1].bias, parts[1].layers[1].bias)
    assert model.layers[1].kernel_initializer.seed == 1


def test_the_same_global_seed_gives_the_same_sub_networks():
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        weights.append([subnet.get_weights() for subnet in decompose(cnn(4, image_shape=(16, 16, 3)), 2)])
    for first, second in zip(*weights, strict=True):
        assert all(map(np.array_equal, first, second))


def test_dtype_policies_are_kept(bfloat16):
    model = resnet(8, 8, image_shape=(16, 16, 3))
    for subnet in decompose(model, 4):
        assert [x.dtype_policy.name for x in subnet.layers] == [x.dtype_policy.name for x in model.layers]
        assert subnet.output.dtype == "float32" and subnet.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_layers_that_are_not_trained_stay_so():
    model = cnn(8)
    model.get_layer("conv1").trainable = False
    assert [x.trainable for x in decompose(model, 4)[0].layers] == [x.trainable for x in model.layers]


def test_parts_have_the_constants_of_their_own_channels():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1)(image)
    x = layers.Rescaling([1, 2, 3, 4, 5, 6], offset=7, name="rescale")(x)
    x = layers.Normalization(mean=[1, 2, 3, 4, 5, 6], variance=[1] * 6, name="normalize")(x)
    model = keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))
    parts = decompose(model, 3, overlap=2)
    assert [subnet.get_layer("rescale").scale for subnet in parts] == [[1, 2], [3, 4], [5, 6]]
    assert [subnet.get_layer("rescale").offset for subnet in parts] == [7, 7, 7]
    assert [np.ravel(subnet.get_layer("normalize").mean).tolist() for subnet in parts] == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 20}, "'conv1' has 16 channels, fewer than the 20 parts: make it 20 channels wide or more"),
        ({"parts": 0}, "parts is 0"),
        ({"parts": 4, "grid": (2, 3)}, "grid 2x3 has 6 boxes but parts is 4"),
        ({"parts": 4, "overlap": 7}, "overlap 7 .*with overlap 4 or 6 or 8"),
        ({"parts": 16, "overlap": -32}, "overlap -32"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        decompose(cnn(16), **options)


def test_boxes_too_small_for_the_strides_are_refused():
    with pytest.raises(UserError, match="'pool2' reaches over 2 positions but its input in a part has only 1"):
        decompose(cnn(16), 16, overlap=0, grid=(1, 16))
