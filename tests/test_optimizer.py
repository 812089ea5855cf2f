"""optimizer.py: the learning rates of a stage, and its steps."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_dd import fused_optimizers
from keras_dd.config import UserError
from keras_dd.divergence import _slots
from keras_dd.optimizer import QUINTIC, learning_rate, make
from keras_dd.recipes import Stage


def rates(stage, steps_per_epoch):
    rate = learning_rate(stage, steps_per_epoch)
    return np.array([float(rate(step)) for step in range(stage.epochs * steps_per_epoch + 1)])


def test_the_rate_drops_where_an_epoch_begins():
    stage = Stage(epochs=6, learning_rate=1e-2, schedule="step", drops=(2, 4))
    assert rates(stage, 5)[:-1] == pytest.approx(np.repeat([1e-2, 1e-3, 1e-4], 10))
    assert rates(stage.lasting(3), 5)[:-1] == pytest.approx(np.repeat([1e-2, 1e-3, 1e-4], 5))


def test_one_cycle_rises_for_a_quarter_and_ends_at_zero():
    rate = rates(Stage(epochs=4, learning_rate=1e-2), 10)
    assert np.argmax(rate) == 10 and rate[10] == pytest.approx(1e-2)
    assert np.allclose(np.diff(rate[:11]), (1e-2 - rate[0]) / 10, atol=1e-7) and 0 < rate[0] < 1e-3
    assert np.all(np.diff(rate[10:]) < 0)
    assert rate[25] == pytest.approx(5e-3)  # half a cosine
    assert rate[-1] == pytest.approx(0, abs=1e-9)


def test_a_cycle_of_one_step_is_finite():
    assert np.isfinite(rates(Stage(epochs=1, learning_rate=1e-2), 1)).all()


def test_steps_without_drops_are_a_constant_rate():
    assert rates(Stage(epochs=2, learning_rate=1e-2, schedule="step"), 3)[:-1] == pytest.approx(np.full(6, 1e-2))


def test_a_triangle_rises_and_falls_in_straight_lines():
    """airbench94: from 0.2 of the rate to it at 23 % of the steps, and down to 0.07 of it."""
    rate = rates(Stage(epochs=10, learning_rate=2.0, schedule="triangular"), 10)
    expected = np.interp(np.arange(101), [0, 23, 100], [0.4, 2.0, 0.14])
    np.testing.assert_allclose(rate, expected, rtol=1e-5)
    assert np.isfinite(rates(Stage(epochs=1, learning_rate=2.0, schedule="triangular"), 1)).all()


def test_a_line_falls_to_zero():
    rate = rates(Stage(epochs=2, learning_rate=0.3, schedule="linear"), 5)
    np.testing.assert_allclose(rate, np.linspace(0.3, 0, 11), atol=1e-6)


def by_nesterov(weight, gradients, rate, decay):
    """v = 0.9 v - rate (g + decay w); w = w + 0.9 v - rate (g + decay w), as in the papers."""
    velocity = np.zeros_like(weight)
    for gradient in gradients:
        step = rate * (gradient + decay * weight)
        velocity = 0.9 * velocity - step
        weight = weight + 0.9 * velocity - step
    return weight


def by_adam(weight, gradients, rate, decay):
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        gradient = gradient + decay * weight
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weight = weight - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
    return weight


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("optimizer", "by_hand"), [("sgd", by_nesterov), ("adam", by_adam)])
def test_steps_are_those_by_hand(optimizer, by_hand, decay, rng):
    """Also of a bias: what decays is every weight."""
    stage = Stage(epochs=2, learning_rate=0.1, schedule="step", optimizer=optimizer, weight_decay=decay)
    kernel, bias = rng.normal(size=(2, 3)), rng.normal(size=3)
    variables = [keras.Variable(kernel, name="kernel"), keras.Variable(bias, name="bias")]
    gradients = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 3))
    made = make(stage, 2)
    for each in zip(*gradients, strict=True):
        made.apply([keras.ops.convert_to_tensor(gradient, "float32") for gradient in each], variables)
    for variable, before, slopes in zip(variables, (kernel, bias), gradients, strict=True):
        np.testing.assert_allclose(variable, by_hand(before, slopes, 0.1, decay), atol=1e-5)


def stepped(stage, steps, variables, gradients):
    """The values of the variables after each of some steps; the optimizer."""
    made = make(stage, steps)
    made.build(variables)
    values = []
    for each in zip(*gradients, strict=True):
        made.apply([keras.ops.convert_to_tensor(gradient, "float32") for gradient in each], variables)
        values.append([variable.numpy() for variable in variables])
    return values, made


def test_biases_of_batch_norm_have_a_rate_of_their_own_and_the_same_decay(rng):
    stage = Stage(1, 0.01, "step", optimizer="sgd", weight_decay=0.3, bias_rate=64.0)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(2, 2, 3))
    variables = [keras.Variable(start[0], name="kernel"), keras.Variable(start[1], name="beta")]
    values, _ = stepped(stage, 2, variables, gradients)
    np.testing.assert_allclose(values[-1][0], by_nesterov(start[0], gradients[0], 0.01, 0.3), atol=1e-5)
    np.testing.assert_allclose(values[-1][1], by_nesterov(start[1], gradients[1], 0.64, 0.3 / 64), atol=1e-5)


@pytest.mark.parametrize("steps", [10, 12])
def test_lookahead_draws_weights_back_every_fifth_step_and_at_the_end(steps, rng):
    start, gradients = rng.normal(size=3).astype("float32"), rng.normal(size=(1, steps, 3))
    stage = Stage(1, 0.1, "step", optimizer="sgd", momentum=0.5)
    plain, _ = stepped(stage, steps, [keras.Variable(start)], gradients)
    values, made = stepped(dataclasses.replace(stage, lookahead=True), steps, [keras.Variable(start)], gradients)
    slow = fast = start
    velocity = 0
    for step, gradient in enumerate(gradients[0], start=1):
        velocity = 0.5 * velocity - 0.1 * gradient
        fast = fast + 0.5 * velocity - 0.1 * gradient
        if step in (5, 10, steps):
            share = 0.95**5 * (step / steps) ** 3
            slow = fast = share * slow + (1 - share) * fast
        np.testing.assert_allclose(values[step - 1][0], fast, atol=1e-5)
    assert np.abs(values[-1][0] - plain[-1][0]).max() > 0.01
    np.testing.assert_allclose(made.slow[0], slow, atol=1e-5)
    assert {id(variable) for variable in made.slow} <= {id(variable) for variable in _slots(made)}  # snapshots, Guard


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 4, 8)])
def test_muon_makes_the_steps_of_kernels_orthogonal(shape, rng):
    """By the singular values of their gradients; a kernel keeps its size, other weights have Nesterov's steps."""
    kernel, bias = (rng.normal(size=size).astype("float32") for size in (shape, 8))
    gradients = rng.normal(size=(2, *shape)), rng.normal(size=(2, 8))
    stage = Stage(1, 0.02, "step", optimizer="muon", weight_decay=0.3)
    values, _ = stepped(stage, 2, [keras.Variable(kernel), keras.Variable(bias)], gradients)
    a, b, c = QUINTIC
    average = 0
    for gradient, (found, _) in zip(gradients[0], values, strict=True):
        average = 0.6 * average + gradient
        left, sizes, right = np.linalg.svd((gradient + 0.6 * average).reshape(-1, 8), full_matrices=False)
        sizes = sizes / np.linalg.norm(sizes)
        for _ in range(3):
            sizes = a * sizes + b * sizes**3 + c * sizes**5
        assert sizes.min() > 0.4 and sizes.max() < 1.2
        kernel = kernel * 8**0.5 / np.linalg.norm(kernel) - 0.02 * ((left * sizes) @ right).reshape(shape)
        np.testing.assert_allclose(found, kernel, atol=1e-4)
    np.testing.assert_allclose(values[-1][1], by_nesterov(bias, gradients[1], 0.14, 0.3), atol=1e-5)


def test_the_brake_stops_what_has_no_momentum_yet():
    made = make(Stage(epochs=2, learning_rate=0.1, optimizer="sgd", weight_decay=1e-2), 2)
    variable = keras.Variable([1.0])
    made.brake.assign(0.0)
    made.apply([keras.ops.ones(1)], [variable])
    assert float(variable[0]) == 1


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UserError, match="unknown optimizer 'sdg': did you mean 'sgd'"):
        make(Stage(epochs=1, learning_rate=1, optimizer="sdg"), 1)


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_one_kernel_gives_the_numbers_of_keras(kind):
    asked = {"Adam": {}, "SGD": {"momentum": 0.9, "nesterov": True}}[kind]
    ends = []
    for module in keras.optimizers, fused_optimizers:
        rng = np.random.default_rng(0)
        weights = [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 3, 4, 8), (8,), ())]
        optimizer = getattr(module, kind)(0.05, **asked)
        for _ in range(7):
            optimizer.apply([0.1 * rng.normal(size=weight.shape).astype("float32") for weight in weights], weights)
        assert int(optimizer.iterations) == 7
        ends.append([np.array(v) for v in [*weights, *optimizer.variables]])
    for ours, its in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, its, rtol=1e-5, atol=1e-5)
