"""figures/cluster.py: what more devices would bring, as docs/cluster.md tells it."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from keras_dd import clocks

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster():
    spec = importlib.util.spec_from_file_location("cluster", ROOT / "figures" / "cluster.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_run(cluster):
    page = cluster.PAGE.read_text(encoding="utf-8")
    assert cluster.filled(page) == page, "run python figures/cluster.py"
    assert cluster.devices().count("\n") == 10 and cluster.devices() in page and cluster.amdahl() in page


@pytest.mark.parametrize(("clock", "devices", "linked"), [("one-device", 1, 1), ("linked", 4, 4), ("unlinked", 4, 1)])
def test_on_one_and_on_k_devices_it_says_what_the_clocks_say(cluster, clock, devices, linked):
    report = json.loads((cluster.RUN / "report.json").read_text(encoding="utf-8"))
    with open(cluster.RUN / "history.csv", newline="", encoding="utf-8") as file:
        rows = [row | {"epoch": int(row["epoch"]), "seconds": float(row["seconds"])} for row in csv.DictReader(file)]
    whole = sum(cluster.seconds(cluster.read(), devices, linked, all_reduce=lambda size, count: 0))
    assert whole == pytest.approx(clocks.summary(report, rows)[clock]["end"], rel=3e-3)


def test_gradients_around_a_ring(cluster):
    assert cluster.ring(1e9, 1) == 0
    assert cluster.ring(1.25e9, 2) == pytest.approx(1.0 + 2 * cluster.LATENCY)  # half of it, twice


def test_no_more_devices_than_parts_or_images(cluster):
    run = cluster.read()
    assert cluster.seconds(run, 4, 1) == cluster.seconds(run, 1024, 1)
    free = [cluster.seconds(run, count, count, lambda size, count: 0)[2] for count in (64, 128, 1024)]
    assert free[0] == pytest.approx(2 * free[1]) and free[1] == free[2]
