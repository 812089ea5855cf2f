"""userfiles.py: own models from .keras files come back as they were, and nothing that would run foreign code does."""

import json
import zipfile

import keras
import numpy as np
import pytest
import support
from conftest import randomize
from keras import layers

from keras_dd.config import UserError
from keras_dd.userfiles import load_model


def saved(tmp_path, model, name="mine.keras"):
    model.save(tmp_path / name)
    return tmp_path / name


def edited(path, change):
    """The same file with `change(config)` made to its config.json."""
    target = path.with_name("edited.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            new.writestr(member, content)
    return target


def test_a_model_comes_back_with_its_weights(tmp_path, rng):
    """Compiled, with an inner model, operations, constants, a regularizer and a mixed dtype."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="gelu", kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    x = keras.ops.relu(x) * keras.ops.ones((4,))
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.BatchNormalization(dtype="mixed_bfloat16")])
    inner.compile("adam", "mse")
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.5, seed=1)(inner(x)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # its slots are in the file too
    images = rng.uniform(0, 255, (4, 8, 8, 3))
    randomize(model, rng)
    again = load_model(saved(tmp_path, model))
    assert not again.compiled
    assert np.array_equal(again(images, training=False), model(images, training=False))


def test_a_lambda_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Lambda(lambda x: x, name="evil")])
    with pytest.raises(UserError, match=r"refused for 'evil' \(Lambda\): it would run code") as error:
        load_model(saved(tmp_path, model))
    assert "\n" not in str(error.value)


def test_a_layer_of_ones_own_is_refused(tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Doubled(layers.Layer):
        def call(self, x):
            raise AssertionError("never called by loading") if getattr(x, "secret", False) else None
            return 2 * x

    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten()])
    path = saved(tmp_path, model)
    described = keras.saving.serialize_keras_object(Doubled(name="twice"))
    with pytest.raises(UserError, match="refused for 'twice'"):
        load_model(edited(path, lambda config: config["config"]["layers"].append(described)))


@pytest.mark.parametrize(
    "foreign",
    [
        {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "exec"},
        {"class_name": "system", "module": "os", "config": {}, "registered_name": None},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/tmp"}, "registered_name": None},
        {"class_name": "__lambda__", "config": {"value": "4wAAAA"}},
        {"class_name": "__typespec__", "module": "os", "spec_name": "system", "registered_name": None, "config": []},
        {"class_name": "Conv2D", "module": "keras.layers", "config": {}, "registered_name": "mine>Conv2D"},
        {"class_name": ["Conv2D"], "module": "keras.layers", "config": {}},
    ],
)
def test_whatever_names_other_code_is_refused_wherever_it_stands(foreign, tmp_path):
    path = saved(tmp_path, support.network())
    with pytest.raises(UserError, match="is refused for") as error:
        load_model(edited(path, lambda config: config["config"]["layers"][2]["config"].update(activation=foreign)))
    assert "\n" not in str(error.value)


def test_what_is_no_model_is_explained_in_one_line(tmp_path):
    good = saved(tmp_path, support.network())
    content = good.read_bytes()
    cases = {
        "gone.keras": None,
        "model.h5": content,
        "half.keras": content[: len(content) // 2],
        "text.keras": b"hello",
    }
    for name, written in cases.items():
        if written is not None:
            (tmp_path / name).write_bytes(written)
        with pytest.raises(UserError, match=f"{name}'") as error:
            load_model(tmp_path / name)
        assert "\n" not in str(error.value)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb, zipfile.ZipFile(good) as sound:
        bomb.writestr("config.json", sound.read("config.json"))
        bomb.writestr("model.weights.h5", bytes(2**26))
    with pytest.raises(UserError, match="more than the model needs"):
        load_model(tmp_path / "bomb.keras")
