"""What more devices would bring a measured run: `python figures/cluster.py` writes the tables of docs/cluster.md.

    seconds(N) = ceil(K / N) / K * subnets  +  between  +  steps * (step / G + all_reduce(G))

`subnets`, `between` (composing, re-estimating batch norm) and a `step` of the full network are those of the run, on the
device that it was measured on, and N devices are N of these.  A sub-network alone is taken to need its K-th of the
time of all K at once, as in `keras_dd.clocks`.  Fine-tuning works on G of the devices: data-parallel, each with its
share of the batch, without loss but for sending the gradients around a ring.
"""

import csv
import dataclasses
import json
import math
from pathlib import Path

from keras_dd.recipes import RECIPES

FIGURES = Path(__file__).parent
RUN = FIGURES / "cifar10-resnet8-w32"
PAGE = FIGURES.parent / "docs" / "cluster.md"
DEVICES = (1, 4, 64, 1024)
NODE = 8  # devices that a node has at most
# Of the links between devices, assumed: 10 Gbit/s, and the time until a message arrives.
BYTES_A_SECOND, LATENCY = 10e9 / 8, 50e-6
# Those that fine-tune: {name: (how many at most, the number of devices from which on that is a case of its own)}.
WAYS = {"one": (1, 1), "those of a node": (NODE, 2), "all, linked": (math.inf, NODE + 1)}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run in seconds on one device: an epoch of all sub-networks at once, a step of the full network."""

    parts: int
    subnet_epochs: int
    subnet_epoch: float
    between: float
    epochs: int
    steps_per_epoch: int
    step: float
    batch_size: int
    bytes: int  # of the gradients


def read(folder=RUN):
    """The `Run` that was measured on one device, from its report.json and history.csv."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ends = {row["stage"]: (int(row["epoch"]), float(row["seconds"])) for row in rows}  # the last row of a stage stays
    (subnet_epochs, subnets), (epochs, finetune) = ends["subnet 1"], ends["finetune"]
    settings, taken = report["settings"], report["seconds"]
    steps = report["dataset"]["train"] // settings["batch_size"]
    return Run(
        parts=settings["parts"],
        subnet_epochs=subnet_epochs,
        subnet_epoch=subnets / subnet_epochs,
        between=taken["compose"] + taken.get("recalibrate", 0),
        epochs=epochs,
        steps_per_epoch=steps,
        step=finetune / epochs / steps,
        batch_size=settings["batch_size"],
        bytes=4 * report["parameters"]["full"],
    )


def ring(size, devices):
    """Seconds to add up `size` bytes of all devices: each sends 2 (G - 1) times a G-th of them to its neighbour."""
    return 2 * (devices - 1) * (size / devices / BYTES_A_SECOND + LATENCY)


def seconds(run, devices, linked, all_reduce=ring):
    """(seconds of the sub-networks, between, of fine-tuning) on `devices`, of which `linked` at most fine-tune."""
    each = min(devices, linked, run.batch_size)  # a device has one image of a batch at least
    step = run.step / each + all_reduce(run.bytes, each)
    subnets = math.ceil(run.parts / devices) / run.parts * run.subnet_epochs * run.subnet_epoch
    return subnets, run.between, run.epochs * run.steps_per_epoch * step


def conventional(run, epochs):
    """The full network trained for so many epochs from random initialisation."""
    return dataclasses.replace(run, subnet_epochs=0, between=0, epochs=epochs)


def devices():
    """What a number of devices brings the run, by those that fine-tune."""
    run = read()
    lines = [
        "| devices | at work on sub-networks | seconds | fine-tuning on | seconds | in all | speed-up "
        "| fine-tuning's share |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count in DEVICES:
        for way, linked in [(way, most) for way, (most, least) in WAYS.items() if count >= least]:
            taken = seconds(run, count, linked)
            cells = [str(count), str(min(count, run.parts)), f"{taken[0]:,.0f}", way, f"{taken[2]:,.0f}"]
            cells += [f"{sum(taken):,.0f}", f"{sum(seconds(run, 1, 1)) / sum(taken):.2f}"]
            lines.append("| " + " | ".join([*cells, f"{100 * taken[2] / sum(taken):.0f} %"]) + " |")
    return "\n".join(lines)


def amdahl():
    """What fine-tuning leaves to more devices, by recipe, and what is left of it against conventional training."""
    run, most = read(), max(DEVICES)
    lines = [
        "| epochs of sub-networks + fine-tuning | fine-tuning's share on one device | limit of the speed-up "
        "| conventional, epochs | gain on one device | on machines without a link | on nodes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    schedules = {"this run": (run.subnet_epochs, run.epochs, RECIPES["quick"].baseline.epochs)}
    schedules |= {name: (r.subnets.epochs, r.finetune.epochs, r.baseline.epochs) for name, r in RECIPES.items()}
    for name, (subnet_epochs, epochs, baseline) in schedules.items():
        ours = dataclasses.replace(run, subnet_epochs=subnet_epochs, epochs=epochs)
        subnets, between, finetune = seconds(ours, 1, 1)
        alone = subnets + between + finetune
        gains = [
            sum(seconds(conventional(run, baseline), *where)) / sum(seconds(ours, *where))
            for where in ((1, 1), (most, 1), (most, NODE))
        ]
        cells = [f"{name}: {subnet_epochs} + {epochs}", f"{100 * finetune / alone:.0f} %"]
        cells += [f"{alone / (alone - subnets):.2f}", str(baseline), *(f"{gain:.2f}" for gain in gains)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(text):
    """`text` with its tables as the run has them."""
    for table in (devices, amdahl):
        begin, end = f"<!-- {table.__name__} -->\n", f"<!-- /{table.__name__} -->"
        before, rest = text.split(begin)
        _, behind = rest.split(end)
        text = f"{before}{begin}{table()}\n{end}{behind}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
