"""models/: parameter counts, names, inputs, errors; tests/test_models_in_numpy.py has what they compute."""

import keras
import numpy as np
import pytest
from conftest import scores

from keras_dd.boxes import boxes
from keras_dd.channels import walk
from keras_dd.config import UserError
from keras_dd.decomposition import part_of
from keras_dd.models import DEPTHS, MODELS, PUBLISHED, STACKS, bottleneck, cnn, fastresnet, resnet, speednet


def trainable(build, *args, **kwargs):
    with keras.StatelessScope():  # variables get a shape and no value: this is twice as fast
        model = build(*args, **kwargs)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# Trainable parameters at width 16, 10 classes, by hand: 3x3 kernels 9 i o, gamma and beta 2 a channel, 1x1 shortcuts.
COUNTS = {
    "cnn": 16 * 76 + 32 * 401 + 128 * 2049 + 10 * 129,
    "resnet8": 78_042,
    "resnet14": 175_258,
    "resnet20": 272_474,
    "resnet32": 466_906,
    "resnet44": 661_338,
    "resnet56": 855_770,
    "resnet110": 1_730_714,
    "resnet50": 1_486_106,
    "resnet101": 2_682_906,
    "fastresnet20": 271_898,
    "fastresnet56": 853_850,
    "fastresnet110": 1_726_778,
    "fastresnet668": 10_747_034,
    "speednet": 9 * (24 * 16 + 16 * 16 + 16 * 64 + 3 * 64 * 64) + 2 * 16 + 4 * 64 + 640,  # its first layer is frozen
}
IDENTITY = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_its_published_count(name):
    if name not in ("fastresnet110", "fastresnet668"):  # of more of the same blocks, and slow to build
        assert trainable(MODELS[name], width=16, classes=10, image_shape=(32, 32, 3)) == COUNTS[name]


def test_no_model_is_missed():
    resnets, fast = (f"resnet{depth}" for depth in (*DEPTHS, 50, 101)), (f"fastresnet{depth}" for depth in PUBLISHED)
    assert set(COUNTS) == set(MODELS) == {"cnn", "speednet", *resnets, *fast}
    assert DEPTHS == (8, 14, 20, 32, 44, 56, 110)


def test_speednet_has_its_published_count():
    """1.97 million."""
    assert trainable(speednet, 64) == 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256**2) + 2 * 64 + 4 * 256 + 2560
    assert round(trainable(speednet, 64) / 1e6, 2) == 1.97


def by_hand(depth, width, shortcut, classes=10):
    """The count of a ResNet, from the paper's table of layers."""
    blocks = (depth - 2) // 6
    count = 9 * 3 * width + 2 * width
    for before, filters in ((width, width), (width, 2 * width), (2 * width, 4 * width)):
        count += 9 * before * filters + (2 * blocks - 1) * 9 * filters**2 + 2 * blocks * 2 * filters
        if shortcut == "projection" and before != filters:
            count += before * filters + 2 * filters
    return count + (4 * width + 1) * classes


@pytest.mark.parametrize(("depth", "count"), IDENTITY.items())
def test_identity_shortcuts_give_the_counts_of_he_et_al(depth, count):
    """0.27, 0.46, 0.66, 0.85 and 1.7 million in their table 6."""
    assert by_hand(depth, 16, "identity") == count
    assert round(count / 1e6, 1 if depth == 110 else 2) == {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}[depth]
    if depth < 32:  # the deeper ones are the same code, and slow to build
        assert trainable(resnet, depth, 16, shortcut="identity") == count


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_counts_of_the_table_are_those_by_hand(depth):
    assert by_hand(depth, 16, "projection") == COUNTS[f"resnet{depth}"]


@pytest.mark.parametrize("shortcut", ["projection", "identity"])
@pytest.mark.parametrize(("depth", "width", "classes"), [(8, 64, 100), (14, 4, 7)])
def test_counts_at_other_widths(depth, width, classes, shortcut):
    expected = by_hand(depth, width, shortcut, classes)
    assert trainable(resnet, depth, width, classes, shortcut=shortcut) == expected


def test_the_papers_resnet32_and_its_subnetworks():
    """Widths 64/128/256, and sub-networks of 16/32/64 with 0.47 M parameters each, 1/16 of the full network."""
    full, part = trainable(resnet, 32, 64), COUNTS["resnet32"]
    assert round(part / 1e6, 2) == 0.47
    assert 15.5 < full / part < 16


def test_moving_statistics_are_not_trained():
    model = resnet(20, shortcut="identity", image_shape=(8, 8, 3))
    channels = sum(w.shape[0] for w in model.weights if w.name == "gamma")
    assert model.count_params() == 269_722 + 2 * channels


ACTIVATED = {"basic": (1, 1), "type1": (0, 1), "type2": (1, 0)}  # the first and the second convolution of a block


def fast_by_hand(depth, width, shortcut, block, classes=10):
    """3x3 kernels, and gamma and beta of the activations."""
    blocks, (first, second) = (depth - 2) // 6, ACTIVATED[block]
    count = 9 * 3 * width + 2 * 4 * width + (4 * width + 1) * classes
    for before, filters in ((width, width), (width, 2 * width), (2 * width, 4 * width)):
        count += 9 * before * filters + (2 * blocks - 1) * 9 * filters**2
        count += 2 * first * (before + (blocks - 1) * filters) + 2 * second * blocks * filters
        if shortcut == "projection" and before != filters:
            count += before * filters + 2 * filters
    return count


@pytest.mark.parametrize("depth", PUBLISHED)
def test_the_counts_of_fastresnets_are_those_by_hand(depth):
    assert fast_by_hand(depth, 16, "projection", "type1") == COUNTS[f"fastresnet{depth}"]


@pytest.mark.parametrize("shortcut", ["projection", "identity"])
@pytest.mark.parametrize(("block", "depth", "width"), [("basic", 14, 3), ("type1", 14, 8), ("type2", 8, 5)])
def test_fastresnets_of_every_block(block, depth, width, shortcut):
    expected = fast_by_hand(depth, width, shortcut, block, classes=7)
    assert trainable(fastresnet, depth, width, 7, shortcut=shortcut, block=block) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("basic", "1_bn 1_relu 1_conv 2_bn 2_relu 2_conv add"),
        ("type1", "1_conv 2_bn 2_relu 2_conv add"),
        ("type2", "1_bn 1_relu 1_conv 2_conv add"),
    ],
)
def test_blocks_have_the_layers_of_the_papers_fig_3(block, expected):
    model = fastresnet(14, 2, block=block, image_shape=(8, 8, 3))
    for start in ("stack1_block1_", "stack3_block2_"):
        names = [layer.name.removeprefix(start) for layer in model.layers if layer.name.startswith(start)]
        assert names == expected.split()
    assert sum(name.endswith("_conv") for name in (layer.name for layer in model.layers)) == 14 - 1 + 2  # 2 shortcuts
    assert [layer.name for layer in model.layers[-4:]] == ["last_bn", "last_relu", "pool", "head"]


def bottleneck_by_hand(depth, width, shortcut, classes):
    count, before = 49 * 3 * width + 2 * width, width
    for number, blocks in enumerate(STACKS[depth]):
        inner, outer = width * 2**number, 4 * width * 2**number
        # 1x1, 3x3 and 1x1 kernels, gamma and beta.
        each = 9 * inner**2 + inner * outer + 4 * inner + 2 * outer
        count += blocks * each + inner * before + (blocks - 1) * inner * outer
        count += (before * outer + 2 * outer) * (shortcut == "projection")
        before = outer
    return count + (before + 1) * classes


@pytest.mark.parametrize(
    ("depth", "classes", "count"),
    [(50, 1000, 25_557_032), (101, 1000, 44_549_160), (50, 101, 23_714_981), (101, 101, 42_707_109)],
)
def test_resnets_of_bottlenecks_have_their_published_counts(depth, classes, count):
    """25.6 and 44.5 million for ImageNet; Food-101 has 101 classes."""
    assert bottleneck_by_hand(depth, 64, "projection", classes) == count
    assert bottleneck_by_hand(depth, 16, "projection", 10) == COUNTS[f"resnet{depth}"]
    if (depth, classes) == (50, 1000):  # the others are the same code, and slow to build
        assert trainable(bottleneck, depth, 64, classes) == count


def test_bottlenecks_with_identity_shortcuts():
    assert trainable(bottleneck, 50, 8, 7, (32, 32, 3), "identity") == bottleneck_by_hand(50, 8, "identity", 7)


def test_the_papers_parts_of_bottlenecks():
    """Boxes 2x4 of 224x224, and a part with the very shapes of a network of 1/K of the width.

    ResNet101 is this with more of the same blocks in stack 3, whose count is tested above; for 2x2, see test_boxes.py.
    """
    depth, parts, box = 50, 8, (140, 98)
    with keras.StatelessScope():
        domains = boxes((224, 224, 3), parts)
        assert {(b.height, b.width) for b in domains} == {box}
        model = MODELS[f"resnet{depth}"](width=64, classes=101, image_shape=(224, 224, 3))
        assert model.output_shape == (None, 101) and model.get_layer("stack4_block3_relu").output.shape[1:3] == (7, 7)
        last = part_of(model, walk(model, domains), domains[-1], parts - 1, "part")
        narrow = bottleneck(depth, 64 // parts, 101, (*box, 3))
    for mine, its in zip(last.layers, narrow.layers, strict=True):
        assert (mine.name, type(mine), mine.output.shape) == (its.name, type(its), its.output.shape)
        assert [w.shape for w in mine.weights] == [w.shape for w in its.weights]


@pytest.mark.parametrize("name", ["cnn", "resnet8", "resnet50", "fastresnet20", "speednet"])
def test_a_model_takes_raw_images_and_gives_logits(name, rng):
    model = MODELS[name](width=8, classes=7, image_shape=(16, 24, 1))
    assert model.input_shape == (None, 16, 24, 1) and model.output_shape == (None, 7)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) and {"image", "rescale", "head"} <= set(names)
    assert not any(name[-1].isdigit() and "_" in name[-3:] for name in names), "an automatic name"
    raw = rng.integers(0, 256, (2, 16, 24, 1), dtype="uint8")
    np.testing.assert_array_equal(scores(model, raw), scores(model, raw.astype("float32")))
    rescaled = model.get_layer("rescale")(np.array([0.0, 127.5, 255.0]))
    np.testing.assert_allclose(rescaled, [-1, 0, 1], atol=1e-6)
    assert model.get_layer("head").activation is keras.activations.linear


@pytest.mark.parametrize("build", [cnn, resnet, bottleneck, fastresnet, speednet])
def test_images_can_be_standardised(build):
    """Whatever builds the network: to mean 0 and variance 1, and a channel that never varies to 0."""
    with keras.StatelessScope():
        model = build(width=2, image_shape=(32, 32, 3), moments=([10, 20, 30], (4, 0.25, 0)))
    rescaled = model.get_layer("rescale")(np.array([[[[12.0, 19, 30]]]]))
    np.testing.assert_allclose(rescaled, [[[[1, -2, 0]]]], atol=1e-5)


def test_logits_are_float32_whatever_the_policy(bfloat16):
    for model in (cnn(4), resnet(8, 4, image_shape=(8, 8, 3))):
        assert model.output.dtype == "float32" and model.get_layer(index=2).compute_dtype == "bfloat16"


def test_the_cnn_is_that_of_fig_1():
    """The full network, and one of its sub-networks on a quarter of the image."""
    for width, side, units in ((16, 32, (16, 32, 128, 10)), (4, 16, (4, 8, 32, 10))):
        model = cnn(width, image_shape=(side, side, 3))
        layers = [model.get_layer(name) for name in ("conv1", "conv2", "dense", "head")]
        assert tuple(layer.kernel.shape[-1] for layer in layers) == units
        assert layers[0].kernel_size == layers[1].kernel_size == (5, 5)
        assert model.get_layer("flatten").output.shape == (None, (side // 4) ** 2 * 2 * width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 18}, "depth 18 of a resnet must be 6n.2.*try 14 or 20"),
        ({"depth": 2}, "depth 2 of a resnet must be 6n.2.*try 8 or 14"),
        ({"depth": -4}, "depth is -4: it must be a whole number, 1 or more"),
        ({"depth": 34, "build": bottleneck}, "depth 34 of a bottleneck resnet is not known: it is 50 or 101"),
        ({"shortcut": "identify", "build": bottleneck}, "unknown shortcut 'identify': did you mean 'identity'"),
        ({"depth": 18, "build": fastresnet}, "depth 18 of a resnet must be 6n.2.*try 14 or 20"),
        ({"block": "type3", "build": fastresnet}, "unknown block 'type3': did you mean 'type2'"),
        ({"shortcut": "identify"}, "unknown shortcut 'identify': did you mean 'identity'"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    build = options.pop("build", resnet)
    with pytest.raises(UserError, match=message):
        build(**options)
