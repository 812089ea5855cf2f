"""composition.py: the composed network is the mean of its sub-networks, and holds their weights and nothing else."""

import functools

import keras
import numpy as np
import pytest
from conftest import assert_mean, images_for, on_whole_images, randomize, scores
from keras import layers

from keras_dd import compose, decompose
from keras_dd.config import UserError
from keras_dd.models import cnn, fastresnet, resnet

WIDTH, CLASSES = 8, 5


@functools.cache
def composed_resnet(depth, shortcut):
    """(full network, its decomposition with random weights and statistics, what it is composed to)."""
    model = resnet(depth, WIDTH, CLASSES, (32, 32, 3), shortcut)
    rng = np.random.default_rng(depth)
    subnets = decompose(model, 4)
    for subnet in subnets:
        randomize(subnet, rng)
    return model, subnets, compose(subnets, model)


@functools.cache
def composed_cnn():
    model = cnn(WIDTH, CLASSES)
    subnets = decompose(model, 4, overlap=0)
    rng = np.random.default_rng(1)
    for subnet in subnets:
        randomize(subnet, rng)
    return model, subnets, compose(subnets, model)


@pytest.mark.parametrize(("depth", "shortcut"), [(8, "projection"), (8, "identity")])
def test_a_resnet_composes_to_the_mean_on_whole_images(depth, shortcut, rng):
    """The sub-networks are trained on boxes of 20x20, and applied to the whole images of 32x32."""
    model, subnets, composed = composed_resnet(depth, shortcut)
    narrow = functools.partial(resnet, depth, WIDTH // 4, CLASSES, (32, 32, 3), shortcut)
    assert_mean(composed, on_whole_images(subnets, narrow), images_for(model, rng))


@pytest.mark.parametrize(("depth", "shortcut"), [(20, "projection"), (20, "identity")])
def test_a_deep_resnet_composes_to_the_mean(depth, shortcut, rng):
    """Few pixels and two parts, to be quick.  The deeper ones are more of the same blocks."""
    model = resnet(depth, 4, CLASSES, (8, 8, 3), shortcut)
    subnets = decompose(model, 2, overlap=8)
    for subnet in subnets:
        randomize(subnet, rng)
    assert_mean(compose(subnets, model), subnets, images_for(model, rng))


@pytest.mark.parametrize(
    ("block", "shortcut", "parts"), [("basic", "identity", 2), ("type1", "projection", 4), ("type2", "identity", 3)]
)
def test_a_fastresnet_composes_to_the_mean(block, shortcut, parts, rng):
    """Each block, and both ways from stack to stack; 3 parts of 4 channels are of unequal width."""
    model = fastresnet(8, 4, CLASSES, (8, 8, 3), shortcut, block)
    subnets = decompose(model, parts, overlap=8)
    for subnet in subnets:
        randomize(subnet, rng)
    assert_mean(compose(subnets, model), subnets, images_for(model, rng))


@pytest.mark.parametrize("case", ["projection", "identity", "cnn"])
def test_the_full_network_has_every_weight_of_the_sub_networks_and_nothing_else(case):
    _, subnets, composed = composed_cnn() if case == "cnn" else composed_resnet(8, case)
    for layer in composed.layers:
        for i, weight in enumerate(layer.get_weights()):
            parts = [subnet.get_layer(layer.name).get_weights()[i] for subnet in subnets]
            if layer.name == "head":
                parts = [part / 4 for part in parts] if weight.ndim == 2 else [np.mean(parts, axis=0)]
            expected = np.sort(np.concatenate([part.ravel() for part in parts]))
            np.testing.assert_allclose(np.sort(weight[weight != 0]), expected, rtol=1e-6, err_msg=layer.name)


def test_kernels_are_side_by_side_block_diagonal_and_stacked():
    """the composition rules of the paper, sec. 2.3, where every layer's channels are dealt in equal runs."""
    _, subnets, composed = composed_resnet(8, "projection")

    def runs(length):
        return np.split(np.arange(length), 4)

    for layer in composed.layers:
        for i, weight in enumerate(layer.get_weights()):
            expected = np.zeros_like(weight)
            for k, subnet in enumerate(subnets):
                part = subnet.get_layer(layer.name).get_weights()[i]
                if layer.name == "head":
                    expected[runs(len(weight))[k] if weight.ndim == 2 else ...] += part / 4
                elif layer.name == "stem_conv":
                    expected[..., runs(weight.shape[-1])[k]] = part
                elif weight.ndim == 1:
                    expected[runs(len(weight))[k]] = part
                else:
                    ix = np.ix_(range(weight.shape[0]), range(weight.shape[1]), *(runs(n)[k] for n in weight.shape[2:]))
                    expected[ix] = part
            np.testing.assert_allclose(weight, expected, rtol=1e-6, err_msg=layer.name)


def test_the_model_is_left_as_it_was():
    model = cnn(WIDTH, image_shape=(16, 16, 3))
    subnets = decompose(model, 4)
    weights = [m.get_weights() for m in (model, *subnets)]
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    composed = compose(subnets, model)
    assert all(all(map(np.array_equal, w, m.get_weights())) for w, m in zip(weights, (model, *subnets), strict=True))
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]
    assert composed is not model and composed.get_config() == model.get_config()


# A network with Flatten: part k's weights lie at the positions of its own box.


def valid_cnn(image_shape=(32, 32, 3), width=8):
    x = image = keras.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.MaxPooling2D()(layers.Conv2D(width, 5, activation="relu")(x))
    x = layers.MaxPooling2D()(layers.Conv2D(2 * width, 3, activation="relu")(x))
    x = layers.Dense(4 * width, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(CLASSES)(x))


@pytest.mark.parametrize(("parts", "overlap", "grid"), [(4, 0, None), (4, 8, None), (2, 8, (2, 1)), (8, 16, None)])
def test_without_padding_a_flatten_composes_to_the_mean_of_the_boxes(parts, overlap, grid, rng):
    """Each sub-network on its own box: its weights are at its positions, where the full network computes just the same
    from the same pixels, for no kernel reaches beyond the box and boxes begin at multiples of 4 (two poolings)."""
    model = valid_cnn()
    subnets = decompose(model, parts, overlap, grid)
    images = images_for(model, rng)
    each = [scores(randomize(subnet, rng), box.of(images)) for subnet, box in zip(subnets, subnets.boxes, strict=True)]
    assert np.ptp(each, axis=0).max() > 0.1
    np.testing.assert_allclose(scores(compose(subnets, model), images), np.mean(each, axis=0), atol=1e-5)


@pytest.mark.parametrize(("layer", "side", "reached"), [("pool1", 8, 1), ("pool2", 4, 2)])
def test_with_padding_a_box_differs_only_within_reach_of_its_inner_borders(layer, side, reached, rng):
    """At an inner border a sub-network has zeros beyond its box (padding "same"), where the full network has the pixels
    of the neighbour.  A 5x5 kernel reaches 2 positions over the border: behind the first pooling one row of positions
    has seen that, and behind the second convolution 3 more, which the second pooling makes 2.  So equality of the
    logits cannot hold for this network; all other positions are equal.  At the image's own borders both have zeros."""
    model, subnets, composed = composed_cnn()
    images = images_for(model, rng)

    def features(network, x):
        return scores(keras.Model(network.input, network.get_layer(layer).output), x)

    whole = features(composed, images)
    channels = whole.shape[-1] // 4
    for k, (subnet, box) in enumerate(zip(subnets, subnets.boxes, strict=True)):
        top, left = (start // 16 * side for start in (box.top, box.left))
        mine = whole[:, top : top + side, left : left + side, k * channels : (k + 1) * channels]
        differs = np.abs(mine - features(subnet, box.of(images))).max(axis=(0, 3)) > 1e-5
        expected = np.zeros((side, side), bool)
        expected[slice(-reached, None) if top == 0 else slice(reached)] = True
        expected[:, slice(-reached, None) if left == 0 else slice(reached)] = True
        np.testing.assert_array_equal(differs, expected)


def test_rows_behind_a_flatten_are_zero_outside_the_parts_positions():
    _, subnets, composed = composed_cnn()
    kernel = composed.get_layer("dense").kernel.numpy().reshape(8, 8, 2 * WIDTH, 8 * WIDTH)
    for k, (subnet, box) in enumerate(zip(subnets, subnets.boxes, strict=True)):
        units, channels = (slice(k * n // 4, (k + 1) * n // 4) for n in (8 * WIDTH, 2 * WIDTH))
        place = (slice(box.top // 4, box.top // 4 + 4), slice(box.left // 4, box.left // 4 + 4), channels, units)
        part = subnet.get_layer("dense").kernel.numpy()
        np.testing.assert_array_equal(kernel[place].reshape(part.shape), part)
        kernel[place] = 0
    assert not kernel.any()


# Other widths and more parts.


@pytest.mark.parametrize(("parts", "shortcut"), [(3, "projection"), (5, "identity")])
def test_parts_of_unequal_width_compose_to_their_mean(parts, shortcut, rng):
    """The head is divided by K whatever the widths of the parts."""
    model = resnet(8, 7, CLASSES, (8, 8, 3), shortcut)
    subnets = [randomize(subnet, rng) for subnet in decompose(model, parts, overlap=8)]
    assert_mean(compose(subnets, model), subnets, images_for(model, rng))


def test_16_parts_as_4_of_4_compose_twice_to_what_they_compose_to_at_once(rng):
    model = cnn(16, CLASSES, (8, 8, 3))
    quarters = decompose(model, 4, overlap=8)
    parts = [decompose(quarter, 4, overlap=8) for quarter in quarters]
    everyone = [randomize(part, rng) for four in parts for part in four]
    twice = compose([compose(four, quarter) for four, quarter in zip(parts, quarters, strict=True)], model)
    assert_mean(twice, everyone, images_for(model, rng))
    once = compose(everyone, model)
    for a, b in zip(twice.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_parts_of_a_part_see_boxes_of_its_box():
    quarter = decompose(cnn(16), 4, overlap=0)[0]
    assert [(box.top, box.left, box.height) for box in decompose(quarter, 4, overlap=0).boxes] == [
        (top, left, 8) for top in (0, 8) for left in (0, 8)
    ]


# Sub-networks from elsewhere.


@pytest.mark.parametrize(
    ("parts", "overlap", "grid"), [(4, 0, None), (4, None, None), (2, 8, (2, 1)), (4, None, (1, 4)), (9, None, None)]
)
def test_a_list_of_sub_networks_is_as_good_as_the_decomposition(parts, overlap, grid, rng):
    """Their boxes are told from their inputs, and from the grid where it is not the nearest to a square."""
    model = cnn(18 if parts == 9 else 4, CLASSES)
    subnets = decompose(model, parts, overlap, grid)
    for subnet in subnets:
        randomize(subnet, rng)
    expected = compose(subnets, model).get_weights()
    assert all(map(np.array_equal, compose(list(subnets), model, grid=grid).get_weights(), expected))
    if grid:
        with pytest.raises(UserError, match=r"say which grid they are, or compose what decompose\(model\) gave"):
            compose(list(subnets), model)


def other(**options):
    return decompose(cnn(**{"width": 8, "image_shape": (16, 16, 3)} | options), 4)


def without_bias():
    model = keras.models.clone_model(
        cnn(8, image_shape=(16, 16, 3)),
        clone_function=lambda x: type(x).from_config(
            x.get_config() | ({"use_bias": False} if "conv" in x.name else {})
        ),
    )
    return decompose(model, 4)


@pytest.mark.parametrize(
    ("subnets", "message"),
    [
        (lambda: other(width=16), "'conv1' of sub-network 1 has a weight of shape .*compose the sub-networks that"),
        (lambda: other(classes=3), "'head' of sub-network 1 has a weight of shape .*compose the sub-networks that"),
        (
            lambda: list(other(image_shape=(32, 32, 3))),
            "4 sub-networks that see 20x20 px are no grid 2x2 of an image of 16x16 px: say which grid",
        ),
        (without_bias, "'conv1' of sub-network 1 has 1 weights, that of the full network 2: compose the sub-networks"),
        (lambda: decompose(resnet(8, 8, image_shape=(16, 16, 3)), 4), "sub-network 1 has no layer 'conv1': compose"),
        (lambda: list(other())[:3], "3 sub-networks that see 10x10 px are no grid 1x3 of an image of 16x16 px"),
        (lambda: [], "there are no sub-networks to compose: give those of decompose"),
    ],
)
def test_sub_networks_of_another_model_are_refused(subnets, message):
    with pytest.raises(UserError, match=message):
        compose(subnets(), cnn(8, image_shape=(16, 16, 3)))


def test_slopes_of_another_box_are_refused():
    def model(side, **options):
        image = keras.Input((side, side, 3))
        x = layers.PReLU(name="slopes", **options)(layers.Conv2D(4, 1, name="conv")(image))
        return keras.Model(image, layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(x)))

    with pytest.raises(UserError, match="2 sub-networks that see 8x5 px are no grid 1x2 of an image of 16x16 px"):
        compose(decompose(model(8), 2), model(16))
    with pytest.raises(
        UserError, match="'slopes' of sub-network 1 has a weight of shape .*compose the sub-networks that"
    ):
        compose(decompose(model(8, shared_axes=[1, 2]), 2), model(8))


# Precision.


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_networks_of_low_precision_compose(policy, rng):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = resnet(8, 8, image_shape=(16, 16, 3))
        subnets = decompose(model, 4, overlap=16)
        for subnet in subnets:
            randomize(subnet, rng)
        composed = compose(subnets, model)
    finally:
        keras.config.set_dtype_policy(before)
    assert composed.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert [w.dtype for w in composed.weights] == [w.dtype for w in model.weights]
    assert_mean(composed, subnets, images_for(model, rng), tolerance=0.03)  # 8 bits of mantissa
