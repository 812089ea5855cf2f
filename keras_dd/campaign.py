"""Campaigns: several runs one after another, which can be stopped at any time and go on.

A campaign is a folder.  campaign.json says what was asked for, what is measured once for all runs has a JSON file of
its own, and each run has its directory in runs/.
"""

import dataclasses
import gc
import json
import statistics
from contextlib import contextmanager
from pathlib import Path

from keras_dd import data, outcome, pipeline, report, rundir
from keras_dd.config import Settings, UserError
from keras_dd.files import replacing

RUNS = "runs"
# Runs that differ in nothing else take the same time.
TIMELESS = {"run_dir": None, "seed": 0, "learning_rate": None, "subnet_learning_rate": None, "validation_split": 0.0}


@contextmanager
def folder(path, asked, command):
    """The folder of a campaign as a `Path`: a new one, or one to go on in.

    Args:
        path: of the folder.
        asked: everything that says which runs these are, as plain JSON; a campaign goes on only with the same.
        command: the command line that asks for it.

    Raises:
        UserError: a folder that cannot be written, or holds something else.
        outcome.Interrupted: for Ctrl-C and SIGTERM, with the way to go on.
    """
    path = Path(path)
    is_new = not path.exists()
    asked = json.loads(json.dumps(asked))
    try:
        before = once(path, "campaign", lambda: {"command": command, "asked": asked})
        differing = list(_differing(before["asked"], asked))
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be written ({error.strerror}): choose another with --run-dir") from error
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{str(path)!r} cannot be read as a campaign of keras-dd: choose another --run-dir") from error
    for name, was, value in differing:
        raise UserError(
            f"{name} is {was!r} in {str(path)!r}, not {value!r}: a campaign goes on as it began, so ask for the same, "
            "or choose another --run-dir"
        )
    try:
        with data.kept():
            yield path
    except UserError:
        if not (path / RUNS).exists():  # nothing was begun: a slip may be mended and asked for again
            for file in path.glob("*.json"):
                file.unlink()
            if is_new:
                path.rmdir()
        raise
    except KeyboardInterrupt as stop:
        what = f"interrupted; what was finished is in {path}; go on with the same command: {before['command']}"
        raise outcome.Interrupted(what, getattr(stop, "code", 130)) from None


def _differing(before, asked):
    """(name, value before, value now) of what is asked for otherwise; of settings, their names."""
    for name, value in asked.items():
        if isinstance(value, dict):
            yield from _differing(before[name], value)
        elif value != (was := before.get(name, getattr(Settings, name, None))):  # what an older version did not know
            yield name, was, value


def once(path, name, make):
    """What `make()` gave when it was first asked for in this campaign, as JSON has it: the file `name`.json."""
    file = Path(path) / f"{name}.json"
    if not file.exists():
        if name == "campaign" and file.parent.is_dir() and any(file.parent.iterdir()):
            raise UserError(f"{str(path)!r} holds something else than a campaign: choose another --run-dir")
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(make(), indent=2) + "\n"
        with replacing(file) as partial:
            partial.write_text(text, encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def arms(path, make):
    """{arm: `Settings`} as `make()` gave them when they were first asked for in this campaign: arms.json."""
    known = once(path, "arms", lambda: {arm: dataclasses.asdict(settings) for arm, settings in make().items()})
    return {arm: Settings(**{"workers": 1} | fields) for arm, fields in known.items()}


def environment(runs):
    """Where the runs, (report, history) each, were made; what was not the same for all of them has all its values."""
    found = {}
    for report_of_run, _ in runs:
        for key, value in report_of_run["environment"].items():
            if value not in found.setdefault(key, []):
                found[key].append(value)
    found["started"] = [min(found["started"])]
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def remarks(runs):
    """What went wrong with single networks of the runs, {name: (report, history)}: {name: lines}."""
    found = {name: report.remarks(report_of_run) for name, (report_of_run, _) in runs.items()}
    return {name: lines for name, lines in found.items() if lines}


def run(path, runs, command, expected, later=()):
    """Make the runs that are not finished yet, in their order.

    Args:
        path: the campaign's folder.
        runs: {name: `Settings`}; the name is that of the run's directory.
        command: for the runs' reports.
        expected: `expected(settings)` are the seconds that such a run takes, as far as is known before there was one.
        later: further `Settings` that the campaign will come to, for the time that is left.

    Returns:
        {name: (report, history)} of all of them.
    """
    for number, (name, settings) in enumerate(runs.items(), start=1):
        run_dir = path / RUNS / name
        if rundir.finished(run_dir):
            continue
        left = seconds_left([*runs.values(), *later], _finished(path, runs), expected)
        print(f"\nRun {number} of {len(runs)}: {name}; about {duration(left)} left for the campaign", flush=True)
        if (run_dir / rundir.CONFIG).exists():
            pipeline.resume(run_dir)
        else:
            pipeline.run(dataclasses.replace(settings, run_dir=str(run_dir)), command)
        gc.collect()  # networks are circles of references, and the next run builds its own
    return {name: report.read(path / RUNS / name) for name in runs}


def seconds_left(settings, finished, expected):
    """Seconds that all runs of these `settings` take but for the `finished` ones, a list of (settings, seconds).

    A run takes what those took that differ from it by `TIMELESS` settings only, or what is `expected`.
    """
    waiting = list(settings)
    for done, _ in finished:
        waiting.remove(done)
    return sum(
        statistics.mean([seconds for done, seconds in finished if kind(done) == kind(one)] or [expected(one)])
        for one in waiting
    )


def kind(settings):
    """Settings, but for what changes nothing in how long a run takes."""
    return dataclasses.replace(settings, **TIMELESS)


def _finished(path, runs):
    done = [(settings, path / RUNS / name) for name, settings in runs.items()]
    return [(s, report.read(run_dir)[0]["seconds"]["total"]) for s, run_dir in done if rundir.finished(run_dir)]


def duration(seconds):
    """Seconds as text: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
