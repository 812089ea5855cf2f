"""Results -> files and tables.

A report is a plain dict of what a run asked for, ran on, reached and took; a history is a list of rows, one for each
stage and epoch.  The pipeline fills both, everything here only shows them; what an interrupted run did not reach is
shown as a dash.  Accuracies are fractions of the split that `report["evaluated_on"]` names, times are seconds.
"""

import csv
import json
import re
from pathlib import Path

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from keras_dd import clocks, confusion
from keras_dd.curves import curves, percent, trained
from keras_dd.files import replacing

COLUMNS = ("stage", "epoch", "seconds", "learning_rate", "loss", "accuracy")
# A run has those of its method: the first four, or the fifth.
STAGES = {
    "subnets": "sub-networks",
    "compose": "compose",
    "recalibrate": "re-estimate BN",
    "finetune": "fine-tune",
    "baseline": "full network",
    "evaluate": "evaluate",
}


def write(run_dir: Path, report: dict, history: list[dict]) -> None:
    """Write history.csv, curves.png, report.md and, last, report.json: where it exists, the others do too."""
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    columns = dict.fromkeys((*COLUMNS, f"{report['evaluated_on']}_accuracy", *(key for row in history for key in row)))
    with replacing(run_dir / "history.csv") as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    with replacing(run_dir / "curves.png") as partial:
        curves(report, history, partial)
    with replacing(run_dir / "report.md") as partial:
        partial.write_text(markdown(report, history), encoding="utf-8")
    with replacing(run_dir / "report.json") as partial:
        partial.write_text(_json(report) + "\n", encoding="utf-8")


def read(run_dir: Path) -> tuple[dict, list[dict]]:
    """(report, history) as `write` was given them; what a row has no value for, it does not have."""
    report = json.loads((Path(run_dir) / "report.json").read_text(encoding="utf-8"))
    with open(Path(run_dir) / "history.csv", newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
    kinds = {"stage": str, "epoch": int}
    return report, [{key: kinds.get(key, float)(value) for key, value in row.items()} for row in rows]


def table(report: dict) -> Group:
    """What the terminal shows at the end, at most 80 columns wide: accuracies beside (or above) times, sizes below."""
    tables = (
        terminal_table(_accuracies(report), strong=trained(report)),
        terminal_table(_times(report), strong="total"),
    )
    if _has_top5(report):  # one column too many
        beside = Group(tables[0], "", tables[1])
    else:
        beside = Table.grid(padding=(0, 3))
        beside.add_row(*tables)
    where = Text(f"report: {Path(report['run_dir']) / 'report.md'}", overflow="fold")
    notes = [Text(remark, style="bold") for remark in remarks(report)]
    return Group(
        Text(headline(report), style="bold"), "", beside, "", terminal_table(_sizes(report)), "", *notes, where
    )


def markdown(report: dict, history: list[dict]) -> str:
    """The numbers of `table` as Markdown, with the command, the figure, the last epochs and the environment."""
    notes = *report["dataset"].get("notes", ()), *remarks(report)
    opening = f"# {headline(report)}", f"```\n{report['command']}\n```", *notes, "![](curves.png)"
    return "\n\n".join((*opening, *map(markdown_table, tables(report, history).values()))) + "\n"


def tables(report: dict, history: list[dict]) -> dict[str, list[tuple[str, ...]]]:
    """All numbers by name, in lines of text, the first one the headings; what was not reached is left out."""
    split = report["evaluated_on"]
    epochs = [("last epoch of", "epoch", "loss", "training", split)]
    for stage, row in {row["stage"]: row for row in history}.items():
        accuracies = row["accuracy"], row.get(f"{split}_accuracy")
        epochs.append((stage, str(row["epoch"]), f"{row['loss']:.4f}", *map(percent, accuracies)))
    found = {"accuracies": _accuracies(report), "times": _times(report), "clocks": _clocks(report)}
    found |= {"sizes": _sizes(report), "epochs": epochs}
    if "predictions" in report:
        found |= confusion.tables(report["predictions"])
    for name in "environment", "settings":
        found[name] = [(name.removesuffix("s"), "value"), *((key, str(value)) for key, value in report[name].items())]
    return {name: lines for name, lines in found.items() if len(lines) > 1}


def remarks(report: dict) -> list[str]:
    """What went wrong with single networks, a line each."""
    diverged = [divergence["message"] for divergence in report.get("divergences") or []]
    dead = report.get("dead_subnets") or []
    return diverged + [f"subnet {k} is at chance after its schedule: it has learnt nothing from its box" for k in dead]


def headline(report: dict) -> str:
    settings, dataset = report["settings"], report["dataset"]
    stopped = report.get("interrupted")
    note = f", interrupted: {STAGES.get(stopped, stopped)}" if stopped else ""
    images = f"{dataset[report['evaluated_on']]:,} {report['evaluated_on']} images"
    model = Path(settings["model"]).stem  # it may be a file
    how = f"{len(report['boxes'])} parts" if report["boxes"] else "trained conventionally"
    return f"{model} on {dataset['name']}, {how}, {images}{note}"


def _accuracies(report: dict) -> list[tuple[str, ...]]:
    """Every network there was, the first and last row and column of the image that it sees, and its accuracy.

    Where there are many classes, "top-5" is the fraction of images whose class is among the five highest scores.
    """
    rows, columns = report["dataset"]["image_shape"][:2]
    kinds = {"accuracy": "accuracy"} | ({"top5_accuracy": "top-5"} if _has_top5(report) else {})
    lines = [("network", "rows", "columns", *kinds.values())]
    for k, (top, left, height, width) in enumerate(report["boxes"]):
        sees = f"{top}–{top + height - 1}", f"{left}–{left + width - 1}"
        reached = (report.get(f"subnet_{kind}") for kind in kinds)
        lines.append((f"sub-network {k + 1}", *sees, *(percent(each[k] if each else None) for each in reached)))
    composed = [("composed", "composed"), ("+ re-estimated BN", "recalibrated")] if report["boxes"] else []
    final = [(trained(report), "final")]
    if report["settings"].get("views", 1) > 1:
        final.append((f"+ {report['settings']['views']} test-time views", "views"))
    for name, key in composed + final:
        reached = (report.get(f"{key}_{kind}") for kind in kinds)
        lines.append((name, f"0–{rows - 1}", f"0–{columns - 1}", *map(percent, reached)))
    chance = report["dataset"]["chance"]
    return [*lines, ("chance", "–", "–", *(percent(n * chance) for n in (1, 5)[: len(kinds)]))]


def _times(report: dict) -> list[tuple[str, ...]]:
    """Seconds and share of each stage; the rest is building, tracing, saving, or a stage that was interrupted."""
    others = ("baseline",) if report["boxes"] else ("subnets", "compose", "recalibrate", "finetune")
    seconds = {name: report["seconds"].get(stage) for stage, name in STAGES.items() if stage not in others}
    known = sum(filter(None, seconds.values()))
    total = report["seconds"].get("total") or known
    lines = [("stage", "seconds", "share")]
    for name, value in (seconds | {"set-up, rest": max(total - known, 0.0), "total": total}).items():
        lines.append((name, "–", "–") if value is None else (name, f"{value:,.1f}", percent(value / (total or 1), 0)))
    return lines


def _clocks(report: dict) -> list[tuple[str, ...]]:
    """When the full network was composed, if it was, and when its last epoch ended."""
    events = {"composed": "composed", "end": "trained"} if report["boxes"] else {"end": "trained"}
    lines = [("clock", *events.values())]
    for key, reached in report.get("clocks", {}).items():
        lines.append((clocks.CLOCKS[key].name, *(clocks.shown(key, reached.get(event)) for event in events)))
    return lines


def _sizes(report: dict) -> list[tuple[str, ...]]:
    lines = [("size", "full network", *(("sub-network", "ratio") if report["boxes"] else ()))]
    for name, count in ("parameters", report["parameters"]), ("multiply-adds, an image", report["macs"]):
        full, subnet = count["full"], count.get("subnet")
        lines.append((name, f"{full:,}", *((f"{subnet:,}", f"{full / subnet:.1f} : 1") if subnet else ())))
    return lines


def _has_top5(report: dict) -> bool:
    return "subnet_top5_accuracy" in report or "final_top5_accuracy" in report


def terminal_table(lines: list[tuple[str, ...]], strong: str | None = None) -> Table:
    """Lines, the first one the headings, as a table for the terminal; the line named `strong` is bold."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(lines[0]):
        grid.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for line in lines[1:]:
        grid.add_row(*line, style="bold" if line[0] == strong else None)
    return grid


def markdown_table(lines: list[tuple[str, ...]]) -> str:
    """The same in Markdown, whatever the names of classes have in them."""
    lines = [[" ".join(re.sub(r"[|<`\\[]", r"\\\g<0>", cell).split()) for cell in line] for line in lines]
    rule = ("---", *("---:" for _ in lines[0][1:]))
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _json(report: dict) -> str:
    """With a list of numbers in one line, or the confusion matrix of a hundred classes would take ten thousand."""
    numbers = re.compile(r"\[\n([^\[\]{}\"]*)\]")  # text in JSON has no line breaks: these are no brackets in text
    return numbers.sub(lambda found: f"[{' '.join(found[1].split())}]", json.dumps(report, indent=2))
