"""Harmless .keras files as an attacker would make them, and what it means that one is refused."""

import functools
import io
import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import pytest
from keras import layers

from keras_dd.config import UserError
from keras_dd.userfiles import load_model

TOUCH = "import os; os.close(os.open('PWNED', os.O_CREAT))"


@functools.cache
def members():
    """{name: content} of an innocent .keras file: image 4x4x1, conv, flatten, dense."""
    inputs = keras.Input((4, 4, 1), name="image")
    x = layers.Conv2D(2, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten(name="flat")(x)), name="innocent")
    with tempfile.TemporaryDirectory() as folder:
        model.save(path := Path(folder, "innocent.keras"))
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def pack(change=lambda config: None, weights=lambda file: None, **others):
    """Write bad.keras here, with `change(config)` made to its config and some members replaced or added."""
    config = json.loads(members()["config.json"])
    change(config["config"])
    stored = io.BytesIO(members()["model.weights.h5"])
    with h5py.File(stored, "a") as file:
        weights(file)
    contents = members() | {"config.json": json.dumps(config), "model.weights.h5": stored.getvalue()}
    with zipfile.ZipFile("bad.keras", "w") as archive:
        for name, content in (contents | others).items():
            archive.writestr(name, content)
    return Path("bad.keras").absolute()


def refused(path, *says, also=()):
    """One line that says so, nothing has run, and the folder is as it was; safe mode is still on."""
    folder = path.parent
    before = {str(file): file.lstat().st_mtime_ns for file in folder.parent.rglob("*")}
    with pytest.raises(UserError) as error:
        load_model(path)
    message = str(error.value)
    assert "\n" not in message and len(message) < 500 and path.name in message, message
    assert all(part in message for part in says), message
    assert {str(file): file.lstat().st_mtime_ns for file in folder.parent.rglob("*")} == before
    assert not (folder / "PWNED").exists()
    lambdas = keras.Sequential([keras.Input((1,)), layers.Lambda(lambda x: x)]).get_config()
    with pytest.raises(ValueError, match="disallowed by default"):
        keras.Sequential.from_config(lambdas)


def described(class_name, module, config, name="evil", **more):
    """A layer as it stands in config.json, behind the image."""
    inbound = [{"args": [tensor("image")], "kwargs": {}}]
    layer = {"class_name": class_name, "module": module, "registered_name": None, "config": {"name": name} | config}
    return layer | {"name": name, "inbound_nodes": inbound} | more


def tensor(name):
    history = {"shape": [None, 4, 4, 1], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def function(module, name):
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def called_by_lambda(module, name, inputs, **arguments):
    """A Lambda that calls a function which is not in the file."""
    layer = described("Lambda", "keras.layers", {"function": function(module, name), "arguments": arguments})
    return layer | {"inbound_nodes": [{"args": [], "kwargs": {"inputs": inputs}}]}


def bytecode():
    """A Lambda with code of its own, as Keras writes it."""
    lambda_ = eval(f"lambda x: (exec({TOUCH!r}), x)[1]")
    layer = keras.saving.serialize_keras_object(layers.Lambda(lambda_, name="evil"))
    return layer | {"name": "evil", "inbound_nodes": [{"args": [tensor("image")], "kwargs": {}}]}
