"""What a network costs: multiply-accumulates and memory, counted from its graph."""

import math

import keras
import tensorflow as tf

from keras_dd.graph import replay

MIB = 2**20
# Adam keeps two moments beside each weight and its gradient.
COPIES_OF_A_WEIGHT = 4
# The layer whose backward pass is running has gradients at its output and at its input.
GRADIENTS_AT_ONCE = 2
# Tensors of its size that batch normalization keeps: its input.
KEPT_BY_BATCH_NORM = 1
# Measured on CPUs: TensorFlow's graph of a training step, with what it makes of it, a call of a layer; and scratch of
# the convolutions, threads and waiting batches, a process.
BYTES_OF_A_CALL = 0.75 * MIB
BYTES_OF_A_PROCESS = 60 * MIB
# Networks that are trained at once are not at once where they hold most: this share of all their tensors is held.
SHARE_AT_ONCE = 0.6

# What gradients read again, by the class of the layer or of keras.ops, or by the function of an Activation layer.  All
# others are taken to read both their inputs and their outputs.
READ_INPUTS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "Multiply"}
READ_OUTPUTS = {"ReLU", "Relu", "relu", "Relu6", "relu6", "Sigmoid", "sigmoid", "Tanh", "tanh", "Softmax", "softmax"}
READ_NEITHER = {"Add", "Average", "Concatenate", "Subtract"}  # sums, and what only moves numbers
READ_NEITHER |= {"AveragePooling2D", "Cropping2D", "GlobalAveragePooling2D", "UpSampling2D", "ZeroPadding2D"}
READ_NEITHER |= {"Flatten", "Identity", "Permute", "Rescaling", "Reshape"}


def macs(model):
    """Multiply-accumulates of one forward pass of one image, of the convolutions and dense layers.

    A kernel is applied once at each output position, so a call costs the size of the layer's kernels times the number
    of positions.
    """
    return sum(
        _kernels(operation) * math.prod(output.shape[1:-1])
        for operation, _, outputs in _calls(model)
        for output in outputs
    )


def _kernels(operation):
    weights = operation.weights if isinstance(operation, keras.Layer) else ()
    return sum(math.prod(weight.shape) for weight in weights if weight.name.endswith("kernel"))


def _calls(model):
    """(operation, inputs, outputs) of every call in the model, with the symbolic tensors."""
    found = []

    def call(name, operation, *args, **kwargs):
        outputs = operation.compute_output_spec(*args, **kwargs)
        inputs = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.KerasTensor)]
        found.append((operation, inputs, keras.tree.flatten(outputs)))
        return outputs

    replay(model, model.inputs, call)
    return found


def training_flops(model, images):
    """FLOPs of training on `images` images: a forward and a backward pass of twice its cost, 2 FLOPs a MAC."""
    return 3 * 2 * macs(model) * images


def training_bytes(networks, batch_size):
    """Bytes at the peak of a training step, of networks that are trained at once.

    On top of what Python, TensorFlow, the built networks and the data set take already, it is about

        60 MiB + sum over networks of (0.75 MiB * calls + 16 * parameters + batch_size * share * (kept + 2 * largest))

    with 16 for a weight, its gradient and Adam's two moments of 4 bytes each.  `kept` is the bytes that the backward
    pass reads again of one image: inputs of convolutions, dense layers and batch norm, outputs of ReLUs, both of
    max-pooling, nothing of sums and of layers that only move numbers.  A tensor that two layers read is kept once.
    `largest` is the bytes of the largest tensor, for the two gradients in work.  `share` is 1 for one network and 0.6
    for several, which are not at once where they hold most.

    60 MiB, 0.75 MiB and 0.6 are fitted to what `figures/memory.py` measures on one CPU, where the estimates are within
    30 % of the growth of the process.  On several devices each holds its part of the batch or of the networks.
    """
    total, share = BYTES_OF_A_PROCESS, SHARE_AT_ONCE if len(networks) > 1 else 1
    for network in networks:
        calls = _calls(network)
        total += BYTES_OF_A_CALL * len(calls) + 4 * COPIES_OF_A_WEIGHT * network.count_params()
        largest = max(_bytes([tensor]) for _, inputs, outputs in calls for tensor in inputs + outputs)
        total += batch_size * share * (_kept(calls) + GRADIENTS_AT_ONCE * largest)
    return round(total)


def _kept(calls):
    """Bytes that wait for the backward pass, of one image."""
    waiting, norms = {}, 0
    for operation, inputs, outputs in calls:
        activation = getattr(operation, "activation", keras.activations.linear)
        kind = type(operation).__name__
        if kind == "Activation":
            kind = getattr(activation, "__name__", kind)
        if kind == "BatchNormalization":
            norms += KEPT_BY_BATCH_NORM * _bytes(inputs)
            continue
        read = [] if kind in READ_NEITHER | READ_OUTPUTS else inputs
        if kind not in READ_NEITHER | READ_INPUTS or activation is not keras.activations.linear:
            read = read + outputs
        waiting |= {id(tensor): tensor for tensor in read}
    return norms + _bytes(waiting.values())


def _bytes(tensors):
    return sum(math.prod(tensor.shape[1:]) * tf.as_dtype(tensor.dtype).size for tensor in tensors)
