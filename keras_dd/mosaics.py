"""Pictures of feature maps and of kernels: a row for each part, a column for each of its channels."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_dd.curves import COLOURS
from keras_dd.files import replacing

MOST = 8  # channels of a part that are shown


def feature_maps(path, image, boxes, owned, kinds):
    """Draw the first layer's maps of one image as a PNG: the image with its boxes, and a mosaic for each network.

    Args:
        image: (H, W, C), 0 to 255.
        boxes: of the parts.
        owned: the channels of each part.
        kinds: {name: maps (h, w, channels)}.  A channel has the same scale of grey, from its least to its greatest
            value, in all networks but the last: that one, which was never trained, has nothing to do with the others.
    """
    values = list(kinds.values())
    related = np.concatenate([each.reshape(-1, each.shape[-1]) for each in values[:-1]])
    scales = [_range(related)] * (len(values) - 1) + [_range(values[-1].reshape(-1, values[-1].shape[-1]))]
    tiles = {
        name: (maps - least) / np.maximum(most - least, 1e-12)
        for (name, maps), (least, most) in zip(kinds.items(), scales, strict=True)
    }
    figure, image_axes, *axes = _panels(1 + len(kinds))
    image_axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
    for k, box in enumerate(boxes):
        corner, colour = (box.left - 0.5, box.top - 0.5), COLOURS[k % len(COLOURS)]
        image_axes.add_patch(Rectangle(corner, box.width, box.height, fill=False, linewidth=1.5, edgecolor=colour))
    _draw(figure, axes, tiles, owned, path)


def kernels(path, owned, kinds):
    """Draw the first layer's kernels as a PNG: those of three input channels in colour, others in grey.

    Zero is the grey in the middle.

    Args:
        owned: the channels of each part.
        kinds: {name: kernel (height, width, channels in, channels out)}, all of them on one scale.
    """
    largest = max(np.abs(kernel).max() for kernel in kinds.values()) or 1
    tiles = {}
    for name, kernel in kinds.items():
        shown = kernel if kernel.shape[2] in (1, 3) else kernel.mean(axis=2, keepdims=True)
        tiles[name] = np.moveaxis(0.5 + shown / (2 * largest), 2, -1).squeeze(-1 if shown.shape[2] == 1 else ())
    figure, *axes = _panels(len(kinds))
    _draw(figure, axes, tiles, owned, path)


def _range(values):
    return np.nanmin(values, axis=0), np.nanmax(values, axis=0)


def _panels(count):
    """A figure, and its axes in two rows; the first one of an odd number has the left side to itself."""
    figure = Figure(figsize=(13, 6.5), dpi=130, layout="constrained")
    columns, alone = count // 2, count % 2
    grid = figure.add_gridspec(2, alone + columns, width_ratios=(*[0.8] * alone, *[2] * columns))
    first = [figure.add_subplot(grid[:, 0])] if alone else []
    return figure, *first, *(figure.add_subplot(grid[i // columns, alone + i % columns]) for i in range(2 * columns))


def _draw(figure, axes, tiles, owned, path):
    for panel in figure.axes:
        panel.set(xticks=[], yticks=[])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    for panel, (name, maps) in zip(axes, tiles.items(), strict=True):
        panel.imshow(_mosaic(maps, owned), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        most = max(map(len, owned))
        left_out = f" (the first {MOST} of {most} a part)" if most > MOST else ""
        panel.set_title(name + left_out, fontsize=10, loc="left")
        panel.set_yticks([(k + 0.5) * (maps.shape[0] + 1) for k in range(len(owned))], range(1, len(owned) + 1))
        for k, label in enumerate(panel.get_yticklabels()):
            label.set(color=COLOURS[k % len(COLOURS)], fontweight="bold")
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _mosaic(maps, owned):
    """Maps (h, w, channels[, 3]) with a row for each part: one pixel between them, white."""
    height, width = maps.shape[:2]
    columns = min(MOST, max(map(len, owned)))
    whole = np.ones((len(owned) * (height + 1) + 1, columns * (width + 1) + 1, *maps.shape[3:]))
    for k, channels in enumerate(owned):
        for place, channel in enumerate(channels[:columns]):
            top, left = 1 + k * (height + 1), 1 + place * (width + 1)
            whole[top : top + height, left : left + width] = np.nan_to_num(maps[:, :, channel], nan=0.92)
    return whole
