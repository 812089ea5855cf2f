"""The channel walk: a part of a network is a set of channel indices at every tensor of a functional graph."""

import keras
import numpy as np

from keras_dd.config import UserError
from keras_dd.graph import image_of, is_softmax, replay
from keras_dd.rules import Visit, rule_of
from keras_dd.shares import Channels, Deal, Share, Window

# Activations that, like softmax, are not taken channel by channel.
ACROSS_CHANNELS = (keras.activations.log_softmax, keras.activations.sparsemax, keras.activations.glu)


def walk(model, boxes, times=1):
    """Follow the index sets of all parts through a functional model.

    Args:
        model: a functional `keras.Model` with one image input (H, W, C) and class outputs.
        boxes: one `Box` a part: the positions of the image that it sees.
        times: above 1, how often the one part repeats the channels: a network wider than the model.

    Returns:
        A list of `Visit`s in the order of computation: each names a layer and says which entries of its inputs and of
        its output are part k's.  The image belongs to all parts whole, with what frozen layers make of it, and so do
        the outputs' channels (the classes).

    Raises:
        UserError: names the layer that cannot be dealt to the parts, and the way out.
    """
    visits = []

    def visit(name, operation, *args, **kwargs):
        rule = rule_of(name, operation)
        args = (*args, *(value for value in kwargs.values() if _shares(value)))  # inputs may be given by name
        output = rule.flow(operation, *args)
        inputs = tuple(_shares(args))
        visits.append(Visit(name, operation, rule, inputs, output))
        return output

    for output in replay(model, [_image_share(model, boxes, Deal(len(boxes), times))], visit):
        if not isinstance(output.channels, Channels):
            raise UserError(
                f"model {model.name!r} gives an image whose last axis is not its channels: end it in classes"
            )
        output.channels.settle_as_head()
    first = {}
    for each in visits:
        _check(each)
        _check_again(each, first.setdefault(id(each.operation), each))
    return visits


def _shares(values):
    return [value for value in keras.tree.flatten(values) if isinstance(value, Share)]


def _image_share(model, boxes, deal):
    height, width, channels = image_of(model).shape[1:]
    rows = Window(height, boxes[0].height, tuple(float(box.top) for box in boxes))
    columns = Window(width, boxes[0].width, tuple(float(box.left) for box in boxes))
    return Share((rows, columns, Channels.of_image(channels, deal)))


def _check(visit):
    """What can only be told when all channels are dealt."""
    operation, channels = visit.operation, visit.output.channels
    mixes = is_softmax(operation) or getattr(operation, "activation", None) in ACROSS_CHANNELS
    if mixes and not (isinstance(channels, Channels) and channels.shared):
        raise UserError(
            f"layer {visit.name!r} is a softmax (or the like) over channels that the parts do not all see: use an "
            "activation that takes each channel by itself, as sigmoid"
        )
    if visit.rule.weights is None or not operation.weights or channels.count == 1 or visit.is_of_image:
        return
    if channels.shared and channels.root is visit.inputs[0].channels.root:
        raise UserError(
            f"layer {visit.name!r} ({type(operation).__name__}) has weights for channels that belong to all parts (the "
            "image's or the classes'): move it behind the first or before the last layer, use Rescaling, or freeze it "
            "if it reads the image"
        )
    owned = np.concatenate(channels.parts())
    if not channels.shared and len(np.unique(owned)) < len(owned):
        raise UserError(
            f"layer {visit.name!r} ({type(operation).__name__}) has weights for channels of the image, which belong to "
            "all parts: put a Conv2D before it"
        )


def _check_again(visit, first):
    """A layer called more than once has one place for each of its weights."""
    if visit is first or not visit.operation.weights or visit.rule.weights is None:
        return
    shares = zip((*visit.inputs, visit.output), (*first.inputs, first.output), strict=True)
    same = all(
        np.array_equal(*pair) for a, b in shares for pair in zip(a.channels.parts(), b.channels.parts(), strict=True)
    )
    if visit.name != first.name or not same:
        raise UserError(
            f"layer {visit.name!r} ({type(visit.operation).__name__}) is called more than once, on channels that are "
            "dealt to the parts in different ways: use a layer for each call"
        )
