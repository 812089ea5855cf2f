"""A user's own model, read from a .keras file that is not trusted: no code of the file, or named by it, ever runs.

A .keras file is a zip of config.json, which names classes and functions to call, and of weights.  Only what the walk
can carry is called: the classes in `rules.RULES`, and Keras's own initializers, regularizers, constraints and dtype
policies.  The rest is refused before Keras sees it.
"""

import copy
import json
import math
import tempfile
import zipfile
from pathlib import Path

import keras
from keras.src.backend.common import global_state

from keras_dd.config import UserError
from keras_dd.recursion import deep
from keras_dd.rules import RULES

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
# A network of thousands of layers has a config of some MB.
CONFIG_BYTES = 64 * 2**20

# Plain values; Keras's "__lambda__" and "__typespec__" are not among them.
VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
MODELS = {"Functional", "Sequential", "InputLayer"}
LAYERS = {key.__name__ for key in RULES if isinstance(key, type)}
OPERATIONS = {key for key in RULES if isinstance(key, str)}
PARTS = ("keras.initializers", "keras.regularizers", "keras.constraints")
POLICIES = {"DTypePolicy", "FloatDTypePolicy"}


def load_model(path):
    """The functional or sequential model in a .keras file, with its weights, not compiled.

    Raises:
        UserError: one line, for a file that is none, is broken or too large, or that holds layers of the user's own, a
            Lambda, or anything else that would run code which is not Keras's.
    """
    path = Path(path).expanduser()
    if path.suffix != ".keras" or not path.is_file():
        raise UserError(f"model {str(path)!r} is not a file that ends in .keras: name one that model.save() wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(_member(archive, CONFIG, CONFIG_BYTES))
            _check(config, path)
            count = _count(config, path)
            # float32 and Adam's moments; HDF5's own pages.  And weights do not compress: a file cannot hold many more.
            limit = 2**24 + min(16 * count, 4 * path.stat().st_size)
            weights = _member(archive, WEIGHTS, limit)
            if len(weights) < count:
                raise _refused(path, f"{count:,} weights", f"there are only {len(weights):,} bytes of them in the file")
            model = _built(config)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / WEIGHTS).write_bytes(weights)
            model.load_weights(Path(folder) / WEIGHTS)
    except UserError:
        raise
    except Exception as error:  # zip, JSON, Keras and HDF5 raise what they like at a broken file
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise UserError(f"model {str(path)!r} cannot be read ({reason}): save it again with model.save()") from error
    return model


def _count(config, path):
    """Weights that building the model would make, also of layers that lead nowhere.

    None is allocated: a few bytes of config can ask for more than there is.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = _built(copy.deepcopy(config))  # Keras empties it
        variables = global_state.get_global_attribute("uninitialized_variables", [])
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])  # or Keras would still allocate them later
    if not isinstance(model, keras.Model) or not model.built:
        raise _refused(path, type(model).__name__, "the file must hold one built functional or sequential model")
    return sum(math.prod(variable.shape) for variable in variables)


@deep()
def _built(config):
    """What a checked config describes: `_check` has gone as deep, within Python's own limit."""
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def _member(archive, name, limit):
    """A file of the archive, at most `limit` bytes: the zip may declare less than it holds, so that it is counted."""
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(
            f"model {archive.filename!r}: its {name} is larger than {limit:,} bytes, more than the model needs"
        )
    return content


def _check(config, path):
    """Refuse every class and function that is not in the tables; forget how the model was compiled."""
    if isinstance(config, list):
        for value in config:
            _check(value, path)
    elif isinstance(config, dict):
        config.pop("compile_config", None)
        if "class_name" in config:
            _check_class(config, path)
        for value in config.values():
            _check(value, path)


def _check_class(config, path):
    name, module, registered = config["class_name"], config.get("module"), config.get("registered_name")
    inner = config.get("config")
    called = config.get("name") or (inner.get("name") if isinstance(inner, dict) else None) or "?"
    if not (isinstance(name, str) and isinstance(module, str | None) and isinstance(called, str)):
        raise _refused(path, "?", "its config is not one that Keras writes")
    if name in ("__numpy__", "__tensor__") and isinstance(inner, dict):
        keras.backend.standardize_dtype(inner.get("dtype"))  # an error for such as numpy's S1000000000, a GB a value
    if name == "Lambda" or name == "__lambda__":
        raise _refused(path, f"{called!r} (Lambda)", "it would run code from the file")
    known = (
        name in VALUES
        or (module == "keras.layers" and name in LAYERS | MODELS)
        or (module in ("keras", "keras.src.models.functional", "keras.src.engine.functional") and name in MODELS)
        or (module is not None and module.startswith("keras.src.ops.") and name in OPERATIONS)
        or (module in PARTS and hasattr(getattr(keras, module.removeprefix("keras.")), name))
        or (module in ("keras", "keras.dtype_policies") and name in POLICIES)
    )
    if not known or registered not in (None, name):
        raise _refused(path, f"{called!r} ({module}.{name})", "it is not one of Keras's own that can be dealt to parts")


def _refused(path, what, why):
    return UserError(
        f"model {str(path)!r} is refused for {what}: {why}; use built-in layers, or build the model in Python and give "
        "it to keras_dd.fit"
    )
