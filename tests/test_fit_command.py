"""`keras-dd fit` end to end: processes of its own, their files, and what Ctrl-C leaves."""

import csv
import json
import signal
import sys
import time

import keras
import pytest
import support

import keras_dd
from keras_dd.apps.main import main

KERAS_DD = support.KERAS_DD

QUICK = "fit --width 4 --parts 2 --subnet-epochs {} --epochs {} --deterministic --run-dir {}"
# Several command lines in one process; its exit code is that of the last.
SEVERAL = """
import sys
from keras_dd.apps.main import main
*first, last = sys.argv[1:]
for line in first:
    try:
        main(line.split())
    except SystemExit as end:
        if end.code:
            raise
main(last.split())
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Two processes at once: {name: (exit code, stdout, stderr, run directory)}.

    "finetune" is stopped by Ctrl-C in that stage.  The other process does the same in run and again, which is "twice",
    and is then stopped while its "subnets" train.
    """
    base = tmp_path_factory.mktemp("processes")
    runs = [(1, 1, base / "twice" / "run"), (1, 1, base / "twice" / "again"), (500, 1, base / "subnets" / "run")]
    commands = {
        "finetune": (KERAS_DD, *QUICK.format(1, 500, base / "finetune" / "run").split()),
        "subnets": (sys.executable, "-c", SEVERAL, *(QUICK.format(*run) for run in runs)),
    }
    processes = {name: support.start(*commands[name], out=base / name) for name in commands}
    stops = {"subnets": "Epoch 3/500", "finetune": "Epoch 2/500"}
    deadline = time.monotonic() + 240
    while any(process.poll() is None for process in processes.values()):
        assert time.monotonic() < deadline, {name: support.read(base / name) for name in processes}
        for name, line in tuple(stops.items()):
            if line in support.read(base / name)[0]:
                processes[name].send_signal(signal.SIGINT)
                del stops[name]
        time.sleep(0.05)
    return {name: (p.returncode, *support.read(base / name), base / name / "run") for name, p in processes.items()}


@pytest.fixture(scope="module")
def twice(ended):
    """(stdout, stderr, run directory) of the first two runs of that process: what it wrote before the third."""
    _, stdout, stderr, run_dir = ended["subnets"]
    *lines, of_the_third = stderr.strip().splitlines()
    assert str(run_dir) in of_the_third
    return stdout, lines, run_dir.parents[1] / "twice" / "run"


def test_fit_end_to_end(twice):
    stdout, stderr, run_dir = twice
    assert stderr == []  # neither warnings nor progress
    report = json.loads((run_dir / "report.json").read_text())
    for line in ("sub-network 2", "composed", "fine-tuned", f"{100 * report['final_accuracy']:.2f} %", "share"):
        assert line in stdout
    assert "report.md" in stdout
    assert report["command"] == f"keras-dd {QUICK.format(1, 1, run_dir)}"
    assert (run_dir / "model.keras").is_file() and (run_dir / "curves.png").is_file()


def history(run_dir):
    """All rows, without their times."""
    with open(run_dir / "history.csv", newline="") as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


def test_deterministic_runs_are_the_same_bit_by_bit(twice):
    first = twice[2]
    again = first.with_name("again")
    reports = [json.loads((run_dir / "report.json").read_text()) for run_dir in (first, again)]
    for key in ("subnet_accuracy", "composed_accuracy", "recalibrated_accuracy", "final_accuracy"):
        assert reports[0][key] == reports[1][key]
    assert history(first) == history(again)
    models = [keras.models.load_model(run_dir / "model.keras") for run_dir in (first, again)]
    assert support.weights_differ(*models) == 0


def check_interrupted(ended, stage):
    code, stdout, stderr, run_dir = ended[stage]
    assert code == 130
    assert "Traceback" not in stdout + stderr
    assert len(stderr.strip().splitlines()) == 1
    assert "interrupted" in stderr and str(run_dir) in stderr
    report = json.loads((run_dir / "report.json").read_text())
    assert report["interrupted"] == stage and "final_accuracy" not in report
    assert (run_dir / "report.md").is_file() and not (run_dir / "model.keras").exists()
    return run_dir, report, [row["stage"] for row in history(run_dir)]


def test_ctrl_c_while_the_subnetworks_train(ended):
    run_dir, report, stages = check_interrupted(ended, "subnets")
    assert len(stages) >= 4 and set(stages) == {"subnet 1", "subnet 2"}
    assert "subnet_accuracy" not in report and not list(run_dir.glob("*.h5"))


def test_ctrl_c_while_fine_tuning(ended):
    run_dir, report, stages = check_interrupted(ended, "finetune")
    assert stages[:2] == ["subnet 1", "subnet 2"] and set(stages[2:]) == {"finetune"}
    assert len(report["subnet_accuracy"]) == 2 and report["recalibrated_accuracy"] > 0
    for k in (1, 2):
        part = keras_dd.models.cnn(2, image_shape=(32, 16, 1))
        part.load_weights(run_dir / f"subnet{k}.weights.h5")


def test_dry_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--dry-run", "--width", "32"])
    stdout, stderr = capsys.readouterr()
    assert (end.value.code or 0, stderr) == (0, "")
    for part in ("training images", "parameters", "rows 16-31, columns 0-15", "steps", "FLOPs", "MiB"):
        assert part in stdout
    assert list(tmp_path.iterdir()) == []
