"""engines: networks trained in processes of their own end as they do here, and lost ones go on from their snapshots."""

import dataclasses
import os
import re
import sys

import keras
import numpy as np
import pytest
import rich
import support
from keras import layers

import keras_dd
from keras_dd import data, engines, graph, job, rundir, snapshot
from keras_dd.config import Settings, UserError
from keras_dd.engines import remote, tasks
from keras_dd.recorder import Recorder
from keras_dd.signals import Stop

SETTINGS = {"parts": 2, "overlap": 8, "subnet_epochs": 2, "epochs": 1}


@pytest.fixture(scope="module")
def few():
    return support.digits()


def random_network():
    """Like `support.network`, with a Dropout, whose seeds have to travel too."""
    inner = support.network()
    x = layers.Dropout(0.5, name="drop")(inner.get_layer("conv2").output)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inner.input, layers.Dense(10, name="scores")(x), name="mine")


@pytest.fixture(scope="module")
def prepared(few):
    return job.prepare(Settings(model="mine", dataset="few", **SETTINGS), random_network(), few)


def test_a_network_travels_as_plain_data(prepared):
    part = prepared.parts[1]
    given = tasks.packed(part)
    assert set(map(type, (given["config"], *given["weights"], *given["seeds"]))) == {str, np.ndarray}
    assert len(given["seeds"]) == 1
    arrived = tasks.unpacked(given)
    assert support.gap([part], [arrived]) == 0 and arrived.name == part.name
    boxes = np.random.default_rng(0).uniform(0, 255, (3, *part.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(part(boxes, training=True), arrived(boxes, training=True))  # the same units dropped


def test_a_layer_that_is_unknown_there_is_refused(prepared):
    given = tasks.packed(prepared.parts[0])
    elsewhere = given["config"].replace('"keras.layers", "class_name": "Dropout"', '"nowhere", "class_name": "Mine"')
    assert elsewhere != given["config"]
    with pytest.raises(UserError, match="the network cannot be built on .*: layers of your own must be in a module"):
        tasks.unpacked(given | {"config": elsewhere})


def test_copies_of_a_network_drop_the_same(prepared):
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 1)).astype("float32")
    first, second = graph.copy(prepared.model), graph.copy(prepared.model)
    np.testing.assert_array_equal(first(images, training=True), second(images, training=True))


@pytest.mark.parametrize(("devices", "batch_size", "used"), [(8, 128, 8), (3, 128, 2), (3, 100, 2), (3, 7, 1)])
def test_as_many_devices_as_share_a_batch(devices, batch_size, used):
    names = tuple(f"GPU:{number}" for number in range(devices))
    assert tasks.sharing(names, batch_size) == names[:used]


def test_data_sets_by_name_stay_where_they_are(few, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "digits").mkdir()
    for asked, sent in (
        ({"dataset": "photos"}, {"dataset": str(tmp_path / "photos")}),
        ({"dataset": "digits"}, {"dataset": "digits"}),
        ({"dataset": "photos", "data_dir": "x"}, {"dataset": "photos", "data_dir": str(tmp_path / "x")}),
    ):
        settings = {"data_dir": None} | asked
        assert tasks._from_anywhere(settings) == {"data_dir": None} | sent
    by_name = job.prepare(Settings(width=4, parts=2, grid=(1, 2)))
    assert tasks.own_data(by_name) is None
    own = tasks.own_data(prepared)
    assert own["train"][0] is few.train.images and own["validation"] is None
    assert tasks._dataset(own).train.mark == few.train.mark


def test_a_data_set_that_is_not_held_does_not_travel(few, prepared):
    stream = data.Stream(None, np.arange(3), (32, 32, 1))
    with pytest.raises(UserError, match="the test split of 'few digits' is decoded as it is drawn"):
        tasks.own_data(dataclasses.replace(prepared, dataset=dataclasses.replace(few, test=stream)))


# The work on a task, and what is done with its answer: in this process, by a cluster of one worker.


class Here:
    """A `remote.Cluster` that does each task at once, in this process; `fails(task)` may raise."""

    def __init__(self, folder, fails=lambda task: None, places=2):
        self.folder, self.fails, self.places = folder, fails, places
        self.said, self.given, self.cancelled = [], [], []

    def slots(self):
        return self.places

    def data_of(self, job):
        return tasks.own_data(job)

    def begin(self, run_dir, data):
        self.data = data

    def submit(self, task, whole, last):
        self.given.append((task["name"], whole, last))
        name = task["name"]
        try:
            self.fails(task)
            snapshots = self.folder / "snapshots"
            return name, tasks.work(task, self.data, None, 0, snapshots, lambda *what: self.said.append((name, *what)))
        except remote.Lost as loss:
            return name, loss

    def ended(self, handles):
        return handles[:1]

    def messages(self):
        said, self.said = self.said, []
        return said

    def result(self, handle):
        if isinstance(handle[1], remote.Lost):
            raise handle[1]
        return handle[1]

    def cancel(self, handle):
        self.cancelled.append(handle[0])


@pytest.fixture
def stage(few, tmp_path, monkeypatch):
    """stage(job, cluster): what the sub-networks of a job end with, and the recorder."""

    def train(prepared, cluster):
        where = tmp_path / ("there" if cluster else "here")
        where.mkdir(exist_ok=True)
        (where / "config.json").write_text("{}")
        recorder = Recorder([f"subnet {k}" for k in range(1, len(prepared.parts) + 1)], "test")
        return engines.ready(prepared, "subnets", recorder, where, Stop(), cluster)(prepared.parts), recorder

    return train


def test_a_network_alone_learns_what_it_learns_at_once(prepared, stage, tmp_path, capsys):
    here, recorded = stage(prepared, None)
    there, told = stage(prepared, Here(tmp_path / "there"))
    assert support.gap(here, there) < 1e-5
    assert support.gap([prepared.parts[0]], [there[0]]) > 1e-2
    support.assert_alike(recorded.rows, told.rows)
    assert [row["epoch"] for row in told.rows] == [1, 1, 2, 2]
    assert told.tasks["subnet 2"]["devices"] == ["CPU:0"] and told.evaluation_seconds > 0
    said = capsys.readouterr().out
    assert re.search(rf"^subnet 1: on .* \(CPU:0\), process {os.getpid()}$", said, re.MULTILINE)
    assert re.search(r"^subnet 2: .*val_accuracy_2", said, re.MULTILINE) and "val_accuracy_3" not in said


def test_networks_share_a_task_where_there_is_no_place_for_each(prepared, stage, tmp_path):
    here, recorded = stage(prepared, None)
    cluster = Here(tmp_path / "there", places=1)
    there, told = stage(prepared, cluster)
    assert [name for name, _, _ in cluster.given] == ["subnet 1 to 2"]
    assert support.gap(here, there) < 1e-5
    support.assert_alike(recorded.rows, told.rows)
    assert told.tasks["subnet 1"] == told.tasks["subnet 2"] and told.tasks["subnet 2"]["networks"] == 2
    again = Here(tmp_path / "there", places=2)  # more machines than when it began: the task is as it was
    found, _ = stage(prepared, again)
    assert again.given == [] and support.gap(there, found) == 0


def test_each_task_has_a_bar_on_a_terminal(prepared, stage, tmp_path, capsys):
    rich.reconfigure(force_terminal=True, width=100)
    try:
        stage(prepared, Here(tmp_path / "there"))
    finally:
        rich.reconfigure()
    steps = 2 * prepared.steps_per_epoch
    assert re.search(rf"subnet 2 .*[^0-9][1-9][0-9]*/{steps}[^0-9]", capsys.readouterr().out)


def test_lines_of_a_task_have_the_numbers_of_the_run():
    line = "9/9 - 1s - accuracy_1: 0.5 - accuracy_2: 0.25 - loss: 2 - val_accuracy_1: 0.5 - val_accuracy_2: 0.1"
    said = remote.numbered(line, ["subnet 3", "subnet 4"])
    assert said == line.replace("_1", "_3").replace("_2", "_4")
    assert remote.numbered("9/9 - accuracy: 0.5", ["finetune"]) == "9/9 - accuracy: 0.5"


def test_what_was_lost_goes_on(prepared, stage, tmp_path, capsys):
    lives = []

    def dies_once(task):
        lives.append(task["name"])
        if lives == ["subnet 1"]:
            raise remote.Lost("it was killed")

    cluster = Here(tmp_path / "there", dies_once)
    stage(prepared, cluster)
    assert [name for name, _, _ in cluster.given] == ["subnet 1", "subnet 2", "subnet 1"]
    assert (
        "subnet 1: lost its worker (it was killed), another one goes on from its beginning" in capsys.readouterr().out
    )
    again = Here(tmp_path / "there")
    _, recorder = stage(prepared, again)  # the stage was over: all of it is brought back from the last snapshots
    assert again.given == []
    assert len(recorder.rows) == 4 and recorder.earlier > 0


def test_a_task_that_kills_every_worker_is_given_up(prepared, stage, tmp_path):
    def dies(task):
        raise remote.Lost("out of memory")

    cluster = Here(tmp_path / "there", dies)
    with pytest.raises(OSError, match=r"subnet 1 lost 3 workers without getting on \(out of memory\)"):
        stage(prepared, cluster)
    assert cluster.cancelled == ["subnet 2"]


def test_what_a_task_refuses_ends_the_run(prepared, stage, tmp_path):
    class Elsewhere(Here):
        def begin(self, run_dir, data):
            images, labels = data["train"]
            self.data = data | {"train": (255 - images, labels)}

    cluster = Elsewhere(tmp_path / "there")
    with pytest.raises(UserError, match="subnet 1: the training images of 'few' on .* are not those of the run"):
        stage(prepared, cluster)
    assert cluster.cancelled == ["subnet 2"]


def test_snapshots_of_another_run_are_refused(prepared, stage, tmp_path):
    folder = tmp_path / "there" / snapshot.FOLDER
    folder.mkdir(parents=True)
    snapshot.write(folder, "subnet2", [], {"run": "another"})
    with pytest.raises(UserError, match="were not taken with this config.json"):
        stage(prepared, Here(tmp_path / "there"))


def test_a_run_goes_on_at_another_address(tmp_path):
    settings = Settings(engine="ray", address="10.0.0.1:6379", run_dir=str(tmp_path))
    rundir.create(settings, "a test", {"own": [], "model": "a", "dataset": "b"})
    found, _, _ = rundir.reopen(tmp_path, {"engine": "ray", "address": "10.0.0.2:6379"})
    assert found == dataclasses.replace(settings, address="10.0.0.2:6379")
    found, _, _ = rundir.reopen(tmp_path, {"workers": 1})  # with less memory, say
    assert found.workers == 1
    with pytest.raises(UserError, match="cpus is None in .*, not 2: a run goes on as it began"):
        rundir.reopen(tmp_path, {"cpus": 2})


# What is asked for wrongly.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "10.0.0.1:6379"}, "address '10.0.0.1:6379' is for the engines ray and slurm: leave it out"),
        ({"cpus": 2}, "cpus 2 is for the engines ray and slurm"),
        ({"engine": "ray", "devices": "2"}, "devices '2' is for the engine local: with ray, say what each task gets"),
    ],
)
def test_settings_of_another_engine_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        job.prepare(Settings(**settings))


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_is_told_in_a_line(engine, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"keras_dd.engines.{engine}", raising=False)
    run_dir = tmp_path / "run"
    with pytest.raises(
        UserError, match=rf"engine {engine}: .* cannot be imported .*: pip install 'keras-dd\[{engine}\]'"
    ):
        keras_dd.fit(engine=engine, run_dir=str(run_dir))
    assert not run_dir.exists()
