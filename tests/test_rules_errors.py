"""rules/ and channels.py: what the walk cannot carry is an error that names the layer and the way out."""

import re

import keras
import numpy as np
import pytest
from bodies import SIDE, Doubled, conv, decomposed, image_behind, network, zero_channels
from keras import layers, ops

from keras_dd import decompose
from keras_dd.config import UserError


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


def test_a_layer_of_two_models_is_refused():
    """It would be one layer in the full network and two in the sub-networks."""
    layer = conv(16, 3, name="shared")
    inner = keras.Input((SIDE, SIDE, 16))
    body = keras.Model(inner, layer(inner), name="body")
    with pytest.raises(UserError, match=r"shared' \(Conv2D\) is called more than once.*use a layer for each call"):
        decomposed(network(lambda x: body(layer(x))), 4)
