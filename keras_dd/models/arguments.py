"""What every builder is asked for, checked: Keras would answer with a screenful, or build what cannot be trained."""

import math

from keras import layers

from keras_dd.config import UserError, shown, whole


def checked(width, classes, image_shape):
    """(width, classes, image_shape) as plain numbers, or UserError."""
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
        raise UserError(f"image_shape is {shown(image_shape)}: it must be (height, width, channels), as (32, 32, 3)")
    width, classes = whole("width", width), whole("classes", classes, least=2)
    return width, classes, tuple(whole("image_shape", size) for size in image_shape)


def blocks_a_stack(depth):
    """n of a CIFAR network of 6n + 2 layers: three stacks of n blocks of two convolutions, the stem and the head."""
    depth = whole("depth", depth)
    if depth < 8 or (depth - 2) % 6:
        below = max(8, depth - (depth - 2) % 6)
        raise UserError(f"depth {depth} of a resnet must be 6n+2, n at least 1: try {below} or {below + 6}")
    return (depth - 2) // 6


def rescale(x, moments=None, **options):
    """Images 0..255 as the network wants them: from -1 to 1, or standardised.

    Args:
        x: images (N, H, W, C).
        moments: (mean, variance), each C numbers, of the channels of the training images, 0..255: the channels then
            have mean 0 and variance 1.  A channel that never varies is only moved to 0.
        **options: of the layer.
    """
    if moments is None:
        return layers.Rescaling(1 / 127.5, offset=-1, name="rescale", **options)(x)
    try:
        mean, variance = ([float(number) for number in numbers] for numbers in moments)
        if (
            {len(mean), len(variance)} != {x.shape[-1]}
            or not all(map(math.isfinite, mean + variance))
            or min(variance) < 0
        ):
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(
            f"moments are {shown(moments)}: they must be (mean, variance), each with a number for each of the "
            f"{x.shape[-1]} channels, as keras_dd.data.moments gives them"
        ) from None
    scale = [1 / math.sqrt(number or 1) for number in variance]
    offset = [-m * s for m, s in zip(mean, scale, strict=True)]
    return layers.Rescaling(scale, offset, name="rescale", **options)(x)
