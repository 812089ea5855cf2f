"""report.py on invented runs: plausible numbers, no training."""

import csv
import itertools
import json
import math
import struct
import subprocess
import sys

import pytest
from rich.console import Console

from keras_dd import curves
from keras_dd import report as reporting


def sample(grid=(2, 2), side=32, overlap=8, epochs=8, accuracy=0.61, chance=0.1, name="cifar10", gain=0.55):
    """A report and its history as the pipeline makes them; `accuracy` is about what the sub-networks reach."""
    rows, columns = grid
    parts = rows * columns
    height, width = ((side + (g - 1) * overlap) // g for g in grid)
    boxes = [
        [r * (height - overlap), c * (width - overlap), height, width] for r in range(rows) for c in range(columns)
    ]
    reached = [accuracy + 0.0123 * math.sin(k + 1) for k in range(parts)]
    final = accuracy + gain * (1 - accuracy)

    def stage(label, seconds, start, end):
        for epoch in range(1, epochs + 1):
            share = epoch / epochs
            now = start + (end - start) * (1 - math.exp(-4 * share)) / (1 - math.exp(-4))
            row = {"stage": label, "epoch": epoch, "seconds": seconds * share, "learning_rate": 5e-3 * (1 - share)}
            yield row | {"loss": 2.3 * (1 - now), "accuracy": min(now + 0.03, 1.0), "test_accuracy": now}

    history = [row for k in range(parts) for row in stage(f"subnet {k + 1}", 99.0, 2.5 * chance, reached[k])]
    history += stage("finetune", 300.0, accuracy + 0.05 * gain, final)
    report = {
        "command": f"keras-dd fit --dataset {name} --model resnet32 --parts {parts}",
        "run_dir": f"runs/{name}-resnet32-{parts}",
        "settings": {
            "dataset": name,
            "model": "resnet32",
            "width": 64,
            "parts": parts,
            "grid": list(grid),
            "seed": 0,
            "batch_size": 64,
        },
        "environment": {
            "keras_dd": "0.1.0",
            "keras": "3.15.1",
            "tensorflow": "2.21.0",
            "python": "3.11.7",
            "machine": "x86_64",
            "cores": 2,
            "devices": ["CPU:0"],
            "git": None,
            "finished": "2026-11-22T03:00:00+00:00",
        },
        "dataset": {
            "name": name,
            "train": 50000,
            "validation": 0,
            "test": 10000,
            "classes": 10,
            "image_shape": [side, side, 3],
            "chance": chance,
        },
        "boxes": boxes,
        "parameters": {"full": 7_400_000, "subnet": 467_000},
        "macs": {"full": 1_106_000_000, "subnet": 27_100_000},
        "evaluated_on": "test",
        "subnet_accuracy": reached,
        "composed_accuracy": accuracy - 0.0077,
        "recalibrated_accuracy": accuracy + 0.05 * gain,
        "final_accuracy": final,
        "seconds": {
            "subnets": 100.0,
            "compose": 0.4,
            "recalibrate": 3.2,
            "finetune": 300.6,
            "evaluate": 12.1,
            "total": 421.5,
        },
        "interrupted": None,
    }
    return report, history


def interrupted():
    """Stopped by the user in the first epoch of fine-tuning."""
    report, history = sample()
    del report["final_accuracy"], report["seconds"]["evaluate"]
    report["seconds"]["finetune"] = None
    report["interrupted"] = "finetune"
    return report, [row for row in history if row["stage"] != "finetune"]


def stopped_early():
    """Stopped in the sub-networks' second epoch: nothing has been composed or measured."""
    report, history = sample()
    for key in ("subnet_accuracy", "composed_accuracy", "recalibrated_accuracy", "final_accuracy"):
        report[key] = None
    report["seconds"] = {"total": 25.0}
    report["interrupted"] = "subnets"
    return report, [row for row in history if row["epoch"] == 1 and row["stage"] != "finetune"]


def top5():
    """A hundred classes: with the share of images whose class is among the five highest scores."""
    report, history = sample(accuracy=0.3, chance=0.01, name="cifar100")
    report["subnet_top5_accuracy"] = [accuracy + 0.301 for accuracy in report["subnet_accuracy"]]
    for key in ("composed", "recalibrated", "final"):
        report[f"{key}_top5_accuracy"] = report[f"{key}_accuracy"] + 0.302
    report["settings"]["model"] = "nets/mine.keras"
    report["dataset"]["notes"] = ["photos has no test images: 20 % are held out"]
    return report, history


def conventional():
    """Without sub-networks: what was not made is left out."""
    report, history = sample()
    for key in ("subnet_accuracy", "composed_accuracy", "recalibrated_accuracy"):
        del report[key]
    del report["parameters"]["subnet"], report["macs"]["subnet"]
    report["boxes"], report["seconds"] = [], {"baseline": 399.7, "evaluate": 12.1, "total": 421.5}
    return report, [row | {"stage": "baseline"} for row in history if row["stage"] == "finetune"]


def not_begun():
    report, _ = conventional()
    del report["final_accuracy"]
    return report | {"seconds": {"total": 2.5}, "interrupted": "baseline"}, []


CASES = {
    "conventional": conventional,
    "not_begun": not_begun,
    "plain": sample,
    "sixteen": lambda: sample(grid=(4, 4), accuracy=0.45),
    "two": lambda: sample(grid=(1, 2), overlap=0),
    "digits": lambda: sample(side=8, overlap=2, accuracy=0.94, name="digits"),
    "one_epoch": lambda: sample(epochs=1, accuracy=0.3),
    "untrained": lambda: sample(epochs=2, accuracy=0.013, chance=0.01, name="cifar100", gain=0.01),
    "top5": top5,
    "interrupted": interrupted,
    "stopped_early": stopped_early,
}
cases = pytest.mark.parametrize("make", CASES.values(), ids=CASES)


def printed(report):
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(reporting.table(report))
    return capture.get()


def numbers(report):
    """Every number of the report as a reader is to find it."""
    accuracies = [report.get(f"{key}_accuracy") for key in ("composed", "recalibrated", "final")]
    accuracies += [report["dataset"]["chance"], *(report.get("subnet_accuracy") or [])]
    top5 = (value if isinstance(value, list) else [value] for key, value in report.items() if "_top5_" in key)
    accuracies += itertools.chain(*top5)
    yield from (f"{100 * accuracy:.2f} %" for accuracy in accuracies if accuracy is not None)
    yield from (f"{seconds:,.1f}" for seconds in report["seconds"].values() if seconds is not None)
    yield from (f"{size:,}" for kind in ("parameters", "macs") for size in report[kind].values())
    yield from (f"{left}–{left + width - 1}" for _, left, _, width in report["boxes"])


def test_json_comes_back_as_it_went(tmp_path):
    report, history = sample()
    reporting.write(tmp_path / "run", report, history)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["curves.png", "history.csv", "report.json", "report.md"]  # no temporary file is left


def test_csv_has_a_row_for_each_stage_and_epoch(tmp_path):
    report, history = sample(epochs=3)
    reporting.write(tmp_path, report, history)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*reporting.COLUMNS, "test_accuracy")
    assert len(rows) == (4 + 1) * 3
    assert [float(row["test_accuracy"]) for row in rows] == [row["test_accuracy"] for row in history]


def test_csv_of_no_history_has_its_heading(tmp_path):
    report, _ = stopped_early()
    reporting.write(tmp_path, report | {"evaluated_on": "validation"}, [])
    assert (tmp_path / "history.csv").read_text() == ",".join((*reporting.COLUMNS, "validation_accuracy")) + "\n"


@cases
def test_table_shows_every_number_in_80_columns(make):
    report, _ = make()
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= max(len(report["boxes"]), 3) + 15 + 11 * ("subnet_top5_accuracy" in report)
    for number in numbers(report):
        assert number in text
    assert f"{report['run_dir']}/report.md" in text
    assert ("interrupted" in text) == bool(report["interrupted"])
    assert "None" not in text and "…" not in text


def test_nothing_is_said_of_sub_networks_where_there_are_none():
    report, history = conventional()
    for text in (printed(report), reporting.markdown(report, history)):
        body = text.replace(report["command"], "")
        assert "trained conventionally" in body and "full network" in body
        for word in ("sub-network", "composed", "fine-tune", "re-estimate", "ratio"):
            assert word not in body


def test_table_folds_a_long_path_and_keeps_its_brackets():
    report, _ = sample()
    report["run_dir"] = "/home/someone/" + "deep/" * 20 + "run [1]"
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "[1]/report.md" in text


@cases
def test_markdown_has_every_number(make):
    report, history = make()
    text = reporting.markdown(report, history)
    for number in numbers(report):
        assert number in text
    assert report["command"] in text and "![](curves.png)" in text and "3.15.1" in text


def test_what_was_done_to_the_data_is_told():
    report, history = top5()
    text = reporting.markdown(report, history)
    assert report["dataset"]["notes"][0] in text and text.startswith("# mine on cifar100, 4 parts")
    assert "| network | rows | columns | accuracy | top-5 |" in text and "5.00 % |" in text


@cases
def test_curves_are_a_png_with_something_on_it(make, tmp_path):
    report, history = make()
    curves.curves(report, history, tmp_path / "curves.png")
    data = (tmp_path / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (1600, 700)
    assert len(data) > 20_000


def test_import_is_light():
    code = "import sys, keras_dd.report; print(*({'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
