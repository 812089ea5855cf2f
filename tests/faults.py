"""Kills runs at random moments, resumes them, and compares what they end with: `python tests/faults.py --kills 50`.

One run is left alone.  The others, with the same settings, are killed again and again (SIGKILL or SIGTERM, in a random
stage, after a random time), resumed each time, and at last left to end.  All must end with the same weights, bit for
bit, and with the same history but for its seconds.  A campaign goes on where its --output left off.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py

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
    life = live(run_dir, SETTINGS.format(epochs))
    assert life["code"] == 0, run_dir.with_suffix(".log").read_text()
    return outcome(run_dir)


def harass(run_dir, epochs, faults):
    """A run that is killed by `faults`, [(stage, signal, seconds)], one a life: (what it ends with, its lives)."""
    lives = []
    for stage, number, seconds in faults:
        lives.append(live(run_dir, SETTINGS.format(epochs), stage, number, seconds))
        if finished(run_dir):  # it was faster than the signal
            return outcome(run_dir), lives
        assert lives[-1]["code"] == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number], (lives, _log(run_dir))
    lives.append(live(run_dir, SETTINGS.format(epochs)))
    assert lives[-1]["code"] == 0, (lives, _log(run_dir))
    return outcome(run_dir), lives


def _log(run_dir):
    return run_dir.with_suffix(".log").read_text()


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
    parser.add_argument("--of-a-run", type=int, default=7, help="kills of one run [7]")
    parser.add_argument("--epochs", type=int, default=8, help="of both stages [8]")
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time [2]")
    parser.add_argument("--minutes", type=float, default=60, help="begin no further run after these [60]")
    parser.add_argument("--output", type=Path, default=Path("faults.json"), help="[faults.json]")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    base = Path(tempfile.mkdtemp(prefix="faults-"))
    done = {
        "command": None,
        "settings": SETTINGS.format(asked.epochs),
        "kills": 0,
        "same": None,
        "alone": None,
        "runs": [],
    }
    if asked.output.exists():
        done = json.loads(asked.output.read_text())

    def save():
        done["kills"] = sum(killed(run["lives"]) for run in done["runs"])
        done["same"] = all(run["same"] for run in done["runs"])
        done["command"] = f"python tests/faults.py --kills {asked.kills} --epochs {asked.epochs}"
        asked.output.write_text(json.dumps(done, indent=1) + "\n")

    if done["alone"] is None:
        done["alone"] = alone(base / "alone", asked.epochs)
        save()

    def one(seed):
        if time.monotonic() > until:
            return
        run_dir = base / str(seed)
        found, lives = harass(run_dir, asked.epochs, draw(seed, asked.of_a_run))
        different = [name for name in done["alone"] if found[name] != done["alone"][name]]
        done["runs"].append({"seed": seed, "same": not different, "different": different, "lives": lives})
        save()
        print(
            f"run {seed}: {killed(lives)} kills, different: {different}; {done['kills']} kills in all",
            flush=True,
        )
        shutil.rmtree(run_dir)

    with ThreadPoolExecutor(asked.at_once) as pool:
        while done["kills"] < asked.kills and time.monotonic() < until:
            known = [run["seed"] for run in done["runs"]]
            list(pool.map(one, range(max(known, default=0) + 1, max(known, default=0) + 1 + asked.at_once)))
    shutil.rmtree(base)
    sys.exit(0 if done["same"] else 1)


if __name__ == "__main__":
    main()
