"""Bottleneck residual networks for images of some 224 pixels: block -> stack -> model."""

from functools import partial

import keras
from keras import layers

from keras_dd.config import SHORTCUTS, UserError, unknown, whole
from keras_dd.models.arguments import checked, rescale
from keras_dd.models.resnet import MAKE_SHORTCUT, batch_norm, conv, conv3x3, stack

STACKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
IMAGENET_WIDTH = 64


def block(x, filters, stride, shortcut, name):
    """ReLU(shortcut + [1x1, BN, ReLU, 3x3, BN, ReLU, 1x1 to 4 times the filters, BN]).

    The 3x3 convolution strides, as in the networks in use today; He et al. stride in the 1x1 before it, which skips
    three pixels of four.
    """
    same = stride == 1 and x.shape[-1] == 4 * filters
    short = x if same else shortcut(x, 4 * filters, stride, name)
    x = conv(filters, 1, name=f"{name}_1_conv")(x)
    x = batch_norm(name=f"{name}_1_bn")(x)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = conv3x3(x, filters, stride, f"{name}_2")
    x = batch_norm(name=f"{name}_2_bn")(x)
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    x = conv(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = batch_norm(name=f"{name}_3_bn")(x)
    x = layers.Add(name=f"{name}_add")([x, short])
    return layers.ReLU(name=f"{name}_relu")(x)


def bottleneck(
    depth=50, width=IMAGENET_WIDTH, classes=1000, image_shape=(224, 224, 3), shortcut="projection", moments=None
):
    """7x7 / 2, BN, ReLU, maxpool 3x3 / 2, four stacks with width, 2, 4, 8 times width channels inside and 4 times as
    many outside their blocks, pool, dense.

    Args:
        depth: 50 or 101.
        width: channels of the stem: 64 in He et al., 16 for one of four sub-networks.
        classes: number of classes.
        image_shape: (height, width, channels) in pixels.
        shortcut: "projection" (1x1 convolution and BN where a stack begins) or "identity" (subsampling and zero
            channels, no weights).
        moments: (mean, variance) of the channels of the training images, to standardise them by (see
            `arguments.rescale`); by default images are brought to -1..1.

    Returns:
        A functional model from images 0..255 (N, *image_shape) to logits (N, classes).

    Raises:
        UserError: an unknown depth or shortcut, numbers that are none.

    Source: He et al., "Deep residual learning for image recognition" (2015), table 1.
    """
    depth = whole("depth", depth)
    width, classes, image_shape = checked(width, classes, image_shape)
    if depth not in STACKS:
        raise UserError(f"depth {depth} of a bottleneck resnet is not known: it is {' or '.join(map(str, STACKS))}")
    if shortcut not in SHORTCUTS:
        raise unknown("shortcut", shortcut, SHORTCUTS)
    make_block = partial(block, shortcut=MAKE_SHORTCUT[shortcut])
    x = inputs = keras.Input(image_shape, name="image")
    x = rescale(x, moments)
    x = layers.ZeroPadding2D(3, name="stem_pad")(x)
    x = conv(width, 7, strides=2, name="stem_conv")(x)
    x = batch_norm(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for number, blocks in enumerate(STACKS[depth], start=1):
        stride = 1 if number == 1 else 2
        x = stack(x, width * 2 ** (number - 1), blocks, stride, make_block, f"stack{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name=f"resnet{depth}")
