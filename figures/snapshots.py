"""What a snapshot of ResNet-20 costs against an epoch on CIFAR: `python figures/snapshots.py` writes snapshots.json."""

import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from keras_dd import data, rundir, snapshot, train
from keras_dd.divergence import Guard
from keras_dd.models import MODELS
from keras_dd.recipes import Stage
from keras_dd.recorder import Recorder
from keras_dd.signals import Stop

STEPS, BATCH_SIZE, STEPS_OF_AN_EPOCH = 20, 128, 50_000 // 128


class Clock(keras.callbacks.Callback):
    """Seconds of each step, and of the snapshot behind it."""

    def __init__(self, snapshots):
        super().__init__()
        self.snapshots, self.steps, self.taken = snapshots, [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.taken.append(self.snapshots.seconds)  # of the one behind the step before
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(time.perf_counter() - self.began - self.snapshots.seconds)


def main():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (STEPS * BATCH_SIZE, 32, 32, 3), dtype=np.uint8)
    split = data.Split(images, random.integers(0, 10, len(images), dtype=np.int32))
    recorder = Recorder(["full"], "test")
    watchers = [recorder, Guard(recorder, "retry", epochs=1)]
    snapshot.SHARE = math.inf  # one behind each step, whatever it takes
    with tempfile.TemporaryDirectory() as folder, Stop() as stop:
        snapshots = snapshot.Snapshots(Path(folder), "finetune", 1, watchers, "a run", 0, stop)
        clock = Clock(snapshots)
        train.fit_full(
            MODELS["resnet20"](width=16, classes=10, image_shape=(32, 32, 3)),
            Stage(1, 1e-3),
            lambda epoch, step: data.training_batches(split, BATCH_SIZE, first_epoch=epoch, first_step=step),
            STEPS,
            None,
            ("CPU:0",),
            [*watchers, snapshots, clock],
            a_call=1,
        )
        size = max(path.stat().st_size for path in Path(folder).iterdir())
    step, taken = statistics.median(clock.steps[1:]), statistics.median(clock.taken[1:])
    result = {
        "command": "python figures/snapshots.py",
        "what": "a snapshot of resnet20, width 16, against an epoch of 390 steps of 128 images",
        "bytes": size,
        "seconds of a snapshot": taken,
        "seconds of a step": step,
        "share of an epoch": taken / (STEPS_OF_AN_EPOCH * step),
        "environment": rundir.environment(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
