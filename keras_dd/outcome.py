"""What a run leaves to tell: what is known before it starts, its clocks, and a report however it ends."""

import dataclasses
import time
from contextlib import contextmanager

from keras_dd import clocks, cost, html_report, report, rundir


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run; the message says where what was finished lies, `code` is the exit code."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


def opening(job, command, run_dir):
    """What can be said of a run before it starts; the keys of the accuracies follow as they are measured."""
    dataset, settings = job.dataset, dataclasses.asdict(job.settings)
    networks = {"full": job.model} | ({"subnet": job.parts[0]} if job.parts else {})
    return {
        "command": command,
        "run_dir": str(run_dir),
        "settings": settings | {"grid": job.settings.grid and list(job.settings.grid)},  # as JSON has it
        "environment": rundir.environment() | {"devices": list(job.devices)},
        "dataset": {
            "name": dataset.name,
            "train": len(dataset.train),
            "validation": len(dataset.validation or ()),
            "test": len(dataset.test),
            "classes": len(dataset.classes),
            "image_shape": list(dataset.image_shape),
            "chance": 1 / len(dataset.classes),
            "notes": list(dataset.notes),
        },
        "boxes": [[box.top, box.left, box.height, box.width] for box in job.parts.boxes] if job.parts else [],
        "parameters": {name: network.count_params() for name, network in networks.items()},
        "macs": {name: cost.macs(network) for name, network in networks.items()}
        | ({"subnets": sum(map(cost.macs, job.parts))} if job.parts else {}),
        "evaluated_on": job.evaluated_on,
        "seconds": {},
    }


@contextmanager
def stage(results, name):
    """Times a stage, and names it in the report if the run ends in it or behind it."""
    start = time.perf_counter()
    results["interrupted"] = name
    try:
        yield
    finally:
        results["seconds"][name] = results["seconds"].get(name, 0) + time.perf_counter() - start


@contextmanager
def reported(results, recorders, run_dir, started, split):
    """Writes the report, with images of this split, however the run ends.

    If that fails too, as on a full disk, what ended the run is told.
    """

    def write():
        seconds = results["seconds"]
        for stage, recorder in recorders.items():
            if stage in seconds:  # the clock of a training stage stands still while it is evaluated
                seconds[stage] += recorder.earlier - recorder.evaluation_seconds
                seconds["evaluate"] = seconds.get("evaluate", 0) + recorder.evaluation_seconds
        seconds["total"] = time.perf_counter() - started + sum(recorder.earlier for recorder in recorders.values())
        results["divergences"] = [each for recorder in recorders.values() for each in recorder.divergences]
        results["tasks"] = {name: task for recorder in recorders.values() for name, task in recorder.tasks.items()}
        results["clocks"] = clocks.summary(results, history(recorders))
        report.write(run_dir, results, history(recorders))
        html_report.write(run_dir, results, history(recorders), split)  # it reads images again, which may be gone

    try:
        yield
    except BaseException as ending:
        where = f"what was finished, with the report, is in {run_dir}"
        try:
            write()
        except (Exception, KeyboardInterrupt) as failure:
            where = f"what was finished is in {run_dir}, without a report ({failure!r})"
        if isinstance(ending, KeyboardInterrupt):
            what = (
                f"interrupted in stage {results['interrupted']!r}; {where}; go on with keras-dd fit --resume {run_dir}"
            )
            raise Interrupted(what, getattr(ending, "code", 130)) from None
        ending.add_note(where)
        raise
    results["interrupted"] = None
    write()


def history(recorders):
    return [row for recorder in recorders.values() for row in recorder.rows]
