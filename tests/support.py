"""What the tests share: a small data set of real images, small networks, and processes of their own."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_dd
from keras_dd import data

HERE = Path(__file__).parent
KERAS_DD = Path(sys.executable).with_name("keras-dd")


def digits(train=256, test=100):
    """The first digits of both splits."""
    whole = data.load("digits")
    parts = {"train": whole.train, "test": whole.test}
    parts = {
        name: data.Split(parts[name].images[:count], parts[name].labels[:count])
        for name, count in (("train", train), ("test", test))
    }
    return data.Dataset("few digits", **parts, validation=None, classes=whole.classes)


def network(width=8, norm=True, activation=None, image_shape=(32, 32, 1), classes=10):
    """3x3 / 4, [BN,] ReLU, 3x3 / 2, ReLU, pool, dense: cheap to trace."""
    x = inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Conv2D(width, 3, strides=4, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(momentum=0.9, name="bn")(x) if norm else x
    x = layers.ReLU()(x)
    x = layers.Conv2D(2 * width, 3, strides=2, padding="same", activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation=activation, name="head")(x), name="mine")


def untrained(model, dataset, run_dir, parts=2):
    """A run of no epochs: all stages, in a second or two."""
    return keras_dd.fit(model, dataset, parts=parts, overlap=8, subnet_epochs=0, epochs=0, run_dir=str(run_dir))


def put_archive(data_dir, name, files):
    """The archive that TFDS's own builder of `name` would have downloaded, at the place where it looks first."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import resource

    [(url, info)] = tfds.builder(name, data_dir=data_dir).url_infos.items()
    path = data_dir / "downloads" / name / resource.get_dl_fname(url, info.checksum)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".INFO").write_text(json.dumps({"urls": [url], "original_fname": info.filename}))
    with tarfile.open(path, "w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def weights_differ(first, second):
    """The largest difference between the weights of two models."""
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return max(float(np.max(np.abs(a - b))) for a, b in pairs)


def start(*command, out, **environment):
    """Start a process that writes stdout and stderr to `out`.stdout and `out`.stderr, and that Ctrl-C can stop."""
    with open(f"{out}.stdout", "w") as stdout, open(f"{out}.stderr", "w") as stderr:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would pass on "ignore"
        try:
            environment = {**os.environ, **environment}
            return subprocess.Popen([*map(str, command)], stdout=stdout, stderr=stderr, env=environment)
        finally:
            signal.signal(signal.SIGINT, before)


def read(out):
    """What a process of `start` wrote: (stdout, stderr)."""
    return Path(f"{out}.stdout").read_text(), Path(f"{out}.stderr").read_text()


def gap(first, second):
    """The largest difference between two lists of networks."""
    return max(weights_differ(a, b) for a, b in zip(first, second, strict=True))


# What travels.


def assert_alike(first, second):
    """The rows of two histories are the same but for their seconds, and an image or two."""
    for row, other in zip(first, second, strict=True):
        assert row == pytest.approx(other | {"seconds": row["seconds"]}, abs=0.02)


class Killer(io.StringIO):
    """A stdout that kills the worker of the first sub-network, and of those beside it, when its second epoch begins."""

    killed = None

    def write(self, text):
        super().write(text)
        begun = re.search(r"^(subnet 1( to \d)?): on .*, process (\d+)$", self.getvalue(), re.MULTILINE)
        if begun and not self.killed and f"{begun[1]}: Epoch 2/" in self.getvalue():
            self.killed = int(begun[3])
            os.kill(self.killed, signal.SIGKILL)
        return len(text)


def script(name):
    """A script of the folder figures, as a module."""
    path = HERE.parent / "figures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
