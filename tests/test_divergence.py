"""divergence.py: one network goes astray, and the others do not notice."""

import json

import keras
import numpy as np
import pytest
import support

from keras_dd import data, optimizer, train
from keras_dd.decomposition import decompose
from keras_dd.divergence import Guard
from keras_dd.recipes import Stage
from keras_dd.recorder import Recorder

EPOCHS, STEPS = 4, 4


class Poison(keras.callbacks.Callback):
    """An infinite weight in the second sub-network, as a bad step would leave one, when these epochs begin."""

    def __init__(self, *epochs):
        super().__init__()
        self.epochs, self.ends = epochs, {}

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.epochs:
            kernel = self.model.subnets[1].get_layer("conv1").kernel
            kernel.assign(np.full(kernel.shape, np.inf))

    def on_epoch_end(self, epoch, logs=None):
        self.ends[epoch] = self.model.subnets[1].get_weights()


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def fit(few):
    """fit(policy, epochs to poison): two trained sub-networks, the recorder, and subnet 2 at the ends of epochs."""
    keras.utils.set_random_seed(0)
    wide = decompose(support.network(32), 2, overlap=8)  # each a branch of its own
    evaluation = data.evaluation_batches(few.test, 50)

    def batches(epoch, step):
        return data.training_batches(few.train, 64, seed=1, flip=False, first_epoch=epoch, first_step=step)

    def fit(policy, *poisoned, parts=wide):
        recorder, poison = Recorder(["subnet 1", "subnet 2"], "test"), Poison(*poisoned)
        callbacks = [recorder, Guard(recorder, policy, EPOCHS), poison]
        stage = Stage(EPOCHS, 1e-2, "step")
        return train.fit_subnets(parts, stage, batches, STEPS, evaluation, ("CPU:0",), callbacks), recorder, poison.ends

    return fit


@pytest.fixture(scope="module")
def healthy(fit):
    return fit("retry")


def finite(network):
    return all(np.isfinite(weight).all() for weight in network.get_weights())


def rows(recorder, k):
    return [{**row, "seconds": 0} for row in recorder.rows if row["stage"] == f"subnet {k}"]


def check_the_other(healthy, fitted):
    assert support.weights_differ(healthy[0][0], fitted[0][0]) == 0
    assert rows(healthy[1], 1) == rows(fitted[1], 1)


def test_nothing_happens_to_healthy_networks(healthy, fit):
    assert healthy[1].divergences == []
    assert all(row["learning_rate"] == pytest.approx(1e-2) for row in healthy[1].rows)


def test_a_network_is_retried_at_half_the_learning_rate(healthy, fit, capsys):
    fitted = fit("retry", 1)
    check_the_other(healthy, fitted)
    [divergence] = fitted[1].divergences
    assert (divergence["network"], divergence["epoch"]) == ("subnet 2", 2)
    said = divergence["message"]
    assert said in capsys.readouterr().out and said.startswith("subnet 2 diverged in epoch 2 (")
    assert "loss nan" in said or "its weights are not finite" in said
    assert said.endswith("retried at half the learning rate, with the weights that epoch 1 ended with")
    assert [row["learning_rate"] for row in rows(fitted[1], 2)] == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3])
    ends = fitted[2]
    assert all(np.array_equal(a, b) for a, b in zip(ends[0], ends[1], strict=True))  # back where epoch 1 ended
    assert finite(fitted[0][1]) and not np.array_equal(ends[1][0], ends[2][0])  # and training again
    assert np.isfinite(rows(fitted[1], 2)[1]["loss"]) == ("its weights" in said)
    assert np.isfinite(rows(fitted[1], 2)[2]["loss"])


@pytest.mark.parametrize(
    ("policy", "poisoned", "last_good"), [("retry", (1, 2), 0), ("stop", (2,), 1), ("stop", (3,), 2)]
)
def test_a_network_is_stopped(policy, poisoned, last_good, healthy, fit):
    """At once, or the second time, or in the last epoch: with the weights of its last good epoch."""
    fitted = fit(policy, *poisoned)
    check_the_other(healthy, fitted)
    assert fitted[1].divergences[-1]["action"] == "stopped"
    assert len(fitted[1].divergences) == len(poisoned)
    ends = fitted[2]
    assert all(np.array_equal(a, b) for a, b in zip(ends[last_good], fitted[0][1].get_weights(), strict=True))
    rates = [row["learning_rate"] for row in rows(fitted[1], 2)]
    assert rates[poisoned[-1] + 1 :] == [0] * (EPOCHS - 1 - poisoned[-1])


def test_networks_side_by_side_are_taken_apart_when_one_diverges(fit, capsys):
    """What is not finite passes between them: the epoch is done again, and only subnet 2 has diverged in it."""
    narrow = decompose(support.network(), 2, overlap=8)
    assert train.Subnetworks(narrow).groups == [[0, 1]]
    before, fitted = fit("retry", parts=narrow), fit("retry", 1, parts=narrow)
    said = capsys.readouterr().out
    assert said.count("subnet 1, subnet 2 met numbers that are not finite: epoch 2 again, each of them apart") == 1
    assert [(each["network"], each["epoch"]) for each in fitted[1].divergences] == [("subnet 2", 2)]
    assert [row["epoch"] for row in rows(fitted[1], 1)] == [1, 2, 3, 4]
    for left_alone, row in zip(rows(before[1], 1), rows(fitted[1], 1), strict=True):  # but for rounding, as before
        assert row["learning_rate"] == left_alone["learning_rate"]
        assert row["loss"] == pytest.approx(left_alone["loss"], abs=1e-3)
    assert [row["learning_rate"] for row in rows(fitted[1], 2)] == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3])
    assert finite(fitted[0][1])


def test_networks_that_were_taken_apart_stay_apart_when_a_run_goes_on():
    narrow = decompose(support.network(), 2, overlap=8)

    def watched():
        model, guard = train.Subnetworks(narrow), Guard(Recorder(["subnet 1", "subnet 2"], "test"), "retry", EPOCHS)
        model.compile(lambda: optimizer.make(Stage(EPOCHS, 1e-2), STEPS))
        guard.set_model(model)
        guard.on_train_begin()
        return model, guard

    model, guard = watched()
    model.separate([0, 1])
    going_on, its_guard = watched()
    assert going_on.groups == [[0, 1]]
    facts, arrays = guard.state()
    its_guard.restore(json.loads(json.dumps(facts)), arrays)
    assert going_on.groups == its_guard.groups == [[0], [1]]


def test_divergence_can_be_ignored(healthy, fit):
    fitted = fit("ignore", 1)
    check_the_other(healthy, fitted)
    assert fitted[1].divergences == [] and not finite(fitted[0][1])


class Spoil(keras.callbacks.Callback):
    """An infinite weight after the last step of every epoch: the losses are those from before, and finite."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.get_layer("head").bias.assign([np.inf] * 10)


def test_weights_that_the_last_step_of_an_epoch_spoils_are_seen_too(few):
    network, recorder = support.network(), Recorder(["finetune"], "test")
    evaluation = data.evaluation_batches(few.test, 50)

    def batches(epoch, step):
        return data.training_batches(few.train, 256, first_epoch=epoch, first_step=step)

    callbacks = [recorder, Guard(recorder, "retry", 3), Spoil()]
    trained = train.fit_full(network, Stage(3, 1e-2, "step"), batches, 1, evaluation, ("CPU:0",), callbacks)
    assert [each["action"] for each in recorder.divergences] == ["retried at half the learning rate", "stopped"]
    assert support.weights_differ(network, trained) == 0  # no epoch was good
    assert len(recorder.rows) == 2  # it has stopped: nothing is left to train
    assert all(np.isfinite(row["loss"]) for row in recorder.rows)
