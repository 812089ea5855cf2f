"""What a network costs: multiply-accumulates and memory, counted from its graph."""

import math

import keras

from keras_dd.graph import operations

# Adam keeps two moments beside each weight and its gradient.
COPIES_OF_A_WEIGHT = 4


def macs(model):
    """Multiply-accumulates of one forward pass of one image, of the convolutions and dense layers.

    A kernel is applied at each output position (to each input position by a depthwise convolution), so a layer costs
    the size of its kernels times the number of positions.
    """
    return sum(_macs(operation) for operation in operations(model).values() if isinstance(operation, keras.Layer))


def _macs(layer):
    kernels = [weight for weight in layer.weights if weight.path.split("/")[-1].endswith("kernel")]
    return sum(math.prod(kernel.shape) for kernel in kernels) * math.prod(layer.output.shape[1:-1])


def training_flops(model, images):
    """FLOPs of training on `images` images: a forward and a backward pass of twice its cost, 2 FLOPs a MAC."""
    return 3 * 2 * macs(model) * images


def training_bytes(model, batch_size):
    """Bytes that a training step keeps: weights, gradients and Adam's moments, and every layer's output.

    An estimate, for 4-byte floats: buffers of the kernels come on top, reuse of outputs is not counted.
    """
    outputs = sum(math.prod(operation.output.shape[1:]) for operation in operations(model).values())
    return 4 * (COPIES_OF_A_WEIGHT * model.count_params() + batch_size * outputs)
