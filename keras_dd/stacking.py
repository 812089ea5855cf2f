"""Narrow networks of one shape as one wider network, while they are trained.

A convolution's inner loop takes 16 channels at once, whether there are as many or not, and each kernel that is started
has its price.  So narrow networks train faster side by side: their channels in one tensor, network after network, and
their kernels in one kernel that is zero between them.  The zeros keep the networks apart: each has the numbers, the
gradients and the statistics that it has alone.  Only what is not finite passes, for 0 * inf is not 0.

Zeros are multiplied like all others.  So from a convolution on that has enough channels by itself, the networks are
apart, and each layer is computed for one after another.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_dd.fused import FusedBatchNormalization, FusedGelu, batch_norm
from keras_dd.graph import operations, replay

LANES = 16  # of AVX-512 in float32; a convolution that has fewer channels fills up with zeros
HALVES = 32  # the same in half precision


def sizes_of_groups(subnets):
    """How many networks to train side by side, one after another as they stand: [2, 2], or [1, 1, 1, 1].

    As many as fill `LANES` channels with their narrowest convolution, as far as they have the same shapes and only
    layers that can stand side by side.  `keras-dd bench` measures what it brings.
    Kernels of more than 3x3 stand alone: side by side, those of `models.cnn` train more slowly and in far more memory.
    """
    most = LANES // _least_filters(subnets[0])
    if most < 2 or not _can_stack(subnets):
        return [1] * len(subnets)
    return [len(range(first, min(first + most, len(subnets)))) for first in range(0, len(subnets), most)]


def are_narrow(subnets):
    """Whether the narrowest convolution of networks leaves lanes empty, so that little is there for two cores."""
    return _least_filters(subnets[0]) < LANES


def _least_filters(subnet):
    return min((o.filters for o in operations(subnet).values() if isinstance(o, layers.Conv2D)), default=LANES)


def scores(subnets, boxes):
    """The scores of networks in training, each for its own box of the same images.

    Args:
        subnets: networks for which `sizes_of_groups` gave one group, or a single one of any kind.
        boxes: a batch of images (N, height, width, C) for each.

    Returns:
        A list of tensors (N, classes).
    """
    if len(subnets) == 1:
        return [subnets[0](boxes[0], training=True)]
    layers_of = [operations(subnet) for subnet in subnets]
    twins = dict(zip(layers_of[0], zip(*(found.values() for found in layers_of), strict=True), strict=True))

    def call(name, layer, given, **kwargs):
        rule, _ = RULES[type(layer)]
        values = keras.tree.flatten(given)
        if not (_fills_lanes(layer) or any(isinstance(value, Apart) for value in values)):
            return rule(twins[name], given)
        each = zip(*(_of_each(value, len(subnets)) for value in values), strict=True)
        each = [keras.tree.pack_sequence_as(given, own) for own in each]
        return Apart([rule([twin], own) for twin, own in zip(twins[name], each, strict=True)])

    image = tf.cast(tf.concat(boxes, axis=-1), subnets[0].inputs[0].dtype)
    [found] = replay(subnets[0], [image], call)
    return _of_each(found, len(subnets))


@dataclass(frozen=True)
class Apart:
    """A tensor (..., channels) for each network, where one is (..., count * channels) for all side by side."""

    tensors: list


def _of_each(x, count):
    """The tensors of `count` networks that are side by side, or apart already."""
    return x.tensors if isinstance(x, Apart) else tf.split(x, count, axis=-1)


def _fills_lanes(layer):
    """Whether a convolution is better off with a kernel for each network than with zeros between them."""
    lanes = LANES if layer.compute_dtype == "float32" else HALVES
    return isinstance(layer, layers.Conv2D) and layer.kernel.shape[2] >= lanes


def _can_stack(subnets):
    can = [len({_kind(subnet) for subnet in subnets}) == 1]

    def look(name, layer, *args, **kwargs):
        can.append(_has_rule(layer) and len(args) == 1 and not _given(kwargs))
        return [None] * len(layer._inbound_nodes[0].outputs)

    replay(subnets[0], [None], look)
    return all(can)


def _kind(subnet):
    layers_of = operations(subnet).values()
    return tuple((type(o), tuple(tuple(weight.shape) for weight in getattr(o, "weights", ()))) for o in layers_of)


def _given(kwargs):
    """Arguments of a layer's call, but for those that Keras notes as None."""
    return {name: value for name, value in kwargs.items() if value is not None}


def _has_rule(layer):
    _, fits = RULES.get(type(layer), (None, None))
    return (
        fits is not None
        and layer.activity_regularizer is None
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and fits(layer)
    )


def _by_network(x, count):
    """(..., count * channels) as (..., count, channels)."""
    return tf.reshape(x, (-1, *x.shape[1:-1], count, x.shape[-1] // count))


def _together(x):
    """(..., count, channels) as (..., count * channels)."""
    return tf.reshape(x, (-1, *x.shape[1:-2], x.shape[-2] * x.shape[-1]))


def _all(twins, name, join=tf.stack, axis=0):
    """The weight `name` of all networks in one tensor, as numbers of the type that the layer computes with."""
    weights = [tf.convert_to_tensor(getattr(twin, name)) for twin in twins]
    return tf.cast(join(weights, axis), twins[0].compute_dtype)


def _conv(twins, x):
    layer = twins[0]
    if len(twins) == 1:
        return layer(x)
    kernels = _all(twins, "kernel", axis=2)
    height, width, count, rows, columns = kernels.shape
    diagonal = kernels[:, :, :, :, None, :] * tf.eye(count, dtype=kernels.dtype)[:, None, :, None]
    kernel = tf.reshape(diagonal, (height, width, count * rows, count * columns))
    x = tf.cast(x, layer.compute_dtype)
    x = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
    x = tf.nn.bias_add(x, _all(twins, "bias", tf.concat)) if layer.use_bias else x
    return _together(layer.activation(_by_network(x, count)))  # a softmax, say, is over one network's channels


def _dense(twins, x):
    layer = twins[0]
    x = tf.cast(_by_network(x, len(twins)), layer.compute_dtype)
    x = tf.einsum("...ki,kio->...ko", x, _all(twins, "kernel"))
    return _together(layer.activation(x + _all(twins, "bias") if layer.use_bias else x))


def _batch_norm(twins, x):
    count, [layer, *_] = len(twins), twins
    gamma = tf.concat([twin.gamma for twin in twins], 0) if layer.scale else None
    beta = tf.concat([twin.beta for twin in twins], 0) if layer.center else None
    x, mean, variance = batch_norm(tf.cast(x, layer.compute_dtype), gamma, beta, layer.epsilon)
    for twin, *statistics in zip(twins, tf.split(mean, count), tf.split(variance, count), strict=True):
        twin.move(*statistics)
    return x


def _rescale(twins, x):
    channels = (x.shape[-1] // len(twins),)
    scale, offset = (
        tf.concat([tf.broadcast_to(tf.cast(getattr(twin, name), twin.compute_dtype), channels) for twin in twins], 0)
        for name in ("scale", "offset")
    )
    return tf.cast(x, twins[0].compute_dtype) * scale + offset


def _flatten(twins, x):
    x = _by_network(x, len(twins))  # (N, height, width, count, channels)
    x = tf.transpose(x, (0, len(x.shape) - 2, *range(1, len(x.shape) - 2), len(x.shape) - 1))
    return tf.reshape(x, (-1, tf.math.reduce_prod(x.shape[1:])))


def _concatenate(twins, xs):
    return _together(tf.concat([_by_network(x, len(twins)) for x in xs], axis=-1))


def _network_by_network(twins, x):
    return tf.concat([twin(one) for twin, one in zip(twins, tf.split(x, len(twins), axis=-1), strict=True)], axis=-1)


def _activation(twins, x):
    return _together(twins[0](_by_network(x, len(twins))))


def _at_once(twins, x):
    return twins[0](x)


def _always(layer):
    return True


def _over_channels(layer):
    return layer.axis in (-1, 3)


# {layer class: (what it does to networks side by side, whether it can)}
RULES = {
    layers.Conv2D: (_conv, lambda layer: layer.groups == 1 and max(layer.kernel_size) <= 3),
    layers.Dense: (_dense, _always),
    FusedBatchNormalization: (
        _batch_norm,
        lambda layer: (
            _over_channels(layer)
            and layer.input_spec.ndim == 4  # or it is none for the fused kernel
            and layer.trainable
            and not (layer.synchronized or layer.renorm)
        ),
    ),
    layers.Rescaling: (_rescale, lambda layer: max(np.ndim(layer.scale), np.ndim(layer.offset)) < 2),
    layers.Flatten: (_flatten, _always),
    layers.Concatenate: (_concatenate, _over_channels),
    layers.Activation: (_activation, _always),
}
RULES |= dict.fromkeys((layers.Normalization, layers.Softmax), (_network_by_network, _always))
RULES |= dict.fromkeys(
    (
        FusedGelu,
        layers.ReLU,
        layers.LeakyReLU,
        layers.ELU,
        layers.MaxPooling2D,
        layers.AveragePooling2D,
        layers.GlobalAveragePooling2D,
        layers.GlobalMaxPooling2D,
        layers.ZeroPadding2D,
        layers.Cropping2D,
        layers.Add,
        layers.Average,
        layers.Multiply,
        layers.Subtract,
        layers.Maximum,
    ),
    (_at_once, _always),
)
