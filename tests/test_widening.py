"""widening.py: a network of more channels and the same function."""

import functools

import keras
import numpy as np
import pytest
from conftest import images_for, randomize, scores
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers

from keras_dd import widen
from keras_dd.config import UserError
from keras_dd.graph import operations
from keras_dd.models import cnn, resnet
from keras_dd.shares import Deal
from keras_dd.widening import _fractions

conv = functools.partial(layers.Conv2D, padding="same")


def assert_same_function(wide, model, rng):
    images = images_for(model, rng)
    expected = scores(model, images)
    assert 0.01 < np.ptp(expected) < 100
    np.testing.assert_allclose(scores(wide, images), expected, atol=1e-5 * max(1, np.abs(expected).max()))


def small(shortcut):
    return resnet(8, 4, 5, (8, 8, 3), shortcut)


def small_cnn():
    return cnn(4, 5, (8, 8, 3))


@pytest.mark.parametrize(
    ("build", "factor", "noise"),
    [
        *((small_cnn, factor, noise) for factor, noise in ((1, 0), (2, 0), (1.5, 0.3), (3, 0.3))),
        *((functools.partial(small, shortcut), 1.5, 0.3) for shortcut in ("projection", "identity")),
        (functools.partial(small, "identity"), 2, 0),
    ],
)
def test_a_wider_network_computes_the_same(build, factor, noise, rng):
    model = randomize(build(), rng)
    wide = widen(model, factor, noise)
    assert_same_function(wide, model, rng)
    for name, layer in operations(model).items():
        width = layer.output.shape[-1]
        kept = name in ("rescale", "head", "stem_pad") or width == 3
        if len(layer.output.shape) == 4 and "channels" not in name and "zeros" not in name:
            assert wide.get_layer(name).output.shape[-1] == (width if kept else round(width * factor)), name


def everything(image):
    """Groups, a channel shuffle, concatenations, squeeze and excite, and a model within the model."""
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(conv(8, 3)(layers.Rescaling(1 / 127.5)(image))))
    x = conv(8, 3, groups=2)(layers.GroupNormalization(4)(x))
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 2, 4))(x))
    x = layers.Concatenate()(
        [
            image / 255,
            conv(6, 1)(layers.Reshape((8, 8, 8))(x)),
            layers.SeparableConv2D(4, 3)(conv(6, 3)(layers.ZeroPadding2D(1)(conv(4, 1)(image / 255)))),
        ]
    )
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    inner = keras.Input(x.shape[1:])
    gate = layers.Dense(26, activation="sigmoid")(
        layers.Dense(3, activation="relu")(keras.ops.mean(inner, axis=(1, 2)))
    )
    x = keras.Model(inner, layers.Multiply()([inner, gate]), name="gated")(x)
    return layers.Dense(5)(layers.Dense(7, activation="gelu")(layers.Flatten()(layers.MaxPooling2D(2)(x))))


def test_every_kind_of_layer_is_widened(rng):
    image = keras.Input((8, 8, 3))
    model = randomize(keras.Model(image, everything(image)), rng)
    wide = widen(model, 2, noise=0.2)
    assert_same_function(wide, model, rng)
    assert wide.count_params() > 2 * model.count_params()


def test_repeated_channels_are_alike_without_noise_and_learn_to_differ_with_it(rng):
    """Equal channels with equal outgoing weights get equal gradients for ever; the noise parts them."""
    model = randomize(cnn(2, 5, (8, 8, 3)), rng)
    images, labels = images_for(model, rng), np.array([0, 1, 2])
    for noise in (0, 0.5):
        wide = widen(model, 2, noise)
        assert all(np.array_equal(w[..., ::2], w[..., 1::2]) for w in wide.get_layer("conv1").get_weights())
        wide.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        wide.train_on_batch(images, labels)
        kernel, _ = wide.get_layer("conv1").get_weights()
        assert np.allclose(kernel[..., ::2], kernel[..., 1::2], atol=1e-6) is (noise == 0)


def test_the_model_is_left_as_it_was_and_the_seed_decides(rng):
    model = randomize(cnn(2, 5, (8, 8, 3)), rng)
    before = model.get_weights()
    first, again, other = (widen(model, 2, 0.1, seed).get_weights() for seed in (0, 0, 1))
    assert all(map(np.array_equal, first, again)) and not all(map(np.array_equal, first, other))
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0.5}, "factor is 0.5: a network is widened by a factor of 1 or more"),
        ({"factor": float("nan")}, "factor is nan"),
        ({"factor": 2, "noise": -1}, "noise is -1: it must be 0 or more"),
    ],
)
def test_what_cannot_be_widened_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        widen(cnn(2, 5, (8, 8, 3)), **options)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            conv(6, 1, groups=2, name="mine"),
            "'mine' has 2 groups of 3 channels, which cannot be dealt to a network 1.5",
        ),
        (
            layers.GroupNormalization(3, name="mine"),
            "'mine' has 3 groups, which cannot be dealt whole to a network 1.5",
        ),
    ],
)
def test_groups_of_unequal_repetitions_are_refused(layer, message):
    """1.5 times 3 channels are not the same number in each of the groups."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(5)(layers.Flatten()(layer(conv(6, 1)(image)))))
    with pytest.raises(UserError, match=message):
        widen(model, 1.5)


# Properties: the same examples each time, and as long as they take.

same_examples = settings(derandomize=True, deadline=None)


@given(st.integers(1, 200), st.integers(1, 20), st.sampled_from([1, 1.3, 1.5, 2, 3]))
@example(7, 3, 1)
@same_examples
def test_runs_are_of_nearly_equal_length_and_leave_no_channel_out(length, count, times):
    runs = Deal(count, times).runs(length)
    sizes = [len(run) for run in runs]
    assert len(runs) == count and sum(sizes) == round(length * times) and max(sizes) - min(sizes) <= 1
    dealt = np.concatenate(runs)
    repeated = np.bincount(dealt, minlength=length)
    assert np.array_equal(dealt, np.sort(dealt)) and len(repeated) == length
    assert repeated.min() >= 1 and repeated.max() - repeated.min() <= 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.sampled_from([0, 0.1, 1]), st.integers(0, 99))
@same_examples
def test_the_repetitions_of_a_channel_weigh_1_together(channels, noise, seed):
    weights = _fractions(np.array(channels), noise, np.random.default_rng(seed))
    sums = np.bincount(channels, weights)
    np.testing.assert_allclose(sums[np.unique(channels)], 1)
