"""What a network costs: multiply-accumulates and memory, counted from its graph."""

import math

import keras

from keras_dd.graph import replay

# Adam keeps two moments beside each weight and its gradient.
COPIES_OF_A_WEIGHT = 4


def macs(model):
    """Multiply-accumulates of one forward pass of one image, of the convolutions and dense layers.

    A kernel is applied once at each output position, so a call costs the size of the layer's kernels times the number
    of positions.
    """
    return sum(_kernels(operation) * math.prod(shape[1:-1]) for operation, shape in _calls(model))


def _kernels(operation):
    weights = operation.weights if isinstance(operation, keras.Layer) else ()
    return sum(math.prod(weight.shape) for weight in weights if weight.name.endswith("kernel"))


def _calls(model):
    """(operation, shape) of every output of every call in the model."""
    found = []

    def call(name, operation, *args, **kwargs):
        outputs = operation.compute_output_spec(*args, **kwargs)
        found.extend((operation, output.shape) for output in keras.tree.flatten(outputs))
        return outputs

    replay(model, model.inputs, call)
    return found


def training_flops(model, images):
    """FLOPs of training on `images` images: a forward and a backward pass of twice its cost, 2 FLOPs a MAC."""
    return 3 * 2 * macs(model) * images


def training_bytes(model, batch_size):
    """Bytes that a training step keeps: weights, gradients and Adam's moments, and every layer's output.

    An estimate, for 4-byte floats: buffers of the kernels come on top, reuse of outputs is not counted.
    """
    outputs = sum(math.prod(shape[1:]) for _, shape in _calls(model))
    return 4 * (COPIES_OF_A_WEIGHT * model.count_params() + batch_size * outputs)
