"""Adam, Nesterov's momentum and Muon, their learning rates, and a brake for networks that diverge."""

import keras
from keras import ops

from keras_dd import fused_optimizers
from keras_dd.config import unknown

# "triangular": the shares of the learning rate at the start and at the end, and of the steps to the peak (airbench94).
START, PEAK, END = 0.2, 0.23, 0.07
# Lookahead, as in airbench94: every 5 steps, with a share of the slow weights that grows to 0.95 a step.
LOOKAHEAD_STEPS, LOOKAHEAD_DECAY = 5, 0.95
# Muon, as in airbench94_muon.  All weights but kernels of convolutions go by Nesterov's momentum, at a higher rate:
# 2000 * 0.67 * (9 / 256)^2 = 1.66 of the mean loss for a head whose scores are divided by 9, beside 0.24.
MUON_MOMENTUM, MUON_ITERATIONS, OTHERS_RATE = 0.6, 3, 7.0
# Of x -> a x + b x^3 + c x^5, which takes singular values from 0 to 1 to about 1 in a few steps (Jordan, 2024).
QUINTIC = 3.4445, -4.7750, 2.0315


def learning_rate(stage, steps_per_epoch):
    """The learning rate of a `recipes.Stage`, a function of the step."""
    steps = max(1, stage.epochs * steps_per_epoch)
    if stage.schedule == "triangular":
        return Ramps(stage.learning_rate, START, int(PEAK * steps), END, steps)
    if stage.schedule == "linear":
        return Ramps(stage.learning_rate, 1.0, 0, 0.0, steps)
    if stage.schedule == "step":
        drops = stage.drops or (stage.epochs,)  # Keras wants one drop at least
        drops = [drop * steps_per_epoch - 1 for drop in drops]  # the last step before each
        rates = [stage.learning_rate / 10**n for n in range(len(drops) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates)
    rise = steps // 4
    return keras.optimizers.schedules.CosineDecay(
        stage.learning_rate / 25, steps - rise, warmup_target=stage.learning_rate, warmup_steps=rise
    )


class Ramps(keras.optimizers.schedules.LearningRateSchedule):
    """Linearly from `start` times the rate up to it at step `peak`, and down to `end` times it at step `steps`."""

    def __init__(self, rate, start, peak, end, steps):
        self.rate, self.start, self.peak, self.end, self.steps = rate, start, peak, end, steps

    def __call__(self, step):
        step = ops.minimum(ops.cast(step, "float32"), self.steps)
        rising = self.start + (1 - self.start) * step / max(self.peak, 1)
        falling = 1 - (1 - self.end) * (step - self.peak) / (self.steps - self.peak)
        # Before the peak the falling line is above 1, and behind it the rising one; a rise of no steps starts at 1.
        return self.rate * (ops.minimum(rising, falling) if self.peak else falling)


class Braked(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times `brake`, a variable: 1, and less for a network that has diverged."""

    def __init__(self, schedule, brake):
        self.schedule, self.brake = schedule, brake

    def __call__(self, step):
        return self.schedule(step) * ops.convert_to_tensor(self.brake)


class _OfStage:
    """Before an optimizer: what a `recipes.Stage` asks of all of them.

    `l2` times the weight is added to its gradient, of every weight that is trained.  (Keras' own `weight_decay` is
    another thing: it goes by the learning rate alone, past the momentum.)  `bias_rate` is a factor of the learning rate
    of the biases of normalisations, whose decay stays what it was.

    With `lookahead`, the number of steps of the stage, each weight w has a slow twin s, at first its equal.  Every
    fifth step and the last one, s = w = d s + (1 - d) w, with d = 0.95^5 (step / steps)^3: fast at first, averaged at
    the end.  (As published the stage ends in s as it was at the last fifth step, which leaves the rest out.)  The slow
    weights are variables of the optimizer, so that snapshots hold them, and a network that has diverged gets them back.

    Source of the last two: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sec. 3.4.
    """

    l2, bias_rate, lookahead = 0.0, 1.0, 0

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.rates = [self.bias_rate if variable.name == "beta" else 1.0 for variable in variables]
        if self.lookahead:
            self.slow = self.add_optimizer_variables(variables, "slow")
            for slow, variable in zip(self.slow, variables, strict=True):
                slow.assign(variable)

    def update_step(self, gradient, variable, learning_rate):
        number = self._get_variable_index(variable)
        rate = self.rates[number]
        if self.l2 and self.decays(variable):
            gradient = gradient + self.l2 / rate * ops.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate if rate == 1 else learning_rate * rate)
        if self.lookahead:
            self._look_ahead(variable, self.slow[number])

    def decays(self, variable):
        """Whether the size of this weight is not kept in another way."""
        return True

    def _look_ahead(self, variable, slow):
        step = ops.cast(self.iterations + 1, "float32")
        is_due = ops.logical_or(ops.equal(step % LOOKAHEAD_STEPS, 0), ops.equal(step, self.lookahead))
        decay = ops.cast(LOOKAHEAD_DECAY**LOOKAHEAD_STEPS * (step / self.lookahead) ** 3, variable.dtype)
        fast = ops.convert_to_tensor(variable)
        mixed = decay * slow + (1 - decay) * fast
        self.assign(slow, ops.where(is_due, mixed, slow))
        self.assign(variable, ops.where(is_due, mixed, fast))


class Adam(_OfStage, fused_optimizers.Adam):
    pass


class SGD(_OfStage, fused_optimizers.SGD):
    pass


class _Orthogonal(fused_optimizers.SGD):
    """The steps of `Muon`."""

    def update_step(self, gradient, variable, learning_rate):
        if not is_filters(variable):
            super().update_step(gradient, variable, OTHERS_RATE * learning_rate)
            return
        gradient, learning_rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        average = self.momentums[self._get_variable_index(variable)]
        self.assign(average, MUON_MOMENTUM * average + gradient)
        matrix = ops.reshape(gradient + MUON_MOMENTUM * average, (-1, variable.shape[-1]))
        step = learning_rate * ops.reshape(orthogonal(matrix), variable.shape)
        kernel = ops.convert_to_tensor(variable)
        size = variable.shape[-1] ** 0.5 / (ops.sqrt(ops.sum(ops.square(kernel))) + 1e-7)
        self.assign(variable, size * kernel - step)


class Muon(_OfStage, _Orthogonal):
    """Steps of orthogonal matrices for the kernels of convolutions, Nesterov's momentum for all other weights.

    A kernel is brought to the size sqrt(filters), which is without effect where batch norm follows, and moves by the
    learning rate times the sum of its gradients, with a momentum of 0.6 of its own, made orthogonal as a matrix of
    inputs and filters.  The other weights have 7 times the learning rate.
    (`keras.optimizers.Muon` has this step for matrices only: kernels of convolutions go by Adam there.)

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), and airbench94_muon.
    """

    def decays(self, variable):
        return not is_filters(variable)


def is_filters(variable):
    """Whether a weight is the kernel of a convolution, which is a matrix; one of a depthwise convolution is none."""
    return len(variable.shape) == 4 and variable.shape[-1] > 1


def orthogonal(matrix):
    """The matrix with all its singular values near to 1: U V^T of U S V^T, roughly, by `MUON_ITERATIONS` of `QUINTIC`.

    Three iterations take values from a hundredth of the size of the matrix upwards to between 0.4 and 1.2.
    """
    a, b, c = QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if is_tall else matrix
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(MUON_ITERATIONS):
        gram = x @ ops.transpose(x)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return ops.transpose(x) if is_tall else x


OPTIMIZERS = {"adam": Adam, "sgd": SGD, "muon": Muon}


def make(stage, steps_per_epoch):
    """The optimizer of a `recipes.Stage`, at its learning rates times `optimizer.brake`."""
    if stage.optimizer not in OPTIMIZERS:
        raise unknown("optimizer", stage.optimizer, OPTIMIZERS)
    brake = keras.Variable(1.0, trainable=False, name="brake")
    momentum = {} if stage.optimizer == "adam" else {"momentum": stage.momentum, "nesterov": True}
    optimizer = OPTIMIZERS[stage.optimizer](Braked(learning_rate(stage, steps_per_epoch), brake), **momentum)
    optimizer.brake, optimizer.l2, optimizer.bias_rate = brake, stage.weight_decay, stage.bias_rate
    optimizer.lookahead = stage.lookahead * max(1, stage.epochs * steps_per_epoch)
    return optimizer
