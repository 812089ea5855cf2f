"""Whether a long run stays as small as it began: `python tests/hygiene.py` trains and writes figures/hygiene.json.

200 epochs of the small network, sub-networks and fine-tuning, and 20 whole runs in one process; resident memory,
threads and open files are read from /proc as it goes.  Takes some ten minutes on two cores.
"""

import gc
import json
import os
import sys
import tempfile
from pathlib import Path

import keras

from keras_dd import rundir

EPOCHS, RUNS = 200, 20
WARM_UP = 0.25  # of the way: until then tracing, thread pools and allocators fill up
GROWTH = 1.05
NAMES = "threads", "open files"


def usage():
    """Resident bytes, threads and open files of this process."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "rss": resident,
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
    }


def epochs(network, dataset, count, folder, **settings):
    """The usage after each epoch of both stages of one run."""
    import keras_dd
    from keras_dd import pipeline

    seen = []

    class Watched(pipeline.Recorder):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append(usage())

    recorder, pipeline.Recorder = pipeline.Recorder, Watched
    try:
        lasting = {"subnet_epochs": count // 2, "epochs": count // 2}
        keras_dd.fit(network, dataset, overlap=8, **lasting, run_dir=str(folder), **settings)
    finally:
        pipeline.Recorder = recorder
    return seen


def runs(network, dataset, count, folder, **settings):
    """The usage after each of `count` runs."""
    import keras_dd

    seen = []
    for number in range(count):
        where = str(folder / str(number))
        keras_dd.fit(network(), dataset, overlap=8, subnet_epochs=1, epochs=1, run_dir=where, **settings)
        keras.backend.clear_session()  # Keras keeps every graph until told
        seen.append(usage())
    return seen


def growth(seen, what="rss"):
    """The last fifth, at its median, against the same behind the warm-up."""
    values = [each[what] for each in seen][int(WARM_UP * len(seen)) :]
    fifth = max(1, len(values) // 5)
    first, last = sorted(values[:fifth]), sorted(values[-fifth:])
    return last[len(last) // 2] / first[len(first) // 2]


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    import support

    dataset = support.digits(train=256, test=64)
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "epochs": epochs(support.network(), dataset, EPOCHS, Path(folder) / "long"),
            "runs": runs(support.network, dataset, RUNS, Path(folder) / "many"),
        }
        size = sum(file.stat().st_size for file in (Path(folder) / "long").rglob("*") if file.is_file())
    summary = {
        "growth of memory, epochs": round(growth(results["epochs"]), 4),
        "growth of memory, runs": round(growth(results["runs"]), 4),
        "threads, first and last run": [results["runs"][i]["threads"] for i in (1, -1)],
        "open files, first and last run": [results["runs"][i]["files"] for i in (1, -1)],
        f"bytes left by {EPOCHS} epochs": size,
    }
    about = {"command": "python tests/hygiene.py", "environment": rundir.environment()}
    path = Path(__file__).parents[1] / "figures" / "hygiene.json"
    path.write_text(json.dumps(about | {"summary": summary, **results}, indent=1) + "\n")
    print(json.dumps(summary, indent=2))
    still = all(
        summary[f"{what}, first and last run"][0] >= summary[f"{what}, first and last run"][1] for what in NAMES
    )
    return not still or any(summary[f"growth of memory, {what}"] > GROWTH for what in ("epochs", "runs"))


if __name__ == "__main__":
    sys.exit(main())
