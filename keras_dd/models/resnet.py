"""Residual networks for CIFAR-size images: block -> stack -> model."""

from functools import partial

import keras
from keras import layers

from keras_dd.config import SHORTCUTS, WIDTH, unknown
from keras_dd.models.arguments import blocks_a_stack, checked, rescale

DEPTHS = (8, 14, 20, 32, 44, 56, 110)

conv = partial(layers.Conv2D, use_bias=False, kernel_initializer="he_normal")
# As in the published CIFAR networks; Keras' own defaults (1e-3, 0.99) are meant for longer trainings.
batch_norm = partial(layers.BatchNormalization, epsilon=1e-5, momentum=0.9)


def conv3x3(x, filters, stride, name):
    """3x3 with one zero all around, also where it strides: TensorFlow's "same" pads even sizes on one side only."""
    if stride == 1:
        return conv(filters, 3, padding="same", name=f"{name}_conv")(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return conv(filters, 3, strides=stride, name=f"{name}_conv")(x)


def shortcut_projection(x, filters, stride, name):
    """1x1, BN (option B of He et al.)."""
    x = conv(filters, 1, strides=stride, name=f"{name}_shortcut_conv")(x)
    return batch_norm(name=f"{name}_shortcut_bn")(x)


def shortcut_identity(x, filters, stride, name):
    """Every `stride`-th pixel, zero channels on both sides (option A of He et al.): no weights.

    Half of the zeros stand before the channels and half behind, as in the published PyTorch weights of this network.
    """
    x = layers.AveragePooling2D(1, strides=stride, name=f"{name}_shortcut_subsample")(x)
    zeros = filters - x.shape[-1]
    zeros = (zeros // 2, zeros - zeros // 2)
    x = layers.Permute((3, 1, 2), name=f"{name}_shortcut_channels_first")(x)
    x = layers.ZeroPadding2D((zeros, (0, 0)), name=f"{name}_shortcut_zeros")(x)
    return layers.Permute((2, 3, 1), name=f"{name}_shortcut_channels_last")(x)


MAKE_SHORTCUT = {"projection": shortcut_projection, "identity": shortcut_identity}


def block(x, filters, stride, shortcut, name):
    """ReLU(shortcut + [3x3, BN, ReLU, 3x3, BN])."""
    short = x if stride == 1 else shortcut(x, filters, stride, name)
    x = conv3x3(x, filters, stride, f"{name}_1")
    x = batch_norm(name=f"{name}_1_bn")(x)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = conv3x3(x, filters, 1, f"{name}_2")
    x = batch_norm(name=f"{name}_2_bn")(x)
    x = layers.Add(name=f"{name}_add")([x, short])
    return layers.ReLU(name=f"{name}_relu")(x)


def stack(x, filters, blocks, stride, make_block, name):
    """`blocks` times `make_block(x, filters, stride, name=...)`, the first of which strides."""
    for number in range(1, blocks + 1):
        x = make_block(x, filters, stride if number == 1 else 1, name=f"{name}_block{number}")
    return x


def resnet(depth=20, width=WIDTH, classes=10, image_shape=(32, 32, 3), shortcut="projection", moments=None):
    """3x3, BN, ReLU, three stacks of (depth - 2) / 6 blocks with width, 2 width, 4 width channels, pool, dense.

    Args:
        depth: 6n + 2; published are 20, 32, 44, 56, 110.
        width: channels of the first stack: 16 in He et al., 64 in the domain decomposition paper.
        classes: number of classes.
        image_shape: (height, width, channels) in pixels.
        shortcut: "projection" (1x1 convolution and BN where a stack begins) or "identity" (subsampling and zero
            channels, no weights).
        moments: (mean, variance) of the channels of the training images, to standardise them by (see
            `arguments.rescale`); by default images are brought to -1..1.

    Returns:
        A functional model from images 0..255 (N, *image_shape) to logits (N, classes).

    Raises:
        UserError: a depth that is not 6n + 2, or an unknown shortcut.

    Source: He et al., "Deep residual learning for image recognition" (2015), sec. 4.2.
    """
    blocks = blocks_a_stack(depth)
    width, classes, image_shape = checked(width, classes, image_shape)
    if shortcut not in SHORTCUTS:
        raise unknown("shortcut", shortcut, SHORTCUTS)
    make_block = partial(block, shortcut=MAKE_SHORTCUT[shortcut])
    x = inputs = keras.Input(image_shape, name="image")
    x = rescale(x, moments)
    x = conv3x3(x, width, 1, "stem")
    x = batch_norm(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = stack(x, width, blocks, 1, make_block, "stack1")
    x = stack(x, 2 * width, blocks, 2, make_block, "stack2")
    x = stack(x, 4 * width, blocks, 2, make_block, "stack3")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name=f"resnet{depth}")
