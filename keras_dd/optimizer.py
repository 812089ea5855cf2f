"""Adam and Nesterov's momentum, their learning rates, and a brake for networks that diverge."""

from functools import partial

import keras

from keras_dd.config import unknown


def learning_rate(stage, steps_per_epoch):
    """The learning rate of a `config.Stage`, a function of the step."""
    steps = max(1, stage.epochs * steps_per_epoch)
    if stage.schedule == "step":
        drops = stage.drops or (stage.epochs,)  # Keras wants one drop at least
        drops = [drop * steps_per_epoch - 1 for drop in drops]  # the last step before each
        rates = [stage.learning_rate / 10**n for n in range(len(drops) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates)
    rise = steps // 4
    return keras.optimizers.schedules.CosineDecay(
        stage.learning_rate / 25, steps - rise, warmup_target=stage.learning_rate, warmup_steps=rise
    )


class Braked(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times `brake`, a variable: 1, and less for a network that has diverged."""

    def __init__(self, schedule, brake):
        self.schedule, self.brake = schedule, brake

    def __call__(self, step):
        return self.schedule(step) * keras.ops.convert_to_tensor(self.brake)


class _L2:
    """Before an optimizer: `l2` times the weight is added to its gradient, of every weight that is trained.

    Keras' own `weight_decay` is another thing: it goes by the learning rate alone, past the momentum.
    """

    l2 = 0.0

    def update_step(self, gradient, variable, learning_rate):
        if self.l2:
            gradient = gradient + self.l2 * keras.ops.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate)


class Adam(_L2, keras.optimizers.Adam):
    pass


class SGD(_L2, keras.optimizers.SGD):
    pass


OPTIMIZERS = {"adam": Adam, "sgd": partial(SGD, momentum=0.9, nesterov=True)}


def make(stage, steps_per_epoch):
    """The optimizer of a `config.Stage`, at its learning rates times `optimizer.brake`."""
    if stage.optimizer not in OPTIMIZERS:
        raise unknown("optimizer", stage.optimizer, OPTIMIZERS)
    brake = keras.Variable(1.0, trainable=False, name="brake")
    optimizer = OPTIMIZERS[stage.optimizer](Braked(learning_rate(stage, steps_per_epoch), brake))
    optimizer.brake, optimizer.l2 = brake, stage.weight_decay
    return optimizer
