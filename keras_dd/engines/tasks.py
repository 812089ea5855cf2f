"""Some networks and all that their training needs, as plain data; and the work on them, in a process of its own.

A task is a dictionary of numbers, text and arrays: no object of Keras, so that it can go to any machine that has this
package.  The images are not in it: each process reads them where the settings say, and makes sure that they are those
of the run.  Only a data set that was handed over as an object travels, and to workers of this machine one in memory.
"""

import contextlib
import dataclasses
import io
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_dd import devices
from keras_dd.boxes import Box
from keras_dd.config import DATASETS, Settings, UserError
from keras_dd.data import Dataset, Split
from keras_dd.decomposition import Decomposition
from keras_dd.engines.local import trainer
from keras_dd.graph import seeds, settle
from keras_dd.job import Job, images, seed
from keras_dd.recorder import Recorder
from keras_dd.recursion import deep
from keras_dd.signals import Stop


def task(job, stage, networks, boxes, mark, tells_every=None):
    """What a process needs for the training of some sub-networks, or of the full network.

    Args:
        job, stage: of the run, and a key of `job.stages`.
        networks: {name: network}, the names as in history.csv.
        boxes: of the sub-networks; None for the full network.
        mark: of the run, which snapshots carry.
        tells_every: seconds from one message on how many steps are done to the next; None: there are none.
    """
    return {
        "name": title(list(networks)),
        "stage": stage,
        "settings": _from_anywhere(dataclasses.asdict(job.settings)),
        "networks": {name: packed(network) for name, network in networks.items()},
        "boxes": boxes and [dataclasses.astuple(box) for box in boxes],
        "mark": mark,
        "tells_every": tells_every,
        "images": job.dataset.train.mark,
    }


def own_data(job, also_named=False):
    """The data set that was handed to the run as an object, as plain data; None if it was asked for by name.

    With `also_named`, one that was asked for by name too, where its images are held in memory.

    Raises:
        UserError: one whose images are not held in memory.
    """
    dataset = job.dataset
    splits = {name: getattr(dataset, name) for name in ("train", "test", "validation")}
    held = all(isinstance(split, Split | None) for split in splits.values())
    if not job.own_data and not (also_named and held):
        return None
    for name, split in splits.items():
        if not isinstance(split, Split | None):
            raise UserError(
                f"the {name} split of {dataset.name!r} is decoded as it is drawn, and engine {job.settings.engine} "
                "sends images that are held: ask for the data set by name, or use the engine local"
            )
    facts = {"name": dataset.name, "classes": list(dataset.classes), "notes": list(dataset.notes)}
    return facts | {name: split and (split.images, split.labels) for name, split in splits.items()}


def packed(network):
    """A functional network as plain data: its config as JSON, its weights, and the seeds of its random layers."""
    return {
        "config": network.to_json(),
        "weights": network.get_weights(),
        "seeds": [keras.ops.convert_to_numpy(state) for state in seeds(network)],
    }


@deep()
def unpacked(given):
    """The network that was `packed`.

    Raises:
        UserError: a layer whose class this process does not know.
    """
    try:
        network = keras.models.model_from_json(given["config"])
    except (TypeError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the network cannot be built on {platform.node()} ({reason}): layers of your own must be in a module that "
            "can be imported there"
        ) from error
    network.set_weights(given["weights"])
    for state, value in zip(seeds(network), given["seeds"], strict=True):
        state.assign(value)
    settle(network)
    return network


def work(given, data, cpus, gpus, folder, send, taken=None, stop=None):
    """Do a task, in a process that has done nothing with TensorFlow before.

    Args:
        given: a `task`.
        data: of `own_data`.
        cpus: threads to compute with; None: one a core that the process may use.
        gpus: whether the GPUs that the process sees are its own.
        folder: where its snapshots lie; it goes on from the last one.
        send: `send(kind, content)` tells the process that started the task: "begun" with facts, "said" with a line,
            "steps" with how many are done, and "state" with what the recorder knows, when an epoch ends.
        taken: of `snapshot.Snapshots`.
        stop: a `signals.Stop` that this process is in, if it is.

    Returns:
        {"weights", a list a network, "state"} of what was trained; or, in place of a `UserError`, its message.
    """
    try:
        with contextlib.redirect_stdout(Lines(send)):
            return _work(given, data, cpus, gpus, Path(folder), send, taken, stop)
    except UserError as mistake:
        return str(mistake)


def sharing(names, batch_size):
    """As many of these devices as can share a batch equally: which machine it is to be was not known before."""
    return names[: max(count for count in range(1, len(names) + 1) if batch_size % count == 0)]


def title(names):
    """The name of a task of some networks, which follow one another: "subnet 1", or "subnet 1 to 4"."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1].rpartition(' ')[2]}"


def label(name):
    """The name of a task in names of files: "subnet1to4"."""
    return name.replace(" ", "")


def learned(job, given, folder, send=lambda kind, content: None, taken=None, stop=None):
    """What `work` returns, of a task whose job is known here."""
    recorder, name = Recorder(list(given["networks"]), job.evaluated_on), label(given["name"])
    telling = [Teller(recorder, send, given["tells_every"])]
    trained = trainer(job, given["stage"], name, recorder, stop or Stop(), folder, given["mark"], telling, taken)
    networks = tuple(map(unpacked, given["networks"].values()))
    if given["boxes"]:
        networks = trained(Decomposition(networks, tuple(Box(*box) for box in given["boxes"])))
    else:
        networks = [trained(*networks)]
    return {"weights": [network.get_weights() for network in networks], "state": recorder.state()[0]}


def _work(given, data, cpus, gpus, folder, send, taken, stop):
    if cpus:
        tf.config.threading.set_intra_op_parallelism_threads(cpus)
        tf.config.threading.set_inter_op_parallelism_threads(cpus)
    settings = Settings(**given["settings"])
    names = sharing(devices.pick() if gpus else devices.only_cpu(), settings.batch_size)
    seed(settings)
    job = Job(settings, images(settings, data and _dataset(data)), None, None, names)
    if job.dataset.train.mark != given["images"]:
        raise UserError(
            f"the training images of {settings.dataset!r} on {platform.node()} are not those of the run: give all "
            "machines the same files"
        )
    send("begun", {"host": platform.node(), "process": os.getpid(), "devices": list(names)})
    return learned(job, given, folder, send, taken, stop)


def _from_anywhere(settings):
    """Settings whose paths hold in any folder."""
    name = "data_dir" if settings["data_dir"] else "dataset"
    path = Path(settings[name]).expanduser()
    is_path = name == "data_dir" or (path.is_dir() and settings[name] not in DATASETS)
    return settings | {name: str(path.resolve())} if is_path else settings


def _dataset(data):
    splits = {name: data[name] and Split(*map(np.asarray, data[name])) for name in ("train", "test", "validation")}
    return Dataset(data["name"], **splits, classes=tuple(data["classes"]), notes=tuple(data["notes"]))


class Teller(keras.callbacks.Callback):
    """Tells now and then how many steps are done, and when an epoch ends what a `Recorder`, called before, knows."""

    def __init__(self, recorder, send, every):
        super().__init__()
        self.recorder, self.send, self.every, self.told = recorder, send, every, 0.0

    def on_train_batch_end(self, batch, logs=None):
        if self.every and time.perf_counter() - self.told > self.every:
            self._tell_steps()

    def on_epoch_end(self, epoch, logs=None):
        self.send("state", self.recorder.state()[0])
        if self.every:
            self._tell_steps()

    def _tell_steps(self):
        self.told = time.perf_counter()
        self.send("steps", int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)))


class Lines(io.TextIOBase):
    """A stdout that sends each line when it is whole."""

    def __init__(self, send):
        super().__init__()
        self.send, self.rest = send, ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(str.strip, lines):
            self.send("said", line)
        return len(text)
