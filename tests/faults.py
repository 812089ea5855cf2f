"""Kills runs at random moments, resumes them, and compares what they end with: `python tests/faults.py --kills 50`.

One run is left alone.  The others, with the same settings, are killed again and again (SIGKILL or SIGTERM, in a random
stage, after a random time), resumed each time, and at last left to end.  All must end with the same weights, bit for
bit, and with the same history but for its seconds.  A campaign goes on where its --output left off.
"""

import argparse
import csv
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py

from keras_dd import rundir
from keras_dd.files import replacing

KERAS_DD = Path(sys.executable).with_name("keras-dd")
# Many small steps, and snapshots as often as their cost allows.
SETTINGS = "--width 4 --batch-size 16 --subnet-epochs {0} --epochs {0} --deterministic --snapshot-every 0"
# The line that a stage begins with, and how many seconds later a process is killed at most.
STAGES = {
    "subnets": ("Training ", 9),
    "compose": ("Composing ", 0.3),
    "recalibrate": ("Re-estimating ", 0.3),
    "finetune": ("Fine-tuning ", 9),
}


def live(run_dir, settings, stage=None, number=None, seconds=0):
    """One life of a run: begun, or gone on with, and killed by signal `number` some `seconds` into a stage.

    Returns:
        {"signal", "stage", "seconds", "went_on", "code"}: as asked for, from where this life went on, how it ended.
    """
    begun = (run_dir / "config.json").exists()
    what = ["--resume", run_dir] if begun else [*settings.split(), "--run-dir", run_dir]
    log = run_dir.with_suffix(".log")
    with open(log, "w") as file:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen([KERAS_DD, "fit", *what], stdout=file, stderr=file, env=environment)
    line = re.compile("^" + STAGES[stage][0], re.MULTILINE) if stage else None
    while process.poll() is None:
        if line and line.search(log.read_text()):
            time.sleep(seconds)
            process.send_signal(number)
            line = None
        time.sleep(0.01)
    went_on = re.findall(r"Going on in (.*)", log.read_text())
    asked = {"signal": signal.Signals(number).name, "stage": stage, "seconds": round(seconds, 2)} if number else {}
    return asked | {"went_on": went_on, "code": process.returncode}


def outcome(run_dir):
    """{file: sha256} of all weights, as arrays, and of the history but for its seconds."""
    found = {}
    for path in sorted(run_dir.glob("*.weights.h5")):
        digest = hashlib.sha256()

        def add(name, item, digest=digest):
            if isinstance(item, h5py.Dataset):
                digest.update(name.encode() + item[()].tobytes())

        with h5py.File(path) as file:
            file.visititems(add)
        found[path.name] = digest.hexdigest()
    with open(run_dir / "history.csv", newline="") as file:
        rows = [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]
    return found | {"history.csv": hashlib.sha256(json.dumps(rows).encode()).hexdigest()}


def finished(run_dir):
    report = run_dir / "report.json"
    return report.exists() and json.loads(report.read_text())["interrupted"] is None


def alone(run_dir, epochs):
    """What a run ends with that nothing happens to."""
    shutil.rmtree(run_dir, ignore_errors=True)
    life = live(run_dir, SETTINGS.format(epochs))
    assert life["code"] == 0, run_dir.with_suffix(".log").read_text()
    return outcome(run_dir)


def harass(run_dir, epochs, faults, lives, save=lambda: None):
    """What a run ends with after `faults`, [(stage, signal, seconds)], one a life; those in `lives` are behind it."""
    while not finished(run_dir):
        fault = faults[len(lives) : len(lives) + 1]
        lives.append(live(run_dir, SETTINGS.format(epochs), *(fault[0] if fault else ())))
        expected = {signal.SIGKILL: -9, signal.SIGTERM: 143}[fault[0][1]] if fault else 0
        as_expected = lives[-1]["code"] == expected or finished(run_dir)  # it may be faster than the signal
        assert as_expected, (lives, run_dir.with_suffix(".log").read_text())
        save()
    return outcome(run_dir)


def draw(seed, count):
    """`count` random faults."""
    dice, faults = random.Random(seed), []
    for _ in range(count):
        stage = dice.choices(list(STAGES), (4, 1, 1, 4))[0]
        faults.append((stage, dice.choice((signal.SIGKILL, signal.SIGTERM)), dice.uniform(0, STAGES[stage][1])))
    return faults


def killed(lives):
    return sum(life.get("signal") is not None and life["code"] != 0 for life in lives)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how many there are to be, at least [50]")
    parser.add_argument("--of-a-run", type=int, default=8, help="kills of one run [8]")
    parser.add_argument("--epochs", type=int, default=3, help="of both stages [3]")
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time [2]")
    parser.add_argument("--output", type=Path, default=Path("faults.json"), help="[faults.json]")
    asked = parser.parse_args()
    base = asked.output.absolute().with_suffix("")
    base.mkdir(exist_ok=True)
    done = {"command": f"python tests/faults.py --kills {asked.kills}", "settings": SETTINGS.format(asked.epochs)}
    done |= {"environment": rundir.environment()}
    done |= {"kills": 0, "same": None, "alone": None, "runs": {}}
    if asked.output.exists():
        done = json.loads(asked.output.read_text())

    def save():
        done["kills"] = sum(killed(run["lives"]) for run in done["runs"].values())
        done["same"] = all(run["different"] == [] for run in done["runs"].values())
        with replacing(asked.output) as partial:
            partial.write_text(json.dumps(done, indent=1) + "\n")

    def one(seed):
        run = done["runs"].setdefault(str(seed), {"different": None, "lives": []})
        if run["different"] is None:
            found = harass(base / str(seed), asked.epochs, draw(seed, asked.of_a_run), run["lives"], save)
            run["different"] = [name for name in done["alone"] if found[name] != done["alone"][name]]
            save()
        print(f"run {seed}: {killed(run['lives'])} kills, different: {run['different']}", flush=True)

    if done["alone"] is None:
        done["alone"] = alone(base / "alone", asked.epochs)
        save()
    with ThreadPoolExecutor(asked.at_once) as pool:
        for first in itertools.count(0, asked.at_once):
            found = [run["different"] for run in done["runs"].values()]
            if any(found) or (done["kills"] >= asked.kills and None not in found):
                break
            list(pool.map(one, range(first, first + asked.at_once)))
    shutil.rmtree(base)
    sys.exit(0 if done["same"] else 1)


if __name__ == "__main__":
    main()
