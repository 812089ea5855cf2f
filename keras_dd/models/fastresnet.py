"""Residual networks with fewer activations, and those that they are measured against: block -> stack -> model."""

from functools import partial

import keras
from keras import layers

from keras_dd.config import BLOCKS, SHORTCUTS, WIDTH, unknown
from keras_dd.models.arguments import blocks_a_stack, checked, rescale
from keras_dd.models.resnet import MAKE_SHORTCUT, batch_norm, conv3x3, stack
from keras_dd.recursion import deep

PUBLISHED = (20, 56, 110, 668)

# Which of a block's two convolutions have an activation (BN, ReLU) before them.
ACTIVATED = {"type1": (2,), "basic": (1, 2), "type2": (1,)}


def activation(x, name):
    """BN, ReLU."""
    x = batch_norm(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def residual(x, filters, stride, shortcut, activated, name):
    """shortcut + [BN, ReLU, 3x3, BN, ReLU, 3x3], with the activations that are in `activated` only."""
    short = x if stride == 1 else shortcut(x, filters, stride, name)
    for number, step in ((1, stride), (2, 1)):
        if number in activated:
            x = activation(x, f"{name}_{number}")
        x = conv3x3(x, filters, step, f"{name}_{number}")
    return layers.Add(name=f"{name}_add")([x, short])


@deep()
def fastresnet(
    depth=20,
    width=WIDTH,
    classes=10,
    image_shape=(32, 32, 3),
    shortcut="projection",
    block="type1",
    moments=None,
):
    """3x3, three stacks of (depth - 2) / 6 blocks with width, 2 width, 4 width channels, BN, ReLU, pool, dense.

    Args:
        depth: 6n + 2; published are 20, 56, 110, 668.
        width: channels of the first stack: 16 in the paper.
        classes: number of classes.
        image_shape: (height, width, channels) in pixels.
        shortcut: "projection" (1x1 convolution and BN where a stack begins) or "identity" (subsampling and zero
            channels, no weights).  Of the step from stack to stack the paper says nothing.  It has 3x3 kernels only,
            and 6n + 2 layers without any in the shortcuts: "identity" is that network to the letter.  "projection" is
            the default because it is that of all residual networks here.
        block: what is added to the shortcut: "type1" (3x3, BN, ReLU, 3x3: the fast one), "basic" (BN, ReLU, 3x3, BN,
            ReLU, 3x3: the pre-activation block of He et al.) or "type2" (BN, ReLU, 3x3, 3x3).
        moments: (mean, variance) of the channels of the training images, to standardise them by (see
            `arguments.rescale`); by default images are brought to -1..1.

    Returns:
        A functional model from images 0..255 (N, *image_shape) to logits (N, classes).

    Raises:
        UserError: a depth that is not 6n + 2, an unknown shortcut or block.

    Source: Yang et al., "Simplified residual structure and fast deep residual networks" (2021), fig. 3 and sec. 3.2.
    """
    blocks = blocks_a_stack(depth)
    width, classes, image_shape = checked(width, classes, image_shape)
    if shortcut not in SHORTCUTS:
        raise unknown("shortcut", shortcut, SHORTCUTS)
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    make_block = partial(residual, shortcut=MAKE_SHORTCUT[shortcut], activated=ACTIVATED[block])
    x = inputs = keras.Input(image_shape, name="image")
    x = rescale(x, moments)
    x = conv3x3(x, width, 1, "stem")
    x = stack(x, width, blocks, 1, make_block, "stack1")
    x = stack(x, 2 * width, blocks, 2, make_block, "stack2")
    x = stack(x, 4 * width, blocks, 2, make_block, "stack3")
    x = activation(x, "last")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name=f"fastresnet{depth}")
