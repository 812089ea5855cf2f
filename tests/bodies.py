"""Small networks with every layer that the walk carries, for the tests of the rules."""

import functools

import keras
import numpy as np
from keras import layers, ops

from keras_dd import decompose
from keras_dd.fused import FusedBatchNormalization, FusedGelu

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
        FusedGelu("gelu"),
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
