"""Batch normalisation and GELU in one kernel each, while a network is trained.

Keras 3 puts both together from many TensorFlow operations, each of which reads and writes the whole tensor.  TensorFlow
has one kernel for batch normalisation, and XLA makes one of GELU, and one of its gradient.
"""

import math

import keras
import tensorflow as tf

from keras_dd.graph import again, copy


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, trained by TensorFlow's fused kernel: the same weights, config and numbers.

    What the kernel does not do is left to Keras: another axis than the last of four, masks, synchronised replicas,
    renormalisation, and inference, which is one multiplication and one addition there too.
    """

    @property
    def __class__(self):
        """The plain layer, which is what Keras writes: its name in the config, and that of its weights in the file.

        So whatever Keras saves or clones is plain, and loads where this package is not installed.  `type()` tells them
        apart.
        """
        return keras.layers.BatchNormalization

    def call(self, inputs, training=None, mask=None):
        last_of_four = len(inputs.shape) == 4 and self.axis in (-1, 3)
        left_to_keras = self.synchronized or self.renorm or mask is not None
        if not (training and self.trainable and last_of_four) or left_to_keras:
            return super().call(inputs, training=training, mask=mask)
        gamma, beta = self.gamma if self.scale else None, self.beta if self.center else None
        outputs, mean, variance = batch_norm(tf.cast(inputs, self.compute_dtype), gamma, beta, self.epsilon)
        self.move(mean, variance)
        return outputs

    def move(self, mean, variance):
        """Moves the moving statistics towards those of a batch."""
        for moving, batch in (self.moving_mean, mean), (self.moving_variance, variance):
            value = tf.convert_to_tensor(moving)  # read once
            moving.assign(value - (1 - self.momentum) * (value - tf.cast(batch, moving.dtype)))


class FusedGelu(keras.layers.Activation):
    """`keras.layers.Activation("gelu")`, exact: the same numbers but for rounding, of which there is less in half
    precision, because all between reading and writing is float32."""

    @property
    def __class__(self):
        """The plain layer, as above."""
        return keras.layers.Activation

    def call(self, inputs):
        return gelu(tf.cast(inputs, self.compute_dtype))


@tf.custom_gradient
def gelu(x):
    """x Phi(x), where Phi is the distribution function of the standard normal distribution."""
    return _gelu(x), lambda slopes: _gelu_gradient(x, slopes)


@tf.function(jit_compile=True)
def _gelu(x):
    wide = tf.cast(x, "float32")
    return tf.cast(wide * _normal(wide), x.dtype)


@tf.function(jit_compile=True)
def _gelu_gradient(x, slopes):
    """d/dx x Phi(x) = Phi(x) + x phi(x), where phi is the density."""
    wide = tf.cast(x, "float32")
    density = tf.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return tf.cast((_normal(wide) + wide * density) * tf.cast(slopes, "float32"), x.dtype)


def _normal(x):
    return 0.5 * (1 + tf.math.erf(x / math.sqrt(2)))


def batch_norm(x, gamma, beta, epsilon):
    """A batch x (N, H, W, C) normalised, with its mean (C,) and variance (C,); gamma and beta (C,) may be None."""
    channels = x.shape[-1]
    # oneDNN's kernel wants channels by 16 in half precision: others are several times as slow there as in float32.  (On
    # a GPU such layers pay two casts for it.)
    computed = x.dtype if channels % 16 == 0 else tf.float32
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.cast(x, computed),
        scale=tf.ones(channels) if gamma is None else tf.cast(gamma, "float32"),
        offset=tf.zeros(channels) if beta is None else tf.cast(beta, "float32"),
        mean=[],
        variance=[],
        epsilon=epsilon,
        is_training=True,
    )
    # The kernel divides its variance by n - 1 (by 1, if n is 1), Keras by n.
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), variance.dtype)
    return tf.cast(outputs, x.dtype), mean, variance * (tf.maximum(count - 1, 1) / count)


def accelerate(model):
    """A copy of a functional `model`, with its weights, that trains faster: batch normalisations and GELUs are fused.

    Saved, it is a network of plain layers, which Keras loads everywhere; accelerate it again to train on.  To
    `export` it, load what was saved: a GELU that XLA compiles is nothing for ONNX or LiteRT.
    """
    return copy(model, fused)


def fused(layer):
    """A new layer for `graph.copy`: `layer` again, or fused where it is a plain `BatchNormalization`, or a GELU.

    The kernels compute in float32: what is to be computed in float64 stays as it is.
    """
    if getattr(layer, "compute_dtype", None) == "float64":
        return again(layer)
    if type(layer) is keras.layers.BatchNormalization:
        return FusedBatchNormalization.from_config(layer.get_config())
    if type(layer) is keras.layers.Activation and layer.activation is keras.activations.gelu:
        return FusedGelu.from_config(layer.get_config())
    return again(layer)
