"""Snapshots: the state of a stage of training, so that a run that was killed goes on exactly where it was.

A snapshot holds all variables of the training model (weights, batch-norm statistics, seeds of dropout, optimizer slots
and steps, the running means of the epoch), what the other callbacks know, and the position: the epoch and the step that
come next.  Batches are a function of (seed, epoch, step), so the position is all that there is to know of the data.
"""

import hashlib
import io
import json
import time
from pathlib import Path

import keras
import numpy as np

from keras_dd.config import UserError
from keras_dd.files import replacing

FOLDER = "snapshots"  # in the run directory
KEPT = 2  # of each stage
# A snapshot that takes a second is taken every 50 s at most: 2 % of the time.
SHARE = 1 / 50


def write(folder, stage, arrays, facts):
    """Write a snapshot, remove those of the stage but the last two, and return its path.

    The file is the sha256 of the rest, a line feed, and an .npz archive of `arrays` and of `facts` as JSON.
    """
    content = io.BytesIO()
    facts = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(content, facts=facts, **{str(number): array for number, array in enumerate(arrays)})
    content = content.getbuffer()
    return keep(folder, stage, hashlib.sha256(content).hexdigest().encode() + b"\n", content)


def keep(folder, stage, *content):
    """Write the bytes of a snapshot as the newest of a stage, remove the others but one, and return its path."""
    earlier = files(folder, stage)
    folder.mkdir(exist_ok=True)
    number = int(earlier[-1].stem.rpartition("-")[2]) + 1 if earlier else 1
    path = folder / f"{stage}-{number:06}.snapshot"
    with replacing(path) as partial, open(partial, "wb") as file:
        file.writelines(content)
    for old in earlier[: 1 - KEPT]:
        old.unlink()
    return path


def read(path):
    """(arrays, facts) of a snapshot; None if the file is torn or was altered."""
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = [archive[str(number)] for number in range(len(archive.files) - 1)]
        return arrays, json.loads(archive["facts"].tobytes())


def newest(folder, stage):
    """(arrays, facts) of the newest sound snapshot of a stage, or None.  Says so where it is not the newest file."""
    for path in reversed(files(folder, stage)):
        found = read(path)
        if found:
            return found
        print(f"Snapshot {path} is torn or was altered: going back to the one before")
        path.unlink()
    return None


def find(folder, stage, run):
    """`newest`, or UserError where it was taken by a run with another mark than `run`."""
    found = newest(folder, stage)
    if found and found[1]["run"] != run:
        raise UserError(
            f"the snapshots in {folder} were not taken with this config.json: put it back, or start another run"
        )
    return found


def files(folder, stage):
    """The snapshots of a stage, the oldest first."""
    return sorted(Path(folder).glob(f"{stage}-*.snapshot"))


def variables(model):
    """All that a training step of `model` reads and changes, but for the batch: the same list in every process."""
    owners = [model, *getattr(model, "optimizers", [model.optimizer]), *model.metrics]
    return list({id(variable): variable for owner in owners for variable in owner.variables}.values())


class Snapshots(keras.callbacks.Callback):
    """Takes snapshots of a stage while it trains, and goes on from the newest one.

    Args:
        folder: where the snapshots lie.
        stage: its name, "subnets" or "finetune".
        epochs: of the stage.
        watchers: callbacks with `state() -> (facts, arrays)` and `restore(facts, arrays)`, called before this one.
        run: the mark of the run, which its snapshots carry.
        every: seconds between snapshots, or more where one takes longer than `SHARE` of that.
        stop: a `signals.Stop`.
        taken: `taken(path)` is called for each snapshot.

    Attributes:
        start: (epoch, step), from 0, where training is to go on.
    """

    def __init__(self, folder, stage, epochs, watchers, run, every, stop, taken=None):
        super().__init__()
        self.folder, self.stage, self.epochs, self.watchers = Path(folder), stage, epochs, watchers
        self.run, self.every, self.stop, self.taken = run, every, stop, taken or (lambda path: None)
        self.seconds, self.last = 0.0, time.perf_counter()  # what one takes, and when it was taken
        self.found, self.start = find(self.folder, stage, run), (0, 0)
        if self.found:
            self.start = tuple(self.found[1]["position"])
            epoch, step = self.start
            if epoch < epochs:
                print(f"Going on in epoch {epoch + 1}, {step} steps into it")

    def on_train_begin(self, logs=None):
        if self.found:
            arrays, facts = self.found
            own, *theirs = facts["counts"]
            for variable, array in zip(variables(self.model), arrays[:own], strict=True):
                variable.assign(array)
            for watcher, count, known in zip(self.watchers, theirs, facts["watchers"], strict=True):
                watcher.restore(known, arrays[own : own + count])
                own += count

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.steps_before = self.start[1] if self.found else 0
        if self.steps_before:  # the epoch's means, which Keras has set back by now
            self.on_train_begin()
        self.found = None

    def on_train_batch_end(self, batch, logs=None):
        self.stop.waits = True  # from here on there is something to keep
        step = self.steps_before + batch + 1
        if batch + 1 < self.params["steps"]:  # the end of an epoch comes after its evaluation
            self._take_if_due(self.epoch, step)

    def on_epoch_end(self, epoch, logs=None):
        over = epoch + 1 == self.epochs or self.model.stop_training
        after = self.epochs if over else epoch + 1
        again = getattr(self.model, "again", None)  # as `divergence.Guard` wants it
        self._take_if_due(after if again is None else again, 0, now=over)

    def on_train_end(self, logs=None):
        self.stop.waits = False

    def _take_if_due(self, *position, now=False):
        now = now or self.stop.noted is not None
        if now or time.perf_counter() - self.last >= max(self.every, self.seconds / SHARE):
            self._take(position)
        self.stop.check()

    def _take(self, position):
        start = time.perf_counter()
        known = [watcher.state() for watcher in self.watchers]
        own = [_plain(variable) for variable in variables(self.model)]
        arrays = [own, *(list(map(_plain, theirs)) for _, theirs in known)]
        facts = {
            "run": self.run,
            "position": position,
            "counts": [len(some) for some in arrays],
            "watchers": [facts for facts, _ in known],
        }
        try:
            self.taken(write(self.folder, self.stage, [array for some in arrays for array in some], facts))
        except OSError as error:
            print(f"No snapshot could be written ({error.strerror or error}): the one before stays, training goes on")
        self.last = time.perf_counter()
        self.seconds = self.last - start


def _plain(value):
    """A variable or an array in a type that .npz knows: float32 holds all of bfloat16."""
    array = keras.ops.convert_to_numpy(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
