"""Folding batch normalisation into the layers beside it: the same scores, sooner."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from keras_dd.fused import FusedBatchNormalization
from keras_dd.graph import again, replay, settle
from keras_dd.recursion import deep

NORMS = (layers.BatchNormalization, FusedBatchNormalization)
FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


@deep()
def fold_batchnorm(model):
    """A copy of a functional `model` for inference, with as few batch normalisations as can be.

    With s = gamma / sqrt(variance + epsilon) and t = beta - s mean, batch norm is s x + t, channel by channel, and

        behind a layer:   s (W x + b) + t  =  (s W) x + (s b + t)
        before a layer:   W (s x + t) + b  =  (W s) x + (W t + b)

    so it goes into a Conv2D, DepthwiseConv2D or Dense that it directly follows, where nothing else reads that layer and
    it has no activation.  Otherwise it goes into the one that directly follows it, where nothing else reads the batch
    norm; but not into a convolution in groups, nor into one that pads: it pads with zeros, which would have to be t
    before the folding (1x1 kernels and padding "valid" pad nothing).  All others stay: those before an activation or
    behind a sum, and those of layers that are called more than once.

    Args:
        model: a functional `keras.Model`; nested models come out flat.

    Returns:
        A new functional model with the scores of `model` in inference, but for rounding.  Do not train it.

    Source: equation 9 of Yang et al., "Simplified residual structure and fast deep residual networks" (2021), with the
    W t in the bias that it leaves out.
    """
    calls = _calls(model)
    before, after = _folds(calls)
    gone = {norm.name for norm in (*before.values(), *after.values())}
    made = {}

    def call(name, operation, *args, **kwargs):
        if name in gone:
            return args[0] if args else kwargs["inputs"]
        if name not in made:
            changes = {"use_bias": True} if name in before or name in after else {}
            made[name] = again(operation, **changes, name=name)
        return made[name](*args, **kwargs)

    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    outputs = replay(model, inputs, call)
    inputs, outputs = (each if len(each) > 1 else each[0] for each in (inputs, outputs))
    folded = keras.Model(inputs, outputs, name=model.name)
    for name, layer in made.items():
        if name in before or name in after:
            layer.set_weights(_folded(calls[name].operation, before.get(name), after.get(name)))
        elif isinstance(layer, keras.Layer):
            layer.set_weights(calls[name].operation.get_weights())
    settle(folded)
    return folded


class _Value:
    """A tensor, as far as is of interest here."""

    def __init__(self, maker):
        self.maker = maker


class _Call(NamedTuple):
    """A layer or operation, and the names of those whose outputs it reads and of those that read its own."""

    name: str
    operation: keras.Operation
    reads: list
    readers: list


def _calls(model):
    """{name: _Call}, in the order of computation; one that is called twice has what both calls read."""
    image = ""
    calls = {image: _Call(image, None, [], [])}

    def note(name, operation, *args, **kwargs):
        call = calls.setdefault(name, _Call(name, operation, [], []))
        for value in keras.tree.flatten((args, kwargs)):
            if isinstance(value, _Value):
                call.reads.append(value.maker)
                calls[value.maker].readers.append(name)
        return [_Value(name) for _ in operation._inbound_nodes[0].outputs]

    for output in replay(model, [_Value(image) for _ in model.inputs], note):
        calls[output.maker].readers.append("the user")
    return calls


def _folds(calls):
    """{name of a layer: the batch norm before it} and {name of a layer: the batch norm behind it} that go into it."""
    before, after = {}, {}
    for norm in calls.values():
        if type(norm.operation) not in NORMS or len(norm.reads) > 1 or not _last_axis(norm.operation):
            continue
        source, target = calls[norm.reads[0]], calls.get(norm.readers[0])
        if _foldable(source) and source.readers == [norm.name] and _is_linear(source.operation):
            after[source.name] = norm
        elif target and _foldable(target) and norm.readers == [target.name] and not _pads_or_groups(target.operation):
            before[target.name] = norm
    return before, after


def _last_axis(norm):
    return norm.axis in (-1, len(norm._inbound_nodes[0].outputs[0].shape) - 1)


def _foldable(call):
    channels_last = getattr(call.operation, "data_format", "channels_last") == "channels_last"
    return type(call.operation) in FOLDABLE and len(call.reads) == 1 and channels_last


def _is_linear(layer):
    return layer.activation is keras.activations.linear


def _pads_or_groups(layer):
    if isinstance(layer, layers.Dense):
        return False
    pads = layer.padding != "valid" and set(layer.kernel_size) != {1}
    return pads or getattr(layer, "groups", 1) > 1


def _folded(layer, before, after):
    """[kernel, bias] of a layer with a batch norm before it, behind it, or both.

    Kernels are (..., inputs, outputs), and those of a DepthwiseConv2D (..., inputs, outputs of each of them).
    """
    kernel, *bias = (weight.astype(np.float64) for weight in layer.get_weights())
    outputs = kernel.shape[-2:] if isinstance(layer, layers.DepthwiseConv2D) else kernel.shape[-1:]
    bias = bias[0].reshape(outputs) if bias else np.zeros(outputs)
    if before:
        scale, shift = _affine(before.operation)
        bias = bias + np.sum(kernel * shift[:, None], axis=tuple(range(kernel.ndim - len(outputs))))
        kernel = kernel * scale[:, None]
    if after:
        scale, shift = (each.reshape(outputs) for each in _affine(after.operation))
        kernel, bias = kernel * scale, bias * scale + shift
    return [kernel, bias.ravel()]


def _affine(norm):
    """(s, t) of a batch norm, which is s x + t in inference."""
    mean, variance = (
        keras.ops.convert_to_numpy(v).astype(np.float64) for v in (norm.moving_mean, norm.moving_variance)
    )
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale *= keras.ops.convert_to_numpy(norm.gamma)
    return scale, (keras.ops.convert_to_numpy(norm.beta) if norm.center else 0) - scale * mean
