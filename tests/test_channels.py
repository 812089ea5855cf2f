"""channels.py, shares.py and rules/: every layer that the walk carries, and every error that it gives.

Each network of the table is taken apart with an overlap of the whole side, so that every box is the whole image.  Then
the composed network gives the mean of the sub-networks' scores whatever the layer, "same" padding and Flatten
included: there are no inner borders.  What inner borders do is tested in test_composition.py.
"""

import functools
import re

import keras
import numpy as np
import pytest
from conftest import assert_mean, images_for, randomize
from keras import layers, ops

from keras_dd import compose, decompose
from keras_dd.boxes import boxes
from keras_dd.channels import walk
from keras_dd.config import UserError
from keras_dd.fused import FusedBatchNormalization
from keras_dd.graph import operations
from keras_dd.rules import RULES
from keras_dd.shares import Channels, Deal, Share, Window

SIDE = 8
conv = functools.partial(layers.Conv2D, padding="same")


class Wide(layers.Conv2D):
    """Sets options and no more."""

    def __init__(self, filters=8, kernel_size=3, padding="same", **options):
        super().__init__(filters, kernel_size, padding=padding, **options)

    def area(self):
        return self.kernel_size[0] * self.kernel_size[1]


class Doubled(Wide):
    def call(self, inputs):
        return 2 * super().call(inputs)


def network(body, width=16):
    """1x1 convolution, the layers of `body`, a pooling where they leave an image, dense."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = body(layers.Conv2D(width, 1, name="stem")(image))
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(5, name="head")(x))


def merging(x):
    """Branches of new channels, which the merge puts in one order, and then every way of merging."""
    x = layers.Add()([conv(16, 3)(x), layers.BatchNormalization()(conv(16, 1)(x))])
    for merge in (layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum):
        x = merge()([conv(16, 1)(x), x])
    return x


def growing(x):
    """DenseNet: every layer reads all before it."""
    for _ in range(3):
        x = layers.Concatenate()([x, conv(8, 3, activation="relu")(layers.BatchNormalization()(x))])
    return layers.AveragePooling2D(2)(conv(16, 1)(x))


def shuffling(groups):
    """ShuffleNet: grouped convolution, and a shuffle of the channels over its groups."""

    def body(x):
        x = conv(16, 3, groups=groups)(x)
        x = layers.Reshape((SIDE, SIDE, groups, 16 // groups))(x)
        x = layers.Permute((1, 2, 4, 3))(x)
        x = layers.Reshape((SIDE, SIDE, 16))(x)
        return conv(16, 1)(x)

    return body


def squeeze_and_excite(x):
    """With its gate as an image of one pixel, in two ways, and as a vector."""
    gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, conv(16, 1, activation="sigmoid")(conv(8, 1, activation="relu")(gate))])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([conv(16, 1, activation="sigmoid")(gate), x])
    gate = layers.GlobalAveragePooling2D()(x)
    return layers.Multiply()([x, layers.Dense(16, activation="sigmoid")(gate)])


def pooling(x):
    x = layers.AveragePooling2D(3, 1, padding="same")(layers.MaxPooling2D(3, 2, padding="same")(x))
    vectors = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    for pool in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D):
        vectors.append(layers.Flatten()(conv(8, 1)(pool(keepdims=True)(x))))
    return layers.Dense(8)(layers.Concatenate()(vectors))


def zero_channels(x, count, name=None):
    """`count` zero channels before the others and as many behind them."""
    x = layers.ZeroPadding2D(((count, count), (0, 0)), name=name)(layers.Permute((3, 1, 2))(x))
    return layers.Permute((2, 3, 1))(x)


def identity_shortcut(x):
    """Zero channels on both sides of the others: the branch that it is added to has to take their order."""
    short = zero_channels(layers.AveragePooling2D(1, strides=2)(x), 8)
    x = layers.Add()([layers.BatchNormalization()(conv(32, 3, strides=2)(x)), short])
    return layers.Add()([conv(32, 1)(layers.DepthwiseConv2D(3, padding="same")(x)), x])


def constants(x):
    """One number, one a channel, and numbers measured on data."""
    each = np.linspace(0.5, 2, 16)
    x = layers.Rescaling(each.tolist(), offset=(-each).tolist())(layers.Rescaling(0.5, offset=1)(x))
    x = layers.Normalization(mean=each - 1, variance=each)(layers.Normalization(axis=None, mean=0.3, variance=2)(x))
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(each, each, (50, SIDE, SIDE, 16)))
    return conv(16, 3)(normalization(x))


def nested(x):
    inner = keras.Input(x.shape[1:])
    y = conv(16, 3, name="conv")(inner)
    body = keras.Model(inner, layers.Add(name="add")([inner, layers.BatchNormalization(name="bn")(y)]), name="body")
    tail = keras.Sequential([layers.ReLU(), conv(8, 3, name="conv"), keras.Sequential([layers.PReLU()])], name="tail")
    return tail(body(x))


def nested_deeper(x):
    """A model of two outputs with models within it."""
    inner = keras.Input(x.shape[1:])
    return layers.Multiply()(keras.Model(inner, [nested(inner), conv(8, 1)(inner)], name="outer")(x))


def operators(x):
    x = ops.relu(conv(16, 3)(x) + x) * 0.5 - ops.sigmoid(x / 2.0)
    return ops.maximum(ops.silu(x), ops.minimum(conv(16, 1)(x), 1.0 - x))


def elementwise(x):
    """Every operation of `keras.ops` that takes each number by itself."""
    for each in (ops.relu6, ops.leaky_relu, ops.elu, ops.selu, ops.hard_silu, ops.gelu, ops.hard_sigmoid, ops.tanh):
        x = x + each(x)
    x = ops.log(ops.sqrt(ops.exp(ops.clip(x, -1, 1)) + ops.softplus(ops.absolute(ops.negative(x)))))
    return conv(8, 3)(ops.cast(ops.divide(x**2, 1 + ops.square(x)), "float32"))


def operations_on_axes(x):
    """The operations that count the batch as axis 0."""
    x = ops.concatenate([x, conv(8, 3)(x)], axis=-1)
    x = ops.transpose(ops.reshape(conv(8, 3)(x), (-1, SIDE * SIDE, 8)), (0, 2, 1))
    x = conv(8, 3)(ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, SIDE, SIDE, 8))[:, ::2, 1:-1])
    gate = ops.sigmoid(ops.max(ops.square(x), axis=[1, 2], keepdims=True))
    x = ops.mean(ops.expand_dims(x * gate, 1), axis=(1, 2))
    return ops.min(ops.expand_dims(ops.sum(x, axis=1), 1), axis=1)


def one_by_one(*chain):
    return lambda x: functools.reduce(lambda x, layer: layer(x), chain, x)


BODIES = {
    "convolutions": one_by_one(
        conv(32, 3, activation="relu"),
        layers.Conv2D(32, (3, 2), use_bias=False),
        conv(16, 3, dilation_rate=2),
        conv(16, 3, strides=2),
        conv(16, 3, strides=(2, 1)),
    ),
    "groups that the parts divide": one_by_one(conv(32, 3, groups=8), conv(32, 3, groups=16), conv(8, 3)),
    # Where K is 4, two parts share a group.
    "2 groups": one_by_one(conv(32, 3, groups=2), conv(16, 3, groups=2), conv(8, 3)),
    # Each part has a slice of each group.
    "3 groups": one_by_one(conv(48, 1), conv(24, 3, groups=3), conv(12, 3, groups=3), conv(8, 3)),
    "depthwise": one_by_one(
        layers.DepthwiseConv2D(3),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2),
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", use_bias=False),
        conv(8, 3),
    ),
    "separable": one_by_one(
        layers.SeparableConv2D(32, 3),
        layers.SeparableConv2D(16, 3, depth_multiplier=2, padding="same"),
        layers.SeparableConv2D(16, 3, strides=2, use_bias=False),
    ),
    "dense": one_by_one(layers.Dense(32, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(8)),
    "batch norm": one_by_one(
        layers.BatchNormalization(),
        conv(16, 3),
        layers.BatchNormalization(scale=False),
        conv(16, 3),
        layers.BatchNormalization(center=False, axis=3),
        layers.GlobalAveragePooling2D(),
        FusedBatchNormalization(),
    ),
    "group norm": one_by_one(
        layers.GroupNormalization(8),
        conv(16, 3),
        layers.GroupNormalization(-1),
        conv(16, 3),
        layers.GroupNormalization(4, scale=False),
        conv(8, 3),
    ),
    "prelu": one_by_one(
        layers.PReLU(),
        conv(16, 3),
        layers.PReLU(shared_axes=[1, 2]),
        conv(16, 3),
        layers.PReLU(shared_axes=[1]),
        layers.GlobalAveragePooling2D(),
        layers.PReLU(),
    ),
    "activations": one_by_one(
        layers.ReLU(6), conv(16, 3), layers.LeakyReLU(0.2), layers.ELU(), layers.Activation("gelu"), layers.Identity()
    ),
    "a subclass that sets options": one_by_one(Wide(16), Wide(12, name="mine")),
    "pooling": pooling,
    "merging": merging,
    "concatenate": growing,
    "concatenate with the image": lambda x: conv(8, 3)(layers.Concatenate()([image_behind(x), x])),
    "flatten": one_by_one(conv(8, 3), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(16, activation="relu")),
    "reshape": one_by_one(
        layers.Reshape((SIDE * SIDE, 16)),
        layers.Dense(8),
        layers.Reshape((SIDE, SIDE, -1)),
        conv(8, 3),
        layers.Reshape((-1, 8)),
        layers.Flatten(),
    ),
    "shuffle": shuffling(4),
    "permute": one_by_one(layers.Permute((2, 1, 3)), conv(8, (3, 1))),
    "padding, cropping, upsampling": one_by_one(
        layers.ZeroPadding2D(((1, 0), (2, 1))),
        layers.Conv2D(8, 3),
        layers.Cropping2D(((1, 0), (2, 1))),
        layers.UpSampling2D((2, 3)),
        conv(8, 3),
    ),
    "identity shortcut": identity_shortcut,
    "dropout": one_by_one(
        layers.Dropout(0.3, seed=1),
        layers.SpatialDropout2D(0.3),
        layers.AlphaDropout(0.3),
        layers.GaussianDropout(0.3),
        layers.GaussianNoise(0.3),
        layers.ActivityRegularization(1e-3),
        conv(8, 3),
    ),
    "constants": constants,
    "squeeze and excite": squeeze_and_excite,
    "operators": operators,
    "keras.ops": operations_on_axes,
    "keras.ops, elementwise": elementwise,
    "inputs by name": lambda x: conv(8, 3)(inputs=layers.Concatenate()(inputs=[x, conv(8, 3)(x)])),
    "nested models": nested,
    "nested models, deeper": nested_deeper,
    "a layer without weights called twice": lambda x: two_calls(layers.ReLU(), x),
}


def image_behind(x):
    """The tensor that the stem reads."""
    return x._keras_history.operation.input


def two_calls(layer, x):
    return conv(8, 3)(layer(conv(32, 3)(layer(x))))


def decomposed(model, parts):
    return decompose(model, parts, overlap=SIDE)


@functools.cache
def network_of(body):
    return network(BODIES[body])


# Those whose channels are dealt in another way where K is 2.
IN_HALVES = [
    *("groups that the parts divide", "2 groups", "3 groups", "depthwise", "separable", "group norm", "concatenate"),
    *("flatten", "shuffle", "identity shortcut", "squeeze and excite", "nested models"),
]


# Where K is 3 it divides no width.
IN_THIRDS = [
    *("groups that the parts divide", "2 groups", "3 groups", "separable", "group norm", "concatenate", "flatten"),
    *("shuffle", "identity shortcut", "constants", "keras.ops"),
]


@pytest.mark.parametrize(
    ("body", "parts"),
    [*((body, 4) for body in BODIES), *((body, 2) for body in IN_HALVES), *((body, 3) for body in IN_THIRDS)],
)
def test_the_composed_network_is_the_mean_of_its_subnetworks(body, parts, rng):
    model = network_of(body)
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, parts)]
    widths = [subnet.get_layer("stem").filters for subnet in subnets]
    assert sum(widths) == 16 and (parts == 3 or set(widths) == {16 // parts})
    assert_mean(compose(subnets, model), subnets, rng.normal(0, 1, (3, SIDE, SIDE, 3)).astype("float32"))


# Networks that are more than a body.


def conv_head(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.GlobalAveragePooling2D()(conv(5, 1, name="head")(x))


def separable_head(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.GlobalAveragePooling2D()(layers.SeparableConv2D(5, 3, name="head")(x))


def normalized_image(image):
    """Constants for each channel of the image are every part's."""
    x = layers.Normalization(mean=[120, 125, 130], variance=[3600, 3900, 4200])(image)
    x = layers.Rescaling([1, 0.5, 2], offset=[0, 1, 2])(x)
    return layers.Dense(5)(layers.GlobalMaxPooling2D()(conv(16, 3)(x)))


def adapted_image(image):
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).uniform(0, 255, (50, SIDE, SIDE, 3)))
    return layers.Dense(5)(layers.Flatten()(conv(16, 3)(normalization(image))))


def grouped_image(image):
    x = conv(24, 3, groups=3)(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.Dense(5)(layers.Flatten()(conv(16, 3)(x)))


def linear(image):
    return layers.Dense(5)(layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(image)))


def two_heads(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    a, b = layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), layers.Dense(5)(layers.GlobalMaxPooling2D()(x))
    return layers.Average()([a, b])


def sequential():
    chain = [layers.Rescaling(1 / 127.5, offset=-1), conv(16, 3), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *chain, layers.Flatten(), layers.Dense(5)])


HEADS = [conv_head, separable_head, normalized_image, adapted_image, grouped_image, linear, two_heads, sequential]


@pytest.mark.parametrize("build", HEADS)
def test_whole_networks_compose_to_the_mean(build, rng):
    image = keras.Input((SIDE, SIDE, 3))
    model = build() if build is sequential else keras.Model(image, build(image))
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    assert_mean(compose(subnets, model), subnets, images_for(model, rng))


def test_two_outputs_are_composed_each(rng):
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(conv(16, 3)(layers.Rescaling(1 / 127.5)(image)))
    model = keras.Model(image, [layers.Dense(5)(x), layers.Dense(2)(x)])
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    images = images_for(model, rng)
    composed = compose(subnets, model)(images)
    for i, units in enumerate((5, 2)):
        assert composed[i].shape == (3, units)
        np.testing.assert_allclose(composed[i], np.mean([subnet(images)[i] for subnet in subnets], axis=0), atol=1e-5)


def test_every_rule_is_tested():
    """Each layer class and operation in RULES is in one of the networks of the table."""
    tested = {type(operation) for body in BODIES for operation in operations(network_of(body)).values()}
    missing = RULES.keys() - tested - {kind.__name__ for kind in tested if not issubclass(kind, layers.Layer)}
    assert missing == {layers.Softmax}, "only over the classes, and then the mean is of probabilities"


# Errors.


def shared_conv(x):
    """Called on channels in equal runs, and on channels in the order of an identity shortcut."""
    layer = conv(16, 3, name="twice")
    y = layers.Permute((3, 1, 2))(conv(8, 1)(x))
    y = layers.Permute((2, 3, 1))(layers.ZeroPadding2D(((4, 4), (0, 0)))(y))
    return layers.Add()([layer(x), layer(y)])


def two_orders(x):
    """x in equal runs, and x interleaved."""
    y = layers.Reshape((SIDE, SIDE, 16))(layers.Permute((1, 2, 4, 3))(layers.Reshape((SIDE, SIDE, 4, 4))(x)))
    z = layers.DepthwiseConv2D(1, depth_multiplier=2)(x)
    return layers.Add(name="join")([z, layers.Concatenate()([y, y])])


class Mine(layers.Layer):
    def call(self, x):
        return x


def double(values):
    return 2 * values


class Subclassed(keras.Model):
    def call(self, x):
        return x


ERRORS = {
    "layer normalization": (
        lambda x: layers.LayerNormalization(name="norm")(x),
        r"'norm' \(LayerNormalization\).*use BatchNormalization, or GroupNormalization",
    ),
    "an unknown layer": (lambda x: Mine(name="mine")(x), r"'mine' \(Mine\).*add a rule"),
    "a model within that is no graph": (
        lambda x: Subclassed(name="mine")(x),
        r"'mine' \(Subclassed\) has no graph of layers.*build it with keras.Model\(inputs, outputs\)",
    ),
    "a function that cannot be saved": (
        lambda x: layers.Activation(double, name="double")(x),
        r"'double' \(Activation\) cannot be made again.*register_keras_serializable",
    ),
    "an unknown operation": (lambda x: ops.cumsum(x, axis=1), r"'cumsum.*' \(Cumsum\).*add a rule"),
    "a subclass that computes in its own way": (
        lambda x: Doubled(8, 3, name="mine")(x),
        r"'mine' \(Doubled\) is a Conv2D with its own call: if its weights .*RULES\[Doubled\] = RULES\[Conv2D\]",
    ),
    "a mean over channels": (
        lambda x: ops.mean(x, axis=-1, keepdims=True) * x,
        r"'mean.*' reduces axes \[3\], among them the batch or channels .*: reduce rows and columns only",
    ),
    "a slice of channels": (lambda x: x[..., :8], r"'get_item.*' takes .*: only slices of rows and columns"),
    "a slice from one position on to another": (
        lambda x: x[:, 1:5],
        r"'get_item.*' takes .* leave out some at the ends",
    ),
    "a slice that leaves nothing": (lambda x: x[:, 3:-3], r"'get_item.*' cuts a part's box away: use fewer parts or a"),
    "a transposed batch": (
        lambda x: ops.transpose(ops.transpose(x, (1, 0, 2, 3)), (1, 0, 2, 3)),
        r"'transpose.*' moves the batch axis: leave axis 0",
    ),
    "a width of fewer channels than parts": (
        lambda x: conv(3, 3, name="thin")(x),
        r"'thin' has 3 channels, fewer than the 4 parts: make it 4 channels wide or more, or use fewer parts",
    ),
    "a dense width of fewer channels than parts": (
        lambda x: layers.Dense(3, name="thin")(layers.Flatten()(x)),
        r"'thin' has 3 channels, fewer than the 4 parts: make it 4 channels wide or more, or use fewer parts",
    ),
    "branches dealt differently": (
        two_orders,
        r"'join' joins two branches.*\(made by 'depth.*' and made by 'conc.*'\): put a 1x1 Conv2D",
    ),
    "the image added to channels": (
        lambda x: layers.Add(name="join")([image_behind(x), conv(3, 1, name="three")(x)]),
        r"'join' joins two branches.*made by 'the image' and made by 'three'.*put a 1x1 Conv2D",
    ),
    "positions added to channels": (
        lambda x: layers.Add(name="join")([conv(8, 1, name="c")(x), layers.Permute((3, 1, 2))(conv(8, 1)(x))]),
        r"'join' joins two branches.*put a 1x1 Conv2D",
    ),
    "a hidden softmax": (
        lambda x: conv(8, 1, activation="softmax", name="soft")(x),
        r"'soft' is a softmax.*use an activation that takes each channel by itself",
    ),
    "a hidden log-softmax": (
        lambda x: layers.Activation("log_softmax", name="soft")(x),
        r"'soft' is a softmax \(or the like\).*use an activation that takes each channel by itself",
    ),
    "a softmax over positions": (
        lambda x: layers.Permute((2, 3, 1))(layers.Softmax(name="soft")(layers.Permute((3, 1, 2))(x))),
        r"'soft' is a softmax.*use an activation",
    ),
    "groups that cannot be dealt": (
        lambda x: conv(18, 3, groups=3, name="grouped")(layers.DepthwiseConv2D(1, depth_multiplier=3)(x)),
        r"'grouped' has 3 groups of 16 channels, which cannot be dealt to 4 parts.*choose groups",
    ),
    "filters of groups that cannot be dealt": (
        lambda x: conv(2, 3, groups=2, name="grouped")(x),
        r"'grouped' has 1 filters a group, which cannot be dealt to the 2 parts that share a group: .* a multiple of 4",
    ),
    "group norm across parts": (
        lambda x: layers.GroupNormalization(2, name="norm")(x),
        r"'norm' has 2 groups, which cannot be dealt whole to 4 parts: make the number of groups a multiple of the",
    ),
    "one slope for all channels": (
        lambda x: layers.PReLU(shared_axes=[1, 2, 3], name="slope")(x),
        r"'slope' \(PReLU\) has one slope for all channels: leave the last axis out",
    ),
    "batch norm of rows": (
        lambda x: layers.BatchNormalization(axis=1, name="norm")(x),
        r"'norm' normalises axis 1: it must be the last",
    ),
    "normalization of rows": (
        lambda x: layers.Normalization(axis=1, mean=np.zeros(SIDE), variance=np.ones(SIDE), name="norm")(x),
        r"'norm' has constants of shape .*one for each of its 16 channels",
    ),
    "concatenation of rows": (
        lambda x: layers.Concatenate(axis=1, name="stacked")([x, x]),
        r"'stacked' concatenates along axis 1: it must be the last",
    ),
    "a box that is too small": (
        lambda x: layers.Conv2D(8, 6, name="wide")(x),
        r"'wide' reaches over 6 positions but its input in a part has only 5: .*use fewer parts or a larger overlap",
    ),
    "a box that is cropped away": (
        lambda x: layers.Cropping2D(3, name="crop")(x),
        r"'crop' crops a part's box away: use fewer parts or a larger overlap",
    ),
    "branches of other sizes in a part": (
        # 8 -> 4 -> 2 in the full network, but 5 -> 2 -> 1 and 5 -> 1 in a part.
        lambda x: layers.Add(name="join")(
            [layers.MaxPooling2D(2)(conv(16, 1)(x)), layers.Conv2D(16, 3, strides=2)(layers.ZeroPadding2D(1)(x))]
        ),
        r"'join' joins branches of 4 positions, but in a part they have 2 and 3: choose an overlap",
    ),
    "a vector of constants": (
        lambda x: x * np.ones(16, "float32"),
        r"'multiply.*' has a constant of several values: only scalars can be carried",
    ),
    "channels that are not the last": (
        lambda x: conv(16, 3, name="odd")(layers.Permute((3, 1, 2))(x)),
        r"'odd' does not have the channels last",
    ),
    "channels that were dropped": (
        lambda x: layers.Reshape((SIDE, SIDE, 1), name="back")(layers.Reshape((SIDE, SIDE))(conv(1, 1)(x))),
        r"'back' does not have the channels last",
    ),
    "channels first": (
        lambda x: layers.MaxPooling2D(data_format="channels_first", name="pool1")(x),
        r"'pool1' does not have the channels last: set data_format='channels_last'",
    ),
    "flatten with channels first": (
        lambda x: layers.Flatten(data_format="channels_first", name="flat")(x),
        r"'flat' does not have the channels last: set data_format='channels_last'",
    ),
    "a reshape across rows and channels": (
        lambda x: conv(8, 1)(layers.Reshape((SIDE // 2, SIDE * 2, 16), name="mix")(x)),
        r"'mix' mixes positions and channels",
    ),
    "zero channels too few to even parts out": (
        lambda x: conv(8, 1)(zero_channels(layers.Concatenate()([conv(5, 1)(x), conv(5, 1)(x)]), 1, name="pad")),
        r"'pad' adds 1 and 1 zero channels, too few to make 4 parts of like width: make its width a multiple",
    ),
    "a layer called on two orders of channels": (
        shared_conv,
        r"'twice' \(Conv2D\) is called more than once.*use a layer for each call",
    ),
    "batch norm of the image": (
        lambda x: conv(8, 1)(layers.BatchNormalization(name="norm")(image_behind(x))),
        r"'norm' \(BatchNormalization\) has weights for channels that belong to all parts.*move it|use Rescaling",
    ),
    "batch norm of the image among others": (
        lambda x: layers.BatchNormalization(name="norm")(layers.Concatenate()([image_behind(x), x])),
        r"'norm' \(BatchNormalization\) has weights for channels of the image.*put a Conv2D before it",
    ),
    "depthwise convolution of the image": (
        lambda x: conv(8, 1)(layers.DepthwiseConv2D(3, name="deep")(image_behind(x))),
        r"'deep' \(DepthwiseConv2D\) has weights for channels that belong to all parts",
    ),
    "separable convolution of the image": (
        lambda x: layers.SeparableConv2D(8, 3, name="deep")(image_behind(x)),
        r"'deep' \(SeparableConv2D\) reads the image.*begin the network with a Conv2D",
    ),
}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_names_the_layer_and_the_way_out(error):
    body, message = ERRORS[error]
    with pytest.raises(UserError) as caught:
        decompose(network(body), parts=4, overlap=2)
    assert re.search(message, str(caught.value)), caught.value


def headless(image):
    return layers.Flatten(name="flat")(conv(16, 3)(image))


def batch_norm_behind_the_head(image):
    return layers.BatchNormalization(name="norm")(layers.Dense(8)(layers.Flatten()(image)))


def transposed(image):
    return layers.Permute((3, 1, 2))(conv(16, 3)(image))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (headless, "'flat', which are dealt to the parts: end the network in a Dense or Conv2D layer"),
        (batch_norm_behind_the_head, r"'norm' \(BatchNormalization\) has weights for channels that belong to all"),
        (transposed, "'mine' gives an image whose last axis is not its channels: end it in classes"),
    ],
)
def test_a_network_without_a_head_is_refused(build, message):
    image = keras.Input((SIDE, SIDE, 3))
    with pytest.raises(UserError, match=message):
        decomposed(keras.Model(image, build(image), name="mine"), 4)


def inputs(*shapes):
    tensors = [keras.Input(shape) for shape in shapes]
    flat = layers.Concatenate()([layers.GlobalAveragePooling2D()(t) if len(t.shape) == 4 else t for t in tensors] * 2)
    return keras.Model(tensors, layers.Dense(5)(flat), name="mine")


@pytest.mark.parametrize("shapes", [[(8, 8, 3), (8, 8, 3)], [(8,)], [(None, None, 3)]])
def test_a_model_must_have_one_image_of_known_size(shapes):
    with pytest.raises(
        UserError, match=r"'mine' has inputs .*: it must have one, an image \(height, width, channels\)"
    ):
        decompose(inputs(*shapes))


def test_a_layer_called_twice_on_like_channels_is_composed(rng):
    layer = conv(16, 3, activation="tanh", name="twice")
    model = network(lambda x: layer(layer(x)))
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    assert sum(layer.name == "twice" for layer in subnets[0].layers) == 1
    assert_mean(compose(subnets, model), subnets, images_for(model, rng) / 255)


def test_a_nested_model_keeps_its_training_flag(rng):
    """Dropout that is always on, as for Monte Carlo estimates: it is on in the sub-networks too."""
    inner = keras.Input((SIDE, SIDE, 16))
    body = keras.Model(inner, layers.Dropout(0.5)(keras.Sequential([conv(16, 3), layers.Dropout(0.5)])(inner)))
    images = rng.normal(0, 1, (3, SIDE, SIDE, 3)).astype("float32")
    for flag in (True, False):
        model = network(lambda x: body(x, training=flag))  # noqa: B023
        part = decomposed(model, 4)[0]
        differ = [not np.allclose(each(images), each(images)) for each in (model, part)]
        assert differ == [flag, flag]


def test_a_layer_of_two_models_is_refused():
    """It would be one layer in the full network and two in the sub-networks."""
    layer = conv(16, 3, name="shared")
    inner = keras.Input((SIDE, SIDE, 16))
    body = keras.Model(inner, layer(inner), name="body")
    with pytest.raises(UserError, match=r"shared' \(Conv2D\) is called more than once.*use a layer for each call"):
        decomposed(network(lambda x: body(layer(x))), 4)


# Index sets.


def test_the_parts_of_every_layer_share_out_its_channels():
    """Over a whole ResNet-like network: hidden channels belong to one part each, image and classes to all."""
    model = network(lambda x: identity_shortcut(merging(x)))
    for visit in walk(model, boxes((SIDE, SIDE, 3), 4)):
        owned = [set(visit.output.channels.part(k).tolist()) for k in range(4)]
        everything = set(range(visit.output.channels.length))
        if visit.name == "head":
            assert owned == [everything] * 4
        elif isinstance(visit.output.channels, Channels):
            assert set().union(*owned) == everything and sum(map(len, owned)) == len(everything)


def test_flatten_finds_the_rows_of_a_box():
    """Row (i, j, c) of a Flatten is number (i * width + j) * channels + c."""
    model = network(one_by_one(layers.MaxPooling2D(2), layers.Flatten(name="flat")), width=8)
    visit = next(v for v in walk(model, boxes((SIDE, SIDE, 3), 4, overlap=0)) if v.name == "flat")
    numbers = np.arange(4 * 4 * 8).reshape(4, 4, 8)
    for k, (top, left) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        mine = numbers[top : top + 2, left : left + 2, 2 * k : 2 * k + 2]
        np.testing.assert_array_equal(visit.output.channels.part(k), mine.ravel())


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


def test_a_network_of_keras_applications_can_be_walked():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10)
    visits = walk(model, boxes((64, 64, 3), 4))
    assert len(visits) == len(model.layers) - 1
    assert all(visit.output.channels.parts() for visit in visits)
