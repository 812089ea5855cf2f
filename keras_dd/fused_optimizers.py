"""Keras' Adam and SGD with one kernel a weight: theirs take some twenty operations for each, and each has its price."""

import keras
import tensorflow as tf
from keras import ops


class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` without amsgrad: the same slots and numbers, but for rounding (of 1 - beta too)."""

    def update_step(self, gradient, variable, learning_rate):
        number, kind = self._get_variable_index(variable), variable.dtype
        step = ops.cast(self.iterations + 1, kind)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].handle,
            v=self._velocities[number].handle,
            beta1_power=ops.power(ops.cast(self.beta_1, kind), step),
            beta2_power=ops.power(ops.cast(self.beta_2, kind), step),
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
