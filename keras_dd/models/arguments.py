"""What every builder is asked for, checked: Keras would answer with a screenful, or build what cannot be trained."""

from keras_dd.config import UserError, shown, whole


def checked(width, classes, image_shape):
    """(width, classes, image_shape) as plain numbers, or UserError."""
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
        raise UserError(f"image_shape is {shown(image_shape)}: it must be (height, width, channels), as (32, 32, 3)")
    width, classes = whole("width", width), whole("classes", classes, least=2)
    return width, classes, tuple(whole("image_shape", size) for size in image_shape)
