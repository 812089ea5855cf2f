"""The memory that training takes at its peak, measured rather than estimated.  Linux only, in the CPU's memory.

Each network is trained in a process of its own, `python -m keras_dd.peak`: what that one grows by is the training's.
"""

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keras_dd.config import Settings
from keras_dd.recipes import RECIPES

STATUS = Path("/proc/self/status")
STEPS = 4


def of_training(settings, image_shape, classes):
    """Bytes by which a process grows in training, from the built networks and the loaded images to the peak.

    Args:
        settings: `Settings` of the run; its images are noise here, so that nothing is loaded.
        image_shape: (H, W, C)
        classes: their number.

    Returns:
        {"full": bytes} and, by decomposition, "subnets" (all at once) and "subnet" (one alone); nothing where it cannot
        be measured: there is no /proc, or a process has ended by itself.
    """
    if not STATUS.exists():
        return {}
    networks = ("full", "subnets", "subnet") if settings.method == "decomposition" else ("full",)

    def measured(network):
        asked = json.dumps([network, dataclasses.asdict(settings), image_shape, classes])
        command = [sys.executable, "-m", "keras_dd.peak"]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    try:
        with ThreadPoolExecutor() as at_once:  # the peaks are each process' own, however many there are
            return dict(zip(networks, at_once.map(measured, networks), strict=True))
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().rpartition("\n")[2]
        print(f"Memory cannot be measured here, and is estimated (code {error.returncode}: {last})", flush=True)
        return {}


def growth(work):
    """Bytes by which this process is larger at its peak in `work()` than it is before."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    work()
    return resident("VmHWM") - before


def resident(key):
    """Bytes of this process in memory: "VmRSS" now, "VmHWM" at the peak."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(key)]
    return 1024 * int(line.split()[1])


def _trained(network, settings, image_shape, classes):
    """The growth of this process, in which nothing was trained before."""
    import numpy as np

    from keras_dd import data, train
    from keras_dd.decomposition import Decomposition
    from keras_dd.job import prepare
    from keras_dd.refusals import DATASET_FIELDS

    count = max(classes, settings.batch_size or RECIPES[settings.recipe].batch_size, 512)
    labels = np.arange(count, dtype=np.int32) % classes
    images = np.random.default_rng(0).integers(0, 256, (count, *image_shape), dtype=np.uint8)
    noise = data.Split(images, labels)
    own = {name: getattr(Settings, name) for name in (*DATASET_FIELDS, "train_images")}
    settings = dataclasses.replace(settings, **own, dataset="noise")
    job = prepare(settings, dataset=data.Dataset("noise", noise, noise, None, tuple(map(str, range(classes))), ()))
    rest = dataclasses.replace(next(iter(job.stages.values())), epochs=1), job.batches, STEPS, None, job.devices, []
    if network == "full":
        return growth(lambda: train.fit_full(job.model, *rest))
    parts = job.parts if network == "subnets" else Decomposition(job.parts[:1], job.parts.boxes[:1])
    return growth(lambda: train.fit_subnets(parts, *rest))


if __name__ == "__main__":
    network, settings, image_shape, classes = json.load(sys.stdin)
    settings["grid"] = settings["grid"] and tuple(settings["grid"])
    print(_trained(network, Settings(**settings), image_shape, classes))
