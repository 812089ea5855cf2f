"""Keras' Adam and SGD with one kernel a weight: theirs take some twenty operations for each, and each has its price."""

import keras
import tensorflow as tf
from keras import ops


class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` without amsgrad: the same slots and numbers, but for rounding (of 1 - beta too)."""

    _powers = None  # of both betas, at this step

    def apply(self, grads, trainable_variables=None):
        self._powers = None
        super().apply(grads, trainable_variables)
        self._powers = None  # they are tensors of this step, and of its graph

    def update_step(self, gradient, variable, learning_rate):
        number, kind = self._get_variable_index(variable), variable.dtype
        if (
            self._powers is None
        ):  # once for all weights: for each of them, they were a third of a narrow network's operations
            step = ops.cast(self.iterations + 1, "float32")
            self._powers = ops.power(self.beta_1, step), ops.power(self.beta_2, step)
        beta1_power, beta2_power = (ops.cast(power, kind) for power in self._powers)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].handle,
            v=self._velocities[number].handle,
            beta1_power=beta1_power,
            beta2_power=beta2_power,
            lr=ops.cast(learning_rate, kind),
            beta1=ops.cast(self.beta_1, kind),
            beta2=ops.cast(self.beta_2, kind),
            epsilon=ops.cast(self.epsilon, kind),
            grad=ops.cast(gradient, kind),
        )


class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD`: the same slots, and the same numbers but for rounding."""

    def update_step(self, gradient, variable, learning_rate):
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].handle,
            lr=ops.cast(learning_rate, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
            momentum=ops.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )
