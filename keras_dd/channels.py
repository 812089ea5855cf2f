"""The channel walk: a part of a network is a set of channel indices at every tensor of a functional graph."""

import keras
import numpy as np

from keras_dd.config import UserError
from keras_dd.graph import is_softmax, replay
from keras_dd.rules import Visit, rule_of
from keras_dd.shares import Channels, Share, Window


def walk(model, boxes):
    """Follow the index sets of all parts through a functional model.

    Args:
        model: a functional `keras.Model` with one image input (H, W, C) and class outputs.
        boxes: one `Box` a part: the positions of the image that it sees.

    Returns:
        A list of `Visit`s in the order of computation: each names a layer and says which entries of its inputs and of
        its output are part k's.  The image belongs to all parts whole, and so do the outputs' channels (the classes).

    Raises:
        UserError: names the layer that cannot be dealt to the parts, and the way out.
    """
    visits = []

    def visit(name, operation, *args, **kwargs):
        rule = rule_of(name, operation)
        output = rule.flow(operation, *args)
        inputs = tuple(value for value in keras.tree.flatten(args) if isinstance(value, Share))
        visits.append(Visit(name, operation, rule, inputs, output))
        return output

    for output in replay(model, [_image_share(model, boxes)], visit):
        output.channels.settle_as_head()
    for each in visits:
        _check(each)
    return visits


def _image_share(model, boxes):
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or None in model.inputs[0].shape[1:]:
        shapes = ", ".join(str(tuple(tensor.shape[1:])) for tensor in model.inputs)
        raise UserError(
            f"model {model.name!r} has inputs {shapes}: it must have one, an image (height, width, channels)"
        )
    height, width, channels = model.inputs[0].shape[1:]
    rows = Window(height, boxes[0].height, tuple(float(box.top) for box in boxes))
    columns = Window(width, boxes[0].width, tuple(float(box.left) for box in boxes))
    return Share((rows, columns, Channels.of_image(channels, len(boxes))))


def _check(visit):
    """What can only be told when all channels are dealt."""
    operation, channels = visit.operation, visit.output.channels
    if is_softmax(operation) and not channels.shared:
        raise UserError(f"layer {visit.name!r} is a softmax over channels that the parts do not all see: remove it")
    if visit.rule.weights is None or not operation.weights:
        return
    if channels.shared and channels.root is visit.inputs[0].channels.root:
        raise UserError(
            f"layer {visit.name!r} ({type(operation).__name__}) has weights for channels that belong to all parts (the "
            "image's or the classes'): move it behind the first or before the last layer, or use Rescaling"
        )
    owned = np.concatenate(channels.parts())
    if not channels.shared and len(np.unique(owned)) < len(owned):
        raise UserError(
            f"layer {visit.name!r} ({type(operation).__name__}) has weights for channels of the image, which belong to "
            "all parts: put a Conv2D before it"
        )
