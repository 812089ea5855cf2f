"""optimizer.py: the learning rates of a stage."""

import numpy as np
import pytest

from keras_dd.config import Stage
from keras_dd.optimizer import learning_rate


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
