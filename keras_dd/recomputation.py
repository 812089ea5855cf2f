"""Recomputation: less memory in training, for more time.

The backward pass reads what the forward pass has computed.  Instead of keeping all of that, keep the values at a few
points of the network only, and compute from each what lies behind it again, when the backward pass comes there.
"""

import itertools
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_dd.config import UserError, whole
from keras_dd.graph import nodes
from keras_dd.recursion import deep


@deep()
def recompute(model, segments=None):
    """`model`, trained in less memory: the same layers and weights, and a backward pass that computes again.

    The network is cut where a single tensor holds all that comes after (in a ResNet, between two blocks), into
    `segments` segments of as many cuts.  Training keeps what lies at the cuts, and of one segment at a time what is
    within; it costs another forward pass of all but the last segment, a third more at most.  Gradients and updates of
    batch norm are the same, and what is random is drawn once.  Inference is not concerned.

    Args:
        model: a functional `keras.Model`, for instance what `keras_dd.accelerate` gives.
        segments: their number; by default, the square root of how many there could be, for which memory is about least.

    Returns:
        A functional model that shares the layers of `model`: train it, and save `model`.

    Raises:
        UserError: no such number of segments, or more than one input or output; in training, a layer that adds to the
            loss.

    Source: Chen et al., "Training deep nets with sublinear memory cost" (2016).
    """
    pieces = _pieces(model)
    segments = round(math.sqrt(len(pieces))) if segments is None else whole("segments", segments)
    if segments > len(pieces):
        raise UserError(
            f"segments is {segments}, and {model.name!r} can be cut into {len(pieces)} only: choose that or less"
        )
    result = _Recomputing(model.inputs[0], model.outputs[0], name=model.name)
    bounds = [len(pieces) * n // segments for n in range(segments + 1)]
    result.segments = [_joined(pieces[first:end]) for first, end in itertools.pairwise(bounds)]
    return result


class _Recomputing(keras.Model):
    """A functional model that runs by segments in training."""

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=training, mask=mask)
        [x] = keras.tree.flatten(inputs)
        x = tf.cast(x, self.inputs[0].dtype)
        *others, last = self.segments
        for segment in others:
            x = _recomputed(segment, x)
        return _run(last, x)  # its backward pass comes at once: nothing would be gained


class _Segment(NamedTuple):
    """Nodes of a graph, the one tensor that they read, and the one that is read of them."""

    nodes: tuple
    source: keras.KerasTensor
    target: keras.KerasTensor


def _pieces(model):
    """The smallest segments, in the order of computation."""
    order = nodes(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: recomputation is "
            "for networks with one of each"
        )
    last_read = {id(tensor): number for number, node in enumerate(order) for tensor in node.input_tensors}
    last_read[id(model.outputs[0])] = len(order)
    pieces, first, source = [], 0, model.inputs[0]
    waiting = {id(source): source}
    for number, node in enumerate(order):
        waiting |= {id(tensor): tensor for tensor in node.outputs}
        waiting = {key: tensor for key, tensor in waiting.items() if last_read.get(key, -1) > number}
        if len(waiting) == 1:
            [target] = waiting.values()
            pieces.append(_Segment(tuple(order[first : number + 1]), source, target))
            first, source = number + 1, target
    return pieces


def _joined(pieces):
    return _Segment(tuple(node for piece in pieces for node in piece.nodes), pieces[0].source, pieces[-1].target)


def _run(segment, x):
    """What a segment makes of `x` in training."""
    values = {id(segment.source): x}
    for node in segment.nodes:
        args, kwargs = node.arguments.fill_in(values)
        if getattr(node.operation, "_call_has_training_arg", False):
            kwargs["training"] = True  # the backward pass is in no call of the model, which would tell the layers
        outputs = keras.tree.flatten(node.operation(*args, **kwargs))
        values.update(zip(map(id, node.outputs), outputs, strict=True))
    return values[id(segment.target)]


def _recomputed(segment, x):
    """`_run`, whose backward pass runs it again.

    Both runs see moving statistics and seeds as they were before, and what the first makes of them is kept.
    """
    layers = [node.operation for node in segment.nodes if isinstance(node.operation, keras.Layer)]
    state = [variable for layer in layers for variable in layer.non_trainable_variables]
    before = [tf.identity(variable.value) for variable in state]
    after = []

    def run(x):
        with keras.StatelessScope(zip(state, before, strict=True), collect_losses=True) as scope:
            y = _run(segment, x)
        if scope.losses:
            names = ", ".join(layer.name for layer in layers if layer.activity_regularizer) or "a layer"
            raise UserError(f"{names} adds to the loss, which recomputation would lose: train without it")
        after.append([scope.get_current_value(variable) for variable in state])
        return y

    y = tf.recompute_grad(run)(x)
    for variable, old, new in zip(state, before, after[0], strict=True):
        if new is not old:
            variable.assign(new)
    return y
