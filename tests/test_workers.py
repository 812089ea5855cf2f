"""engines/workers.py: sub-networks in real processes of this machine, and when that is done."""

import contextlib
import dataclasses
import os
import re
from pathlib import Path

import pytest
import support
from tensorflow.python.framework import config

import keras_dd
from keras_dd import data, devices, job, plan
from keras_dd.config import WORKERS_PAY, Settings, UserError
from keras_dd.engines import remote, workers

SETTINGS = {"parts": 2, "overlap": 8, "epochs": 1, "workers": 2}
CORES = min(2, devices.cores())
# The task of the first sub-network; where there is one core, both share it.
FIRST = "subnet 1" if CORES == 2 else "subnet 1 to 2"
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture
def fit(few, tmp_path):
    def fitted(name, **settings):
        return keras_dd.fit(support.network(width=32), few, **SETTINGS | settings, run_dir=str(tmp_path / name))

    return fitted


def test_they_learn_what_they_learn_in_one_process(fit, capsys):
    here = fit("here", workers=1, subnet_epochs=2)
    capsys.readouterr()
    there = fit("there", subnet_epochs=2)
    # Not the same to the last digits, for one core adds up in another order than two.
    untrained = fit("untrained", subnet_epochs=0, epochs=0).parts
    assert support.gap(here.parts, there.parts) < 5e-3 < 1e-2 < support.gap(untrained, there.parts)
    rows = [[(row["stage"], row["epoch"], row["learning_rate"]) for row in run.history] for run in (here, there)]
    assert rows[0] == rows[1]
    tasks = there.report["tasks"]
    assert tasks.keys() == {"subnet 1", "subnet 2"} and os.getpid() not in {task["process"] for task in tasks.values()}
    assert len({task["process"] for task in tasks.values()}) == CORES
    assert there.report["settings"]["workers"] == 2 and not here.report["tasks"]
    said = capsys.readouterr().out
    assert re.search(r"^subnet.* 2: .*val_accuracy", said, re.MULTILINE)
    # The clock of this machine has the start of the processes in it; that of K machines only the training.
    clocks = there.report["clocks"]
    assert clocks["one-device"]["composed"] > clocks["unlinked"]["composed"] + 2


def test_one_is_killed_and_another_goes_on(fit):
    """The run ends bit for bit with the weights that it ends with otherwise."""
    settings = {"subnet_epochs": 8, "snapshot_every": 0.0, "deterministic": True}
    try:
        undisturbed = fit("undisturbed", **settings)
        with contextlib.redirect_stdout(support.Killer()) as said:
            killed = fit("killed", **settings)
    finally:
        config.disable_op_determinism()
    told = said.getvalue()
    assert f"{FIRST}: lost its worker (process {said.killed} has ended, code -9" in told
    assert re.search(rf"^{FIRST}: Going on in epoch \d", told, re.MULTILINE)
    assert support.gap([*undisturbed.parts, undisturbed.model], [*killed.parts, killed.model]) == 0


def test_a_run_that_was_stopped_goes_on_with_its_tasks(few, fit, tmp_path):
    """Bit for bit, with the snapshots that its workers left when they were told to end."""
    settings = {"subnet_epochs": 8, "deterministic": True}
    try:
        undisturbed = fit("undisturbed", **settings)

        class Stopping(support.Killer):
            def write(self, text):
                if re.search(r"^subnet 1.*: Epoch 3/8", text):
                    raise KeyboardInterrupt
                return len(text)

        with contextlib.redirect_stdout(Stopping()), pytest.raises(KeyboardInterrupt):
            fit("stopped", **settings)
        assert {path.name.partition("-")[0] for path in (tmp_path / "stopped" / "snapshots").iterdir()} >= {
            FIRST.replace(" ", "")
        }
        resumed = keras_dd.resume(str(tmp_path / "stopped"), support.network(width=32), few)
    finally:
        config.disable_op_determinism()
    assert max(row["epoch"] for row in resumed.history) == 8
    assert support.gap(undisturbed.parts, resumed.parts) == 0


def test_none_is_left_when_a_run_ends_early(fit):
    def children():
        return CHILDREN.read_text().split()

    if not CHILDREN.exists():
        pytest.skip("this system does not tell")
    before = children()

    class Interrupting(support.Killer):
        def write(self, text):
            if "process" in text and "subnet 1" in text:
                raise KeyboardInterrupt
            return super().write(text)

    with contextlib.redirect_stdout(Interrupting()), pytest.raises(KeyboardInterrupt):
        fit("interrupted", subnet_epochs=50)
    assert children() == before


@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ({}, 1),  # some seconds of work
        ({"subnet_epochs": 400}, CORES),
        ({"subnet_epochs": 400, "deterministic": True}, 1),
        ({"subnet_epochs": 400, "width": 64}, 1),  # as wide as the lanes are
        ({"subnet_epochs": 400, "workers": 1}, 1),
        ({"workers": 2}, 2),
        ({"method": "conventional"}, 1),
    ],
)
def test_when_it_pays(settings, workers):
    try:
        assert job.prepare(Settings(model="resnet8", **settings)).settings.workers == workers
    finally:
        config.disable_op_determinism()
    assert WORKERS_PAY < 1437 * 4 * 400


def test_a_network_of_ones_own_stays_here(few):
    prepared = job.prepare(Settings(model="mine", dataset="few", subnet_epochs=9000), support.network(), few)
    assert prepared.settings.workers == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "ray"}, "workers 2 are for training by decomposition with the engine local: leave it out"),
        ({"method": "conventional"}, "workers 2 are for training by decomposition"),
        ({"workers": 0}, "workers is 0: it must be at least 1"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        job.prepare(Settings(**{"workers": 2} | settings))


def test_the_plan_names_them():
    settings = Settings(workers=2)
    assert f"on one of {CORES} processes" in plan.plan(settings)
    assert "on CPU:0" in plan.plan(dataclasses.replace(settings, workers=1))


def test_images_that_are_not_in_memory(few):
    stream = dataclasses.replace(few, train=data.Stream(None, few.train.labels, (32, 32, 1)))
    settings = Settings(model="resnet8", dataset="few", subnet_epochs=9000)
    assert job.prepare(settings, None, stream).settings.workers == 1
    with pytest.raises(UserError, match="workers 2 want images in memory, and those of 'few digits' are decoded"):
        job.prepare(dataclasses.replace(settings, workers=2), None, stream)


# The processes themselves.


def test_messages_come_in_their_order():
    cluster = workers.Cluster(2)
    cluster.begin(Path(), None)
    for number in range(3):
        cluster.heard.put(number)
    cluster.ended([])
    assert cluster.messages() == [0, 1, 2] and cluster.messages() == []


def test_more_tasks_than_places_wait(tmp_path):
    cluster = workers.Cluster(1)
    cluster.begin(tmp_path, None)
    handles = [cluster.submit({"name": "nonsense"}, False, None) for _ in range(2)]
    while not all(handle.over.is_set() for handle in handles):
        assert sum(handle.process is not None and handle.process.returncode is None for handle in handles) < 2
    for handle in handles:  # what went wrong there is told here, with its traceback
        with pytest.raises(KeyError) as failure:
            cluster.result(handle)
        assert "in the worker of nonsense:" in failure.value.__notes__[0] and "Traceback" in failure.value.__notes__[0]


def test_one_that_ends_without_a_word(tmp_path):
    cluster = workers.Cluster(1)
    cluster.begin(tmp_path, Unpicklable())
    handle = cluster.submit({"name": "nonsense"}, False, None)
    assert handle.over.wait(60)
    with pytest.raises(remote.Lost, match="process .* has ended"):
        cluster.result(handle)


class Unpicklable:
    def __reduce__(self):
        raise ValueError("not to be sent")
