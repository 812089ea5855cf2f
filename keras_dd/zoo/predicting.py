"""One image file, and what a network of the zoo takes it for."""

from pathlib import Path

import keras
import numpy as np

from keras_dd.config import UserError
from keras_dd.data.images import decode


def image(path, shape):
    """The middle of the image in a file, scaled: uint8 (H, W, C) of `shape`.  UserError: none that can be read."""
    try:
        return decode(Path(path).read_bytes(), shape)
    except Exception as error:  # Pillow raises what it likes at a broken file
        raise UserError(
            f"image {str(path)!r} cannot be read ({type(error).__name__}): give a JPEG, PNG, GIF, BMP or WEBP"
        ) from error


def probabilities(model, image):
    """The probability of each class, (classes,), by the softmax of the model's logits for one image (H, W, C)."""
    logits = model(np.asarray(image, np.float32)[None], training=False)
    return keras.ops.convert_to_numpy(keras.ops.softmax(keras.ops.cast(logits, "float32")))[0]
