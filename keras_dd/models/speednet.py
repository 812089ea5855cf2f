"""The network of the fastest published trainings on CIFAR-10: whitening, three wide groups, pool, dense."""

import random
from functools import partial

import keras
import numpy as np
from keras import layers, ops

from keras_dd.config import WIDTH, UserError
from keras_dd.models.arguments import checked, rescale
from keras_dd.models.resnet import batch_norm

# Over 9: with it the scores of 10 classes begin small enough for the high learning rates that the network is made for.
# More classes want larger ones, by the root of their number: on CIFAR-100 (width 32, six epochs of speed-muon, held-out
# images) 1/9, 1/3 and 1 reach 47.1, 59.6 and 18.5 %.
SCALE = 1 / 9


@keras.saving.register_keras_serializable("keras_dd")
class PartialIdentity(keras.initializers.Initializer):
    """Some of the filters of a convolution pass one input channel each, unchanged, and the others are random.

    A network of such layers begins as if it had residual shortcuts.

    Args:
        share: of the filters, those that pass a channel; there are no more of them than channels, and no channel is
            passed twice.  Where not all channels are passed, which of them is drawn at random.
        seed: of the channels, and of the other filters, uniform up to 1 / sqrt(fan-in).
    """

    def __init__(self, share=1.0, seed=None):
        self.share = share
        self.seed = random.randrange(2**31) if seed is None else seed  # as Keras' own, by set_random_seed

    def __call__(self, shape, dtype=None):
        height, width, channels, filters = shape
        drawn = np.random.default_rng(self.seed)
        bound = (height * width * channels) ** -0.5
        kernel = drawn.uniform(-bound, bound, shape)
        count = min(channels, round(self.share * filters))
        passed = np.sort(drawn.permutation(channels)[:count])
        kernel[..., :count] = 0
        kernel[height // 2, width // 2, passed, np.arange(count)] = 1
        return ops.convert_to_tensor(kernel, dtype)

    def get_config(self):
        return {"share": self.share, "seed": self.seed}


def conv3x3(x, filters, name):
    initializer = PartialIdentity(min(1.0, x.shape[-1] / filters))
    return layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=initializer, name=f"{name}_conv"
    )(x)


gelu = partial(layers.Activation, "gelu")
# Short trainings end before statistics that move slowly have arrived.
norm = partial(batch_norm, momentum=0.6, scale=False)


def group(x, filters, name):
    """3x3, max-pool, BN, GELU, 3x3, BN, GELU."""
    x = conv3x3(x, filters, f"{name}_1")
    x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    x = norm(name=f"{name}_1_bn")(x)
    x = gelu(name=f"{name}_1_gelu")(x)
    x = conv3x3(x, filters, f"{name}_2")
    x = norm(name=f"{name}_2_bn")(x)
    return gelu(name=f"{name}_2_gelu")(x)


def speednet(width=WIDTH, classes=10, image_shape=(32, 32, 3), moments=None, whitening=None):
    """2x2 whitening, GELU, three groups with width, 4 width, 4 width channels, global max-pool, dense, scaled.

    The first layer is frozen and has no bias: so it belongs to the image, and all sub-networks have it whole.  (In the
    published network it has a bias that is trained for three epochs, which could not be shared.)

    Args:
        width: channels of the first group: 64 in the published network.
        classes: number of classes.
        image_shape: (height, width, channels) in pixels, 9x9 or more.
        moments: (mean, variance) of the channels of the training images, to standardise them by (see
            `arguments.rescale`); by default images are brought to -1..1.
        whitening: kernel (2, 2, C, 8 C) of the first layer, as `keras_dd.data.whitening` gives it for the same moments;
            by default an orthogonal one, at random.

    Returns:
        A functional model from images 0..255 (N, *image_shape) to logits (N, classes).

    Raises:
        UserError: an image that is too small, or a kernel of another shape.

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sec. 3.1 to 3.3, its airbench94.
    """
    width, classes, image_shape = checked(width, classes, image_shape)
    if min(image_shape[:2]) < 9:
        raise UserError(f"image_shape is {image_shape}: three poolings of speednet want 9x9 pixels or more")
    x = inputs = keras.Input(image_shape, name="image")
    # In bfloat16 the filters, which amplify what hardly varies, would amplify what was rounded.
    x = rescale(x, moments, dtype="float32")
    frozen = {"kernel_initializer": "orthogonal", "trainable": False, "dtype": "float32"}
    whiten = layers.Conv2D(8 * image_shape[-1], 2, use_bias=False, name="whiten", **frozen)
    x = whiten(x)
    if whitening is not None:
        if np.shape(whitening) != tuple(whiten.kernel.shape):
            raise UserError(
                f"whitening has the shape {np.shape(whitening)}: it must be a kernel {tuple(whiten.kernel.shape)}, as "
                "keras_dd.data.whitening gives it"
            )
        whiten.set_weights([whitening])
    x = gelu(name="whiten_gelu")(x)
    for number, filters in enumerate((width, 4 * width, 4 * width), start=1):
        x = group(x, filters, f"group{number}")
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    scale = SCALE * (classes / 10) ** 0.5
    small = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # up to 1 / sqrt(fan-in)
    x = layers.Dense(classes, use_bias=False, kernel_initializer=small, dtype="float32", name="head")(x)
    return keras.Model(inputs, layers.Rescaling(scale, dtype="float32", name="scale")(x), name="speednet")
