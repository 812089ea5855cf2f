"""Images as text that a page can hold: PNG in data URIs."""

import base64
import io

import numpy as np
from PIL import Image

BLUE, ORANGE = (0x2B, 0x8C, 0xD0), (0xD9, 0x6A, 0x10)  # of a matrix, on light and on dark ground


def images_of(split, rows):
    """The images of these rows of a `data.Split` or `data.Stream`: uint8 (N, H, W, C)."""
    return split.batch(np.array(rows))[0].numpy()


def picture(image, side):
    """An image (H, W, 1 or 3), brought to no more than `side` pixels a side; None where its channels are no colours."""
    if image.shape[-1] not in (1, 3):
        return None
    drawn = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    drawn.thumbnail((side, side))
    return _data_uri(drawn)


def matrix_picture(counts):
    """A pixel for each entry of a confusion matrix, the fuller the more of its row: right ones blue, others orange."""
    counts = np.array(counts, float)
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    is_right = np.eye(len(counts), dtype=bool)[..., None]
    colours = np.where(is_right, BLUE, ORANGE)
    return _data_uri(Image.fromarray(np.dstack([colours, 255 * share]).astype(np.uint8)))


def _data_uri(drawn):
    file = io.BytesIO()
    drawn.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
