"""What very deep FastResNets cost to build and to train: `python figures/deep.py` writes figures/deep.json.

The three blocks at depth 668, and what recomputation saves and costs.  Linux only.  Every case runs in a process of
its own; some 20 minutes.
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

OUTPUT = Path(__file__).with_suffix(".json")
BATCH_SIZE, IMAGE_SHAPE, CLASSES = 128, (32, 32, 3), 10
# (block, with recomputation)
CASES = [("basic", False), ("type1", False), ("type1", True), ("type2", False)]
STEPS = 2  # that are timed, after the first


def measure(depth, block, recomputed):
    """Seconds of each part, and the MiB of the process at its peak, with TensorFlow and Python in them."""
    import numpy as np

    from keras_dd import accelerate, cost, models, optimizer, peak, recompute, train
    from keras_dd.recipes import FASTRESNET

    def timed(work, *args):
        start = time.perf_counter()
        return work(*args), time.perf_counter() - start

    model, build = timed(lambda: models.fastresnet(depth, classes=CLASSES, image_shape=IMAGE_SHAPE, block=block))
    network, copy = timed(accelerate, model)
    if recomputed:
        network = recompute(network)
    train.compile_full(network, optimizer.make(FASTRESNET, 390))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH_SIZE, *IMAGE_SHAPE), dtype=np.uint8)
    batch = images, random.integers(0, CLASSES, BATCH_SIZE, dtype=np.int32)
    before = peak.resident("VmRSS")
    _, first = timed(network.train_on_batch, *batch)
    each = [timed(network.train_on_batch, *batch)[1] for _ in range(STEPS)]
    return {
        "depth": depth,
        "block": block,
        "recomputed": recomputed,
        "parameters": model.count_params(),
        "build, s": build,
        "copy with fused batch norm, s": copy,
        "first step with tracing, s": first,
        "steps, s": each,
        "peak of the process, MiB": peak.resident("VmHWM") / cost.MIB,
        "growth in training, MiB": (peak.resident("VmHWM") - before) / cost.MIB,
        "growth as estimated without recomputation, MiB": cost.training_bytes([network], BATCH_SIZE) / cost.MIB,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--depth", type=int, default=668, help="6n + 2 (default 668)")
    depth = parser.parse_args().depth

    from keras_dd import rundir

    about = {"command": " ".join(["python figures/deep.py", *sys.argv[1:]]), "batch_size": BATCH_SIZE, "width": 16}
    about |= {"environment": rundir.environment(), "results": []}
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            about["results"].append(process.apply(measure, (depth, *case)))
        print(json.dumps(about["results"][-1]), flush=True)
        OUTPUT.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")  # each takes minutes


if __name__ == "__main__":
    main()
