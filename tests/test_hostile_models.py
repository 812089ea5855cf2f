"""userfiles.py against hostile .keras files: the published holes of Keras' loading, one by one, and a few more.

Every file is made here and is harmless: what it would do, if it did anything, is to leave a file called PWNED.  Each is
refused in one line, before anything of it has run and without a file being read or written elsewhere.
"""

import json
import zipfile

import keras
import pytest
from hostile import TOUCH, bytecode, called_by_lambda, described, function, members, pack, refused

from keras_dd.userfiles import load_model

pytestmark = pytest.mark.usefixtures("elsewhere")

LAYERS = {
    "2025-1550, function of any module": lambda: [called_by_lambda("os", "system", "touch PWNED")],
    "2025-1550, class of any module": lambda: [described("Popen", "subprocess", {"args": ["touch", "PWNED"]})],
    "2025-1550, builtin": lambda: [described("exec", "builtins", {"source": TOUCH})],
    "2025-8747, get_file": lambda: [
        called_by_lambda("keras.utils", "get_file", "PWNED", origin="file:///etc/hostname", cache_dir=".")
    ],
    "2025-9906, unsafe mode, then Lambda": lambda: [
        called_by_lambda("keras.config", "enable_unsafe_deserialization", []),
        bytecode(),
    ],
    "2025-9906, load_model without safe mode": lambda: [
        called_by_lambda("keras.models", "load_model", "other.keras", safe_mode=False)
    ],
    "2025-12058, vocabulary": lambda: [described("StringLookup", "keras.layers", {"vocabulary": "/etc/passwd"})],
    "2025-12058, vocabulary of integers": lambda: [
        described("IntegerLookup", "keras.layers", {"vocabulary": "http://localhost/"})
    ],
    "2025-12058, text": lambda: [described("TextVectorization", "keras.layers", {"vocabulary": "/etc/passwd"})],
    "2025-49655, pickle of torch": lambda: [
        described("TorchModuleWrapper", "keras.layers", {"module": {"class_name": "__bytes__", "config": "gASV"}})
    ],
    "2026-1462, saved model": lambda: [described("TFSMLayer", "keras.layers", {"filepath": "saved_model"})],
    "2026-1462, by its inner name": lambda: [
        described("TFSMLayer", "keras.src.export.tfsm_layer", {"filepath": "saved_model"})
    ],
    "2026-12481, Lambda": lambda: [bytecode()],
    "a Lambda by its inner name": lambda: [bytecode() | {"module": "keras.src.layers.core.lambda_layer"}],
    "a Lambda as a registered layer": lambda: [bytecode() | {"class_name": "Conv2D", "registered_name": "Lambda"}],
    "a layer in another's config": lambda: [described("TimeDistributed", "keras.layers", {"layer": bytecode()})],
    "a layer of Keras without a rule": lambda: [described("Conv1D", "keras.layers", {"filters": 1, "kernel_size": 1})],
    "no module": lambda: [described("Conv2D", None, {"filters": 1, "kernel_size": 1})],
    "a module that is no text": lambda: [described("Conv2D", ["keras.layers"], {})],
    "a private module of Keras": lambda: [described("get_file", "keras.src.utils.file_utils", {})],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_would_run_something(name):
    path = pack(lambda config: config["layers"].extend(LAYERS[name]()))
    refused(path, "is refused for ")


def test_the_code_would_have_run():
    """The lure is real: without safe mode, Keras itself runs it."""
    path = pack(lambda config: config["layers"].append(bytecode()))
    refused(path)
    keras.saving.load_model(path, safe_mode=False)
    assert (path.parent / "PWNED").exists()


FUNCTION_PLACES = (
    "activation",
    "kernel_initializer",
    "kernel_regularizer",
    "kernel_constraint",
    "dtype",
    "data_format",
)


@pytest.mark.parametrize("place", FUNCTION_PLACES)
@pytest.mark.parametrize(
    "what",
    [
        function("os", "getcwd"),
        function("builtins", "exec"),
        function("keras.config", "enable_unsafe_deserialization"),
        {"class_name": "__lambda__", "config": {"value": ["4wAA", None, None]}},
        {"class_name": "__typespec__", "module": "os", "spec_name": "system", "registered_name": None, "config": []},
        {"class_name": "Popen", "module": "subprocess", "config": {"args": "touch PWNED"}, "registered_name": None},
    ],
    ids=["os", "builtins", "keras.config", "lambda", "typespec", "class"],
)
def test_functions_in_the_place_of_values(place, what):
    refused(pack(lambda config: config["layers"][1]["config"].update({place: what})), "is refused for ")


def test_functions_in_the_arguments_of_a_call():
    def change(config):
        config["layers"][2]["inbound_nodes"][0]["kwargs"] = {"training": function("os", "system")}

    refused(pack(change), "is refused for ")


def test_a_compiled_file_runs_nothing_of_its_own():
    """What the file says of losses and metrics is left alone."""
    path = pack()
    config = json.loads(members()["config.json"])
    config["compile_config"] = {"loss": function("os", "system"), "optimizer": bytecode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members() | {"config.json": json.dumps(config)}).items():
            archive.writestr(name, content)
    assert not load_model(path).compiled
