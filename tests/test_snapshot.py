"""snapshot.py, files.py, signals.py: training goes on exactly where it was, whatever happened to the files."""

import os
import shutil
import signal

import keras
import numpy as np
import pytest
import support
from keras import layers

from keras_dd import data, snapshot, train
from keras_dd.config import Stage
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.divergence import Guard
from keras_dd.signals import Stop, Terminated

EPOCHS, STEPS = 3, 4
STAGE = Stage(EPOCHS, learning_rate=1e-2)


class Reached(keras.callbacks.Callback):
    """Sends a signal in a step, as others do: between two of our lines."""

    def __init__(self, epoch, step, number=signal.SIGTERM):
        super().__init__()
        self.at, self.number = (epoch, step), number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            os.kill(os.getpid(), self.number)


def network():
    """Conv, BN, dropout, pool, dense: all kinds of state."""
    x = inputs = keras.Input((32, 32, 1))
    x = layers.Conv2D(4, 3, strides=4, name="conv1")(layers.Rescaling(1 / 255)(x))
    x = layers.Dropout(0.3, name="drop")(layers.BatchNormalization(momentum=0.9, name="bn")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(x), name="mine")


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def begin(few):
    """begin(stage) gives train(folder, ...): the networks, the history and the position that they went on from."""
    keras.utils.set_random_seed(0)
    full = network()
    parts = decompose(full, 2, overlap=8)
    evaluation = data.evaluation_batches(few.test, 50)

    def batches(epoch, step):
        return data.training_batches(few.train, 64, seed=1, flip=False, first_epoch=epoch, first_step=step)

    def train_in(stage, folder, *others, batches=batches, every=1e9, run="this"):
        names = ["finetune"] if stage == "finetune" else ["subnet 1", "subnet 2"]
        recorder = train.Recorder(names, "test")
        watchers = [recorder, Guard(recorder, "retry", EPOCHS)]
        keras.utils.set_random_seed(2)  # of dropout, which decides nothing where training goes on
        with Stop() as stop:
            snapshots = snapshot.Snapshots(folder, stage, EPOCHS, watchers, run, every, stop)
            rest = STEPS, evaluation, ("CPU:0",), [*watchers, *others, snapshots], snapshots.start
            if stage == "finetune":
                networks = [train.fit_full(full, STAGE, batches, *rest)]
            else:
                networks = train.fit_subnets(Decomposition(parts.subnets, parts.boxes), STAGE, batches, *rest)
        rows = [{key: row[key] for key in row if key != "seconds"} for row in recorder.rows]
        return [w for network in networks for w in network.get_weights()], rows, snapshots.start

    return train_in


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True)) and first[1] == second[1]


@pytest.mark.parametrize("stage", ["subnets", "finetune"])
def test_what_was_interrupted_ends_as_if_it_had_not_been(stage, begin, tmp_path, monkeypatch, capsys):
    whole = begin(stage, tmp_path / "whole")
    assert whole[2] == (0, 0) and len(whole[1]) == EPOCHS * (2 if stage == "subnets" else 1)

    with pytest.raises(Terminated):
        begin(stage, tmp_path / "run", Reached(1, 1))
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    resumed = begin(stage, tmp_path / "run")
    assert resumed[2] == (1, 2)  # with the step in which the signal came
    assert same(whole, resumed)
    assert "Going on in epoch 2, 2 steps into it" in capsys.readouterr().out

    finished = begin(stage, tmp_path / "run")
    assert finished[2] == (EPOCHS, 0) and same(whole, finished)

    if stage == "subnets":  # the comparison sees a batch order that is not brought back, and a lost state of dropout
        wrong = begin(stage, tmp_path / "other", batches=lambda epoch, step: _from_the_start(epoch))
        assert wrong[2] == (1, 2) and not same(whole, wrong)


def _from_the_start(epoch):
    few = support.digits()
    return data.training_batches(few.train, 64, seed=1, flip=False, first_epoch=epoch)
