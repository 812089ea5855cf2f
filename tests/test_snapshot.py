"""snapshot.py, files.py, signals.py: training goes on exactly where it was, whatever happened to the files."""

import os
import resource
import shutil
import signal
import threading

import keras
import numpy as np
import pytest
import support
from keras import layers

from keras_dd import data, files, snapshot, train
from keras_dd.config import UserError
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.divergence import Guard
from keras_dd.recipes import Stage
from keras_dd.recorder import Recorder
from keras_dd.signals import Stop, Terminated

EPOCHS = 3
# Of 256 images: 23 steps an epoch, which are taken singly, and 32, which are taken 16 a call.
BATCH = {"subnets": 11, "finetune": 8}
# With slow weights of its own, which Lookahead has after every fifth step.
STAGE = Stage(EPOCHS, learning_rate=1e-2, lookahead=True, bias_rate=4.0, label_smoothing=0.1, boxes="random")


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

    def train_in(stage, folder, *others, batches=None, every=1e9, run="this"):
        size = BATCH[stage]

        def right(epoch, step):
            return data.training_batches(few.train, size, seed=1, flip=False, first_epoch=epoch, first_step=step)

        batches = batches or right
        names = ["finetune"] if stage == "finetune" else ["subnet 1", "subnet 2"]
        recorder = Recorder(names, "test")
        watchers = [recorder, Guard(recorder, "retry", EPOCHS)]
        keras.utils.set_random_seed(2)  # of dropout, which decides nothing where training goes on
        with Stop() as stop:
            snapshots = snapshot.Snapshots(folder, stage, EPOCHS, watchers, run, every, stop)
            rest = len(few.train) // size, evaluation, ("CPU:0",), [*watchers, *others, snapshots], snapshots.start
            if stage == "finetune":
                networks = [train.fit_full(full, STAGE, batches, *rest)]
            else:
                networks = train.fit_subnets(Decomposition(parts.subnets, parts.boxes), STAGE, batches, *rest)
        rows = [{key: row[key] for key in row if key != "seconds"} for row in recorder.rows]
        return [w for network in networks for w in network.get_weights()], rows, snapshots.start

    return train_in


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True)) and first[1] == second[1]


@pytest.fixture(scope="module")
def whole(begin, tmp_path_factory):
    """What both stages end with when nothing happens."""
    return {stage: begin(stage, tmp_path_factory.mktemp(stage)) for stage in ("subnets", "finetune")}


@pytest.mark.parametrize(
    ("stage", "at", "start", "says"),
    [
        ("subnets", (1, 1), (1, 2), "Going on in epoch 2, 2 steps into it"),  # with the step in which the signal came
        ("finetune", (1, 0), (1, 16), "Going on in epoch 2, 16 steps into it"),  # with the call
        ("finetune", (0, 16), (1, 0), "Going on in epoch 2, 0 steps into it"),  # and with an evaluation
    ],
)
def test_what_was_interrupted_ends_as_if_it_had_not_been(stage, at, start, says, whole, begin, few, tmp_path, capsys):
    run, twin = tmp_path / "run", tmp_path / "twin"
    with pytest.raises(Terminated):
        begin(stage, run, Reached(*at))
    shutil.copytree(run, twin)
    resumed = begin(stage, run)
    assert resumed[2] == start and says in capsys.readouterr().out
    assert same(whole[stage], resumed)
    assert whole[stage][2] == (0, 0) and len(resumed[1]) == EPOCHS * (2 if stage == "subnets" else 1)

    finished = begin(stage, run)
    assert finished[2] == (EPOCHS, 0) and same(whole[stage], finished)

    if stage == "finetune" and start[1]:  # the comparison sees batches in another order

        def wrong(epoch, step):
            return data.training_batches(few.train, BATCH[stage], seed=1, flip=False, first_epoch=epoch)

        resumed = begin(stage, twin, batches=wrong)
        assert resumed[2] == start and not same(whole[stage], resumed)


def test_batches_begin_at_any_step(few):
    def labels(epoch, step, count):
        batches = data.training_batches(few.train, 64, seed=1, flip=False, first_epoch=epoch, first_step=step)
        return [labels.numpy().tolist() for _, labels in batches.take(count)]

    whole = labels(2, 0, 8)  # two epochs
    assert labels(2, 3, 5) == whole[3:]
    assert whole[:4] != whole[4:]
    with pytest.raises(UserError, match="first_step 4 is not a whole number from 0 to 3"):
        labels(2, 4, 1)


# Files.


@pytest.fixture
def folder(tmp_path):
    """With three snapshots taken, of which two are kept."""
    for number in range(3):
        snapshot.write(tmp_path, "subnets", [np.full(5, number), np.array(0.1)], {"number": number})
    return tmp_path


def number_of(found):
    return found and found[1]["number"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept(folder):
    assert names(folder) == ["subnets-000002.snapshot", "subnets-000003.snapshot"]
    arrays, facts = snapshot.newest(folder, "subnets")
    assert arrays[0].tolist() == [2] * 5 and arrays[1] == 0.1 and facts == {"number": 2}
    assert snapshot.newest(folder, "finetune") is None


def torn(content, at):
    return content[: at % len(content)]


def altered(content, at):
    at %= len(content)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("harm", [torn, altered])
@pytest.mark.parametrize("at", [0, 10, 64, 65, 100, 500, -1])
def test_a_harmed_snapshot_is_told_from_a_sound_one(harm, at, folder, capsys):
    newest = folder / "subnets-000003.snapshot"
    newest.write_bytes(harm(newest.read_bytes(), at))
    assert number_of(snapshot.newest(folder, "subnets")) == 1
    assert "subnets-000003.snapshot is torn or was altered: going back to the one before" in capsys.readouterr().out
    snapshot.write(folder, "subnets", [], {"number": 9})  # and it is not one of the two that are kept
    assert names(folder) == ["subnets-000002.snapshot", "subnets-000003.snapshot"]
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert snapshot.newest(folder, "subnets") is None


def test_nothing_is_unpickled(folder):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(folder / "harmed"),)

    snapshot.write(folder, "finetune", [np.array([Harm()], dtype=object)], {"number": 0})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        snapshot.newest(folder, "finetune")
    assert not (folder / "harmed").exists()


def test_a_full_disk_leaves_the_snapshot_before(folder):
    """Files of more than 2,000 bytes cannot be written: Python ignores SIGXFSZ, and write fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:  # not a fixture: it would still hold when pytest writes its next dot, perhaps to a file
        with pytest.raises(OSError):
            snapshot.write(folder, "subnets", [np.zeros(10_000)], {"number": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(folder) == ["subnets-000002.snapshot", "subnets-000003.snapshot"]
    assert number_of(snapshot.newest(folder, "subnets")) == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_is_there_whole_or_not_at_all(error, tmp_path):
    path = tmp_path / "report.json"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(type(error)), files.replacing(path) as partial:
            partial.write_text("half of the n")
            raise error
        assert names(tmp_path) == (["report.json"] if before else [])
    with files.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(tmp_path) == ["report.json"]


# Signals.


def test_a_signal_waits_for_a_snapshot_and_the_second_one_does_not():
    with pytest.raises(Terminated), Stop():
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("a signal is raised at once where there is nothing to keep")
    with Stop() as stop:
        stop.waits = True
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.noted == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            stop.check()
        with pytest.raises(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_handlers_of_others_and_threads_are_left_alone():
    own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Stop():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, own)
    failed = []

    def elsewhere():
        try:
            with Stop():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed
