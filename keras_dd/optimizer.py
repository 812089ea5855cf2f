"""Adam, its learning rates, and a brake for networks that diverge."""

import keras


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


def adam(stage, steps_per_epoch):
    """Adam at the learning rates of a stage times `optimizer.brake`."""
    brake = keras.Variable(1.0, trainable=False, name="brake")
    optimizer = keras.optimizers.Adam(Braked(learning_rate(stage, steps_per_epoch), brake))
    optimizer.brake = brake
    return optimizer
