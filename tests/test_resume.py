"""Runs that go on: what is asked for, what is refused, and what a full disk or a diverging run leaves behind."""

import json
import resource
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import faults
import numpy as np
import pytest
import support

import keras_dd
from keras_dd import outcome, pipeline, rundir
from keras_dd.apps.main import main
from keras_dd.config import Settings, UserError
from keras_dd.recipes import RECIPES, Recipe, Stage

SETTINGS = {"parts": 2, "overlap": 8, "subnet_epochs": 1, "epochs": 1}


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def interrupted(few, tmp_path_factory):
    """(directory of a run that was stopped behind its sub-networks, the network it was given)."""
    network, run_dir = support.network(), tmp_path_factory.mktemp("interrupted") / "run"

    def stop(*args, **options):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "compose", stop)
        with pytest.raises(outcome.Interrupted, match=f"go on with keras-dd fit --resume {run_dir}") as ending:
            keras_dd.fit(network, few, **SETTINGS, run_dir=str(run_dir))
    assert ending.value.code == 130
    return run_dir, network


def test_a_run_goes_on(interrupted, few, tmp_path):
    run_dir = shutil.copytree(interrupted[0], tmp_path / "run")
    before = json.loads((run_dir / "report.json").read_text())
    assert before["interrupted"] == "compose"
    result = keras_dd.resume(run_dir, interrupted[1], few, epochs=1)
    assert result.report["interrupted"] is None and result.report["command"] == before["command"]
    assert [row["stage"] for row in result.history] == ["subnet 1", "subnet 2", "finetune"]
    assert result.report["subnet_accuracy"] == before["subnet_accuracy"]
    assert result.report["seconds"]["subnets"] > before["seconds"]["subnets"] / 2  # that time is not forgotten
    assert json.loads((run_dir / "report.json").read_text()) == result.report
    assert not (run_dir / "snapshots").exists() and not list(run_dir.glob("partial-*"))
    with pytest.raises(UserError, match=r"is finished, its network is in model\.keras"):
        keras_dd.resume(run_dir, interrupted[1], few)


def test_conventional_training_goes_on(few, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    network, run_dir = support.network(), tmp_path / "run"
    monkeypatch.setattr(pipeline, "save_weights", stop)
    with pytest.raises(outcome.Interrupted, match="interrupted in stage 'baseline'"):
        keras_dd.fit(network, few, method="conventional", epochs=1, run_dir=str(run_dir))
    monkeypatch.undo()
    assert (run_dir / "snapshots").exists()
    result = keras_dd.resume(run_dir, network, few)
    assert [(row["stage"], row["epoch"]) for row in result.history] == [("baseline", 1)]
    assert result.report["interrupted"] is None and not (run_dir / "snapshots").exists()


def test_it_goes_on_only_with_the_same(interrupted, few):
    run_dir, network = interrupted
    for arguments, message in (
        ((), "the model of the run in .*, 'mine', was your own: hand it to keras_dd.resume"),
        ((network,), "the dataset of the run in .*, 'few digits', was your own"),
        ((support.network(width=4), few), "this model is not that of the run"),
        ((network, support.digits(train=250)), "this dataset is not that of the run"),
    ):
        with pytest.raises(UserError, match=message):
            keras_dd.resume(run_dir, *arguments)
    for setting, value in (("epochs", 9), ("seed", 1), ("on_divergence", "stop")):
        with pytest.raises(
            UserError, match=f"{setting} is .* in .*config.json, not {value!r}: a run goes on as it beg"
        ):
            keras_dd.resume(run_dir, network, few, **{setting: value})
    with pytest.raises(UserError, match="unknown setting 'epocs': did you mean 'epochs'"):
        keras_dd.resume(run_dir, network, few, epocs=1)


def test_it_goes_on_only_with_its_own_configuration(interrupted, few, tmp_path):
    run_dir = shutil.copytree(interrupted[0], tmp_path / "run")
    config = run_dir / "config.json"
    config.write_text(config.read_text().replace('"epochs": 1,', '"epochs": 2,'))
    with pytest.raises(UserError, match="snapshots in .* were not taken with this config.json: put it back"):
        keras_dd.resume(run_dir, interrupted[1], few)


def test_two_processes_do_not_go_on_at_once(interrupted, few):
    run_dir, network = interrupted
    with rundir.locked(run_dir), pytest.raises(UserError, match="still going on, in another process"):
        keras_dd.resume(run_dir, network, few)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"settings": 3}',
        '{"settings": {"epohcs": 3}}',
        '{"settings": {"epochs": "three"}}',
    ],
)
def test_a_damaged_configuration_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json cannot be read as a run of keras-dd .*: start another run"):
        keras_dd.resume(tmp_path)


@pytest.mark.parametrize("where", ["", "nowhere"])
def test_a_directory_without_a_run_is_refused(where, tmp_path):
    with pytest.raises(UserError, match="is not the directory of a run .*No such file or directory"):
        keras_dd.resume(tmp_path / where)


def test_settings_come_back_as_they_were(tmp_path):
    settings = Settings(grid=(2, 4), parts=8, run_dir=str(tmp_path), snapshot_every=0.5)
    made_of = {"own": [], "model": "a", "dataset": "b"}
    rundir.create(settings, "a test", made_of)
    assert rundir.reopen(tmp_path, {"grid": (2, 4)}) == (settings, "a test", made_of)
    with pytest.raises(UserError, match="is not empty"):
        rundir.create(settings, "another")


def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path, capsys):
    """Files of more than 3,000 bytes cannot be written; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(SystemExit) as end:
            main(f"fit --width 4 --parts 2 --subnet-epochs 1 --epochs 0 --run-dir {tmp_path}/run".split())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    stdout, stderr = capsys.readouterr()
    assert end.value.code == 1
    assert stderr.startswith("keras-dd: ") and stderr.count("\n") == 1 and "run" in stderr
    assert "No snapshot could be written (File too large): the one before stays, training goes on" in stdout
    left = {path.name for path in (tmp_path / "run").rglob("*")}
    assert left <= {"config.json", "snapshots", "history.csv", "report.md", "report.json"}


def test_a_diverging_run_ends_and_tells(few, tmp_path, monkeypatch, capsys):
    stage = Stage(epochs=2, learning_rate=1e38, schedule="step")
    monkeypatch.setitem(RECIPES, "test", Recipe("for tests", stage, stage, stage, 128))
    where = str(tmp_path / "run")
    result = keras_dd.fit(support.network(), few, parts=2, overlap=8, recipe="test", run_dir=where)
    found = [(each["network"], each["epoch"], each["action"]) for each in result.report["divergences"]]
    names = ["subnet 1", "subnet 2"]
    first = [(name, 1, "retried at half the learning rate") for name in [*names, "finetune"]]
    again = [(name, 2, "stopped") for name in [*names, "finetune"]]
    assert sorted(found) == sorted(first + again)
    assert result.report["dead_subnets"] == [
        k for k, accuracy in enumerate(result.report["subnet_accuracy"], start=1) if accuracy < 0.2
    ]
    assert result.report["dead_subnets"]
    for weights in (*result.parts[0].get_weights(), *result.parts[1].get_weights(), *result.model.get_weights()):
        assert np.isfinite(weights).all()
    written, said = (result.run_dir / "report.md").read_text(), capsys.readouterr().out
    for line in ("subnet 1 diverged in epoch 1", f"subnet {result.report['dead_subnets'][0]} is at chance after"):
        assert line in written and line in said
    assert said.index("is at chance after its schedule") < said.index("Composing")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("--resume runs/a", {}),
        ("--resume runs/a --epochs 3 --grid 2x4 --no-flip", {"epochs": 3, "grid": (2, 4), "flip": False}),
    ],
)
def test_the_command_line_passes_on_what_was_typed(typed, expected, monkeypatch, capsys):
    seen = []

    def resume(run_dir, **settings):
        seen.append((run_dir, settings))
        return SimpleNamespace(report={})

    monkeypatch.setenv("KERAS_DD_FIT_SEED", "5")  # the run has its own
    monkeypatch.setattr(pipeline, "resume", resume)
    monkeypatch.setattr("keras_dd.report.table", repr)
    with pytest.raises(SystemExit) as end:
        main(["fit", *typed.split()])
    assert not end.value.code and seen == [("runs/a", expected)]


def test_going_on_cannot_be_planned(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--resume", "runs/a", "--dry-run"])
    assert end.value.code == 2 and "--dry-run is for a new run" in capsys.readouterr().err


def test_runs_that_are_killed_end_as_the_one_that_is_not(tmp_path, monkeypatch):
    """A sample of the campaign in faults.py: both kills in the second of two epochs, however fast the machine is."""
    monkeypatch.setattr(faults, "SETTINGS", f"{faults.SETTINGS} --parts 2")
    monkeypatch.setitem(faults.STAGES, "subnets", ("Epoch 2/", 0))
    monkeypatch.setitem(faults.STAGES, "finetune", (r"Fine-tuning [\s\S]*^Epoch 2/", 0))
    kills = [("subnets", signal.SIGKILL, 0), ("finetune", signal.SIGTERM, 0)]
    with ThreadPoolExecutor(2) as pool:
        alone = pool.submit(faults.alone, tmp_path / "alone", 2)
        lives = []
        killed = pool.submit(faults.harass, tmp_path / "killed", 2, kills, lives)
        assert killed.result() == alone.result()
    assert [life["code"] for life in lives] == [-9, 143, 0], lives
    assert lives[1]["went_on"] and lives[2]["went_on"], lives
