"""The small CNN of the paper's Fig. 1."""

from functools import partial

import keras
from keras import layers

from keras_dd.config import WIDTH
from keras_dd.models.arguments import checked, rescale

conv5x5 = partial(layers.Conv2D, kernel_size=5, padding="same", activation="relu", kernel_initializer="he_normal")


def cnn(width=WIDTH, classes=10, image_shape=(32, 32, 3), moments=None):
    """conv 5x5 x16, maxpool 2, conv 5x5 x32, maxpool 2, dense 128, dense C.

    Args:
        width: channels of the first convolution; the layers have width, 2 width, 8 width channels. `width=4` on 16x16
            is one of Fig. 1's four sub-networks.
        classes: number of classes C.
        image_shape: (height, width, channels) in pixels.
        moments: (mean, variance) of the channels of the training images, to standardise them by (see
            `arguments.rescale`); by default images are brought to -1..1.

    Returns:
        A functional model from images 0..255 (N, *image_shape) to logits (N, classes).

    Source: "A fast learning strategy for convolutional neural networks based on domain decomposition" (2020), Fig. 1.
    """
    width, classes, image_shape = checked(width, classes, image_shape)
    x = inputs = keras.Input(image_shape, name="image")
    x = rescale(x, moments)
    for number, filters in enumerate((width, 2 * width), start=1):
        x = conv5x5(filters, name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(8 * width, activation="relu", kernel_initializer="he_normal", name="dense")(x)
    x = layers.Dense(classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name="cnn")
