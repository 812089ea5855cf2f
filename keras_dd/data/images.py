"""From the bytes of an image file to an array of the wanted shape."""

import io

import numpy as np
from PIL import Image, ImageOps

# Those that photographs and data sets come in; each further decoder would be one more that a hostile file can attack.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
GREY = ("1", "L", "LA", "I;16", "I;16L", "I;16B")


def decode(encoded, shape):
    """The image as uint8 (H, W, C) of `shape`, with C 1 (grey) or 3 (RGB), in one pass.

    The largest window of the wanted proportions in the middle of the image, scaled bilinearly, each pixel the mean of
    what it covers.  Turned upright as its camera noted; what is transparent lies on white; of several frames the first.

    Raises:
        whatever Pillow raises: for bytes that are no image, a truncated one, one of too many pixels.
    """
    height, width, channels = shape
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        side = max(height, width)
        image.draft("L" if channels == 1 else "RGB", (side, side))  # a JPEG decodes faster to 1/2, 1/4 or 1/8
        ImageOps.exif_transpose(image, in_place=True)
        image = _eight_bit(image)
        if image.size != (width, height):  # most sets are of one size, and copies are most of what a small image costs
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(shape)


def look(path):
    """((height, width), whether it is grey) of an image file, from its header only."""
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        is_turned = image.getexif().get(0x0112, 1) >= 5  # the Exif orientation
        return ((width, height) if is_turned else (height, width)), image.mode in GREY


def _eight_bit(image):
    """The image in grey, RGB or RGBA, 8 bits each, from any mode that the formats know."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not told")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("L" if image.mode == "1" else "RGB")
