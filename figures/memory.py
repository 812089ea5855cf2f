"""Measure training's memory against `cost.training_bytes`: `python figures/memory.py` writes figures/memory.json.

Linux only.  Every case runs in a process of its own.
"""

import json
import multiprocessing
from pathlib import Path

OUTPUT = Path(__file__).with_suffix(".json")
IMAGE_SHAPE, CLASSES, STEPS = (32, 32, 3), 10, 4
# (model, width, batch size, dtype, networks at once: 1 full one, or that many sub-networks)
CASES = [
    (model, width, batch_size, dtype, at_once)
    for model, width, batch_size in (
        ("resnet20", 16, 256),
        ("resnet8", 32, 256),
        ("cnn", 32, 1024),
        ("resnet14", 24, 192),
    )
    for dtype in ("float32", "bfloat16")
    for at_once in (1, 4)
]


def networks(model, width, dtype, at_once):
    """A `Decomposition` of that many parts; for 1, the full network on the whole image."""
    from keras_dd import devices
    from keras_dd.decomposition import decompose
    from keras_dd.models import MODELS

    with devices.computing_in(dtype):
        return decompose(MODELS[model](width, CLASSES, IMAGE_SHAPE), at_once)


def estimate(model, width, batch_size, dtype, at_once):
    """MiB that the plan tells."""
    from keras_dd import cost

    return cost.training_bytes(networks(model, width, dtype, at_once), batch_size) / cost.MIB


def measure(model, width, batch_size, dtype, at_once):
    """MiB by which the process grows in training: from the built networks and the loaded images to the peak."""
    import numpy as np

    from keras_dd import cost, data, peak, train
    from keras_dd.recipes import Stage
    from keras_dd.recorder import Recorder

    nets = networks(model, width, dtype, at_once)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, *IMAGE_SHAPE), dtype=np.uint8)
    split = data.Split(images, random.integers(0, CLASSES, batch_size, dtype=np.int32))
    rest = Stage(STEPS, 1e-3), lambda *start: data.training_batches(split, batch_size, crop=4), 1, None, ("CPU:0",)
    if at_once == 1:
        grown = peak.growth(lambda: train.fit_full(nets[0], *rest, [Recorder(["full"], "test")]))
    else:
        recorder = Recorder([f"subnet {k}" for k in range(at_once)], "test")
        grown = peak.growth(lambda: train.fit_subnets(nets, *rest, [recorder]))
    return grown / cost.MIB


def main():
    from keras_dd import rundir

    results = []
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            told, measured = process.apply(estimate, case), process.apply(measure, case)
        names = dict(zip(("model", "width", "batch_size", "dtype", "at_once"), case, strict=True))
        results.append(names | {"estimated": round(told), "measured": round(measured), "ratio": told / measured})
        print(results[-1], flush=True)
    about = {"command": "python figures/memory.py", "unit": "MiB", "environment": rundir.environment()}
    OUTPUT.write_text(json.dumps(about | {"results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
