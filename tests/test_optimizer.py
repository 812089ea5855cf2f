"""optimizer.py: the learning rates of a stage, and its steps."""

import keras
import numpy as np
import pytest

from keras_dd.config import Stage, UserError
from keras_dd.optimizer import learning_rate, make


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


def test_the_brake_stops_what_has_no_momentum_yet():
    made = make(Stage(epochs=2, learning_rate=0.1, optimizer="sgd", weight_decay=1e-2), 2)
    variable = keras.Variable([1.0])
    made.brake.assign(0.0)
    made.apply([keras.ops.ones(1)], [variable])
    assert float(variable[0]) == 1


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UserError, match="unknown optimizer 'sdg': did you mean 'sgd'"):
        make(Stage(epochs=1, learning_rate=1, optimizer="sdg"), 1)
