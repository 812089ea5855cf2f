"""pipeline.py, outcome.py, job.py, rundir.py: whole runs on real digits, what they leave behind, and how they end."""

import csv
import dataclasses
import json
import re
import subprocess

import keras
import numpy as np
import pytest
import support

import keras_dd
from keras_dd import data, models, rundir
from keras_dd.config import Settings, UserError

FILES = {
    "config.json",
    "history.csv",
    "report.json",
    "report.md",
    "report.html",
    "curves.png",
    "model.keras",
    "model.json",
    "model.weights.h5",
    "model.card.json",
}


def subnets(count):
    """What the sub-networks leave."""
    return {f"subnet{k}.{kind}" for k in range(1, count + 1) for kind in ("weights.h5", "card.json")}


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The main job: Fig. 1's network, half as wide, on all digits."""
    where = tmp_path_factory.mktemp("main") / "deep" / "run"
    return keras_dd.fit("cnn", "digits", width=8, subnet_epochs=2, epochs=2, seed=5, run_dir=str(where))


def test_a_run_leaves_everything_behind(run):
    assert {path.name for path in run.run_dir.iterdir()} == FILES | subnets(4)
    assert (run.run_dir / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "fine-tuned" in (run.run_dir / "report.md").read_text()


def test_the_report_has_what_was_promised(run):
    written = json.loads((run.run_dir / "report.json").read_text())
    assert written == run.report
    assert len(written["subnet_accuracy"]) == 4
    accuracies = [
        *written["subnet_accuracy"],
        *(written[f"{x}_accuracy"] for x in ("composed", "recalibrated", "final")),
    ]
    assert all(isinstance(accuracy, float) and 0 <= accuracy <= 1 for accuracy in accuracies)
    assert written["composed_accuracy"] == written["recalibrated_accuracy"]  # this network has no batch norm
    assert written["final_accuracy"] > max(0.8, *written["subnet_accuracy"])
    seconds = written["seconds"]
    assert {"subnets", "compose", "recalibrate", "finetune", "evaluate", "total"} == set(seconds)
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) - seconds["total"] < seconds["total"]
    full, part = models.cnn(8, image_shape=(32, 32, 1)), models.cnn(2, image_shape=(16, 16, 1))
    assert written["parameters"] == {"full": full.count_params(), "subnet": part.count_params()}
    assert written["boxes"] == [[0, 0, 16, 16], [0, 16, 16, 16], [16, 0, 16, 16], [16, 16, 16, 16]]
    assert written["evaluated_on"] == "test" and written["dataset"]["test"] == 360
    assert written["interrupted"] is None


def test_the_history_has_a_row_for_each_network_and_epoch(run):
    with open(run.run_dir / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(f"subnet {k}", e) for e in (1, 2) for k in (1, 2, 3, 4)] + [("finetune", 1), ("finetune", 2)]
    assert [(row["stage"], int(row["epoch"])) for row in rows] == expected
    for row, memory in zip(rows, run.history, strict=True):
        assert float(row["test_accuracy"]) == memory["test_accuracy"]
    assert float(rows[-1]["test_accuracy"]) == pytest.approx(run.report["final_accuracy"])
    last = [float(row["test_accuracy"]) for row in rows[4:8]]
    assert last == pytest.approx(run.report["subnet_accuracy"])
    assert float(rows[7]["seconds"]) < run.report["seconds"]["subnets"]
    assert float(rows[-1]["seconds"]) < run.report["seconds"]["finetune"]


def test_the_saved_model_takes_raw_images(run):
    test = data.load("digits").test
    assert test.images.dtype == np.uint8 and test.images.max() == 255
    model = keras.models.load_model(run.run_dir / "model.keras")
    accuracy = np.mean(model.predict(test.images, verbose=0).argmax(-1) == test.labels)
    assert accuracy == pytest.approx(run.report["final_accuracy"], abs=1e-6)


def test_the_saved_weights_fit_the_builders(run):
    full = models.cnn(8, image_shape=(32, 32, 1))
    full.load_weights(run.run_dir / "model.weights.h5")
    assert support.weights_differ(full, run.model) == 0
    for k in (1, 2, 3, 4):
        part = models.cnn(2, image_shape=(16, 16, 1))
        part.load_weights(run.run_dir / f"subnet{k}.weights.h5")
        assert support.weights_differ(part, run.parts[k - 1]) == 0


def test_the_configuration_is_resolved(run):
    config = json.loads((run.run_dir / "config.json").read_text())
    settings, environment = config["settings"], config["environment"]
    assert set(settings) == {field.name for field in dataclasses.fields(Settings)}
    asked = {"dataset": "digits", "model": "cnn", "width": 8, "seed": 5, "subnet_epochs": 2, "epochs": 2}
    resolved = {"batch_size": 64, "flip": False, "crop": 0, "overlap": 0, "parts": 4, "recipe": "quick"}
    resolved["grid"] = [2, 2]
    assert settings.items() >= (asked | resolved).items()
    for package, version in (
        ("keras", keras.__version__),
        ("numpy", np.__version__),
        ("keras_dd", keras_dd.__version__),
    ):
        assert environment[package] == version
    assert {"tensorflow", "tensorflow_datasets", "python", "machine", "cores", "git"} <= set(environment)
    assert re.match(r"keras_dd\.fit\('cnn', 'digits', width=8,", config["command"])
    again = {name: settings[name] for name in asked if name not in ("dataset", "model")}
    assert f"seed={again['seed']}" in config["command"]


def test_the_git_state_is_that_of_the_checkout():
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(command, cwd=support.HERE, capture_output=True, text=True).stdout.strip()
    state = rundir.environment()["git"]
    assert (state or "").removesuffix("-dirty") == head  # an empty head: not a checkout


def test_no_epochs_at_all(few, tmp_path):
    """Composing untrained sub-networks, and no fine-tuning."""
    network = support.network()
    before = network.get_weights()
    result = support.untrained(network, few, tmp_path / "run")
    assert {path.name for path in result.run_dir.iterdir()} == FILES | subnets(2)
    assert result.history == []
    assert result.report["final_accuracy"] == result.report["recalibrated_accuracy"]
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))  # yours is not touched
    composed = keras_dd.compose(result.parts, network)
    kernel = composed.get_layer("conv2").kernel
    assert np.array_equal(kernel, result.model.get_layer("conv2").kernel)
    moving = composed.get_layer("bn").moving_mean
    assert not np.array_equal(moving, result.model.get_layer("bn").moving_mean)  # re-estimated


def test_your_own_network_and_data(few, tmp_path):
    network = support.network(activation="softmax", norm=False)
    result = keras_dd.fit(network, few, parts=2, overlap=8, subnet_epochs=1, epochs=6, run_dir=str(tmp_path / "run"))
    scores = result.model.predict(few.test.images, verbose=0)
    assert np.allclose(scores.sum(-1), 1, atol=1e-5)
    assert np.mean(scores.argmax(-1) == few.test.labels) == pytest.approx(result.report["final_accuracy"], abs=1e-6)
    losses = [row["loss"] for row in result.history if row["stage"] == "finetune"]
    assert losses[-1] < losses[0] < 3
    assert result.report["settings"]["model"] == "mine" and result.report["dataset"]["name"] == "few digits"


def test_held_out_images_stand_in_for_the_test_split(tmp_path, monkeypatch):
    class Untouchable:
        def __len__(self):
            return 360

    load = data.load
    monkeypatch.setattr(data, "load", lambda *args: dataclasses.replace(load(*args), test=Untouchable()))
    settings = {"parts": 2, "overlap": 8, "subnet_epochs": 0, "epochs": 1, "batch_size": 128, "validation_split": 0.2}
    result = keras_dd.fit(support.network(norm=False), "digits", **settings, run_dir=str(tmp_path / "run"))
    assert result.report["evaluated_on"] == "validation"
    assert result.report["dataset"] | {"train": 1150, "validation": 287, "test": 360} == result.report["dataset"]
    held = load("digits", None, 0.2, 0).validation
    guesses = result.model.predict(held.images, verbose=0).argmax(-1)
    assert np.mean(guesses == held.labels) == pytest.approx(result.report["final_accuracy"], abs=1e-6)
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[0].endswith("validation_accuracy")
    assert "validation images" in (tmp_path / "run" / "report.md").read_text()


def test_conventional_training(few, tmp_path):
    settings = {"method": "conventional", "epochs": 6, "train_images": 128, "learning_rate": 0.02, "crop": 2}
    result = keras_dd.fit(support.network(), few, **settings, run_dir=str(tmp_path / "run"))
    written = json.loads((result.run_dir / "report.json").read_text())
    assert {path.name for path in result.run_dir.iterdir()} == FILES
    assert [(row["stage"], row["epoch"]) for row in result.history] == [("baseline", epoch) for epoch in range(1, 7)]
    assert result.history[-1]["test_accuracy"] == pytest.approx(written["final_accuracy"])
    assert result.history[0]["learning_rate"] == pytest.approx(0.02 / 25)  # where the cycle begins
    assert set(written["seconds"]) == {"baseline", "evaluate", "total"}
    assert written["boxes"] == [] and written["dataset"]["train"] == 128 and result.parts is None
    assert not [key for key in written if key.startswith(("subnet", "composed", "recalibrated"))]
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0]


def test_batch_norm_is_left_alone_and_the_head_scaled_if_asked_for(few, tmp_path):
    settings = {"parts": 2, "overlap": 8, "subnet_epochs": 0, "epochs": 0, "reestimate": False, "head_scale": 3.0}
    result = keras_dd.fit(support.network(), few, **settings, run_dir=str(tmp_path / "run"))
    assert "recalibrated_accuracy" not in result.report and "recalibrate" not in result.report["seconds"]
    composed = keras_dd.compose(result.parts, support.network())
    images = few.test.images[:5].astype("float32")
    assert np.allclose(result.model.predict(images, verbose=0), 3 * composed.predict(images, verbose=0), atol=1e-4)
    assert "| + re-estimated BN | 0–31 | 0–31 | – |" in (result.run_dir / "report.md").read_text()


def test_bfloat16(few, tmp_path):
    settings = {"width": 4, "parts": 1, "subnet_epochs": 1, "epochs": 1, "dtype": "bfloat16"}
    result = keras_dd.fit("cnn", few, **settings, run_dir=str(tmp_path / "run"))
    for network in (result.model, *result.parts):
        assert network.get_layer("conv1").compute_dtype == "bfloat16"
        assert network.get_layer("conv1").kernel.dtype == network.get_layer("head").compute_dtype == "float32"
    assert all(np.isfinite(row["loss"]) for row in result.history)
    assert keras.config.dtype_policy().name == "float32"  # of your own next network
    loaded = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert loaded.get_layer("conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("cnn", {"epoch": 3}, "unknown setting 'epoch': did you mean 'epochs'"),
        ("cnm", {}, "unknown model 'cnm': did you mean 'cnn'"),
        ("cnn", {"parts": 3, "overlap": 0}, "overlap 0 cuts"),
        ("cnn", {"parts": 32}, "conv1"),
        ("cnn", {"grid": (2, 4)}, "grid 2x4 has 8 boxes but parts is 4"),
        ("cnn", {"overlap": 3}, "overlap 3"),
        ("cnn", {"batch_size": 300}, "batch_size 300 is more than the 256 training images"),
        ("cnn", {"crop": 32}, "crop 32"),
        ("cnn", {"train_images": 257}, "train_images is 257: 'few digits' has 256"),
        ("cnn", {"method": "conventional", "parts": 2}, "parts 2 is for training by decomposition"),
        ("cnn", {"method": "conventional", "grid": (1, 2)}, r"grid \(1, 2\) is for training by decomposition"),
        ("cnn", {"method": "conventional", "subnet_epochs": 0}, "subnet_epochs 0 is for training by decomposition"),
        ("cnn", {"data_dir": "/data"}, "data_dir is for a dataset that is asked for by name"),
        ("cnn", {"validation_split": 0.1}, "validation_split is for a dataset that is asked for by name"),
        (support.network, {"width": 8}, "width is for a model that is asked for by name"),
        (support.network, {"dtype": "bfloat16"}, "dtype is for a model that is asked for by name"),
        (lambda: support.network(image_shape=(28, 28, 1)), {}, r"'mine' takes images \(28, 28, 1\) but those of 'few"),
        (lambda: support.network(classes=7), {}, r"'mine' gives \(7,\) but 'few digits' has 10 classes"),
    ],
)
def test_a_mistake_leaves_nothing_behind(model, settings, message, few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        keras_dd.fit(model if isinstance(model, str) else model(), few, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_model_from_a_file_is_trained(few, tmp_path):
    mine = support.network()
    mine.save(tmp_path / "mine.keras")
    result = support.untrained(str(tmp_path / "mine.keras"), few, tmp_path / "run")
    assert result.report["parameters"]["full"] == mine.count_params()
    assert (tmp_path / "run" / "report.md").read_text().startswith("# mine on few digits, 2 parts")
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["classes"] == list("0123456789") and card["image_shape"] == [32, 32, 1]


def test_a_hundred_classes_are_counted_among_the_best_five_too(few, tmp_path):
    many = dataclasses.replace(few, classes=tuple(map(str, range(21))))
    written = support.untrained(support.network(classes=21), many, tmp_path / "run").report
    assert len(written["subnet_top5_accuracy"]) == 2
    for network in ("composed", "recalibrated", "final"):
        assert written[f"{network}_accuracy"] <= written[f"{network}_top5_accuracy"] <= 1


def test_runs_get_a_directory_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = rundir.create(Settings(dataset="few digits", model="mine"), "a test")
    assert re.fullmatch(r"runs/few digits-mine-k4-\d{8}-\d{6}", str(run_dir))
    assert [path.name for path in run_dir.iterdir()] == ["config.json"]
    run_dir = rundir.create(Settings(dataset="../my/photos", model="nets/mine.keras"), "a test")
    assert re.fullmatch(r"runs/photos-mine-k4-\d{8}-\d{6}", str(run_dir))


def test_a_directory_in_use_is_refused(few, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        support.untrained(support.network(), few, tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        support.untrained(support.network(), few, tmp_path / "notes.txt" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert rundir.create(Settings(run_dir=str(tmp_path / "empty")), "a test") == tmp_path / "empty"
