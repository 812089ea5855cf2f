"""userfiles.py against hostile .keras files: the published holes of Keras' loading, one by one, and a few more.

Every file is made here and is harmless: what it would do, if it did anything, is to leave a file called PWNED.  Each is
refused in one line, before anything of it has run and without a file being read or written elsewhere.
"""

import io
import json
import os
import tarfile
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_dd.config import UserError
from keras_dd.userfiles import load_model

TOUCH = "import os; os.close(os.open('PWNED', os.O_CREAT))"


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """{name: content} of an innocent .keras file: image 4x4x1, conv, flatten, dense."""
    inputs = keras.Input((4, 4, 1), name="image")
    x = layers.Conv2D(2, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten(name="flat")(x)), name="innocent")
    path = tmp_path_factory.mktemp("innocent") / "innocent.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def packed(members, tmp_path, monkeypatch):
    """Write a .keras file with `change(config)` made to its config and some members replaced or added."""
    monkeypatch.chdir(tmp_path)

    def packed(change=lambda config: None, weights=lambda file: None, **others):
        config = json.loads(members["config.json"])
        change(config["config"])
        stored = io.BytesIO(members["model.weights.h5"])
        with h5py.File(stored, "a") as file:
            weights(file)
        contents = members | {"config.json": json.dumps(config), "model.weights.h5": stored.getvalue()}
        with zipfile.ZipFile("bad.keras", "w") as archive:
            for name, content in (contents | others).items():
                archive.writestr(name, content)
        return tmp_path / "bad.keras"

    return packed


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
def test_layers_that_would_run_something(packed, name):
    path = packed(lambda config: config["layers"].extend(LAYERS[name]()))
    refused(path, "is refused for ")


def test_the_code_would_have_run(packed, monkeypatch):
    """The lure is real: without safe mode, Keras itself runs it."""
    path = packed(lambda config: config["layers"].append(bytecode()))
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
def test_functions_in_the_place_of_values(packed, place, what):
    refused(packed(lambda config: config["layers"][1]["config"].update({place: what})), "is refused for ")


def test_functions_in_the_arguments_of_a_call(packed):
    def change(config):
        config["layers"][2]["inbound_nodes"][0]["kwargs"] = {"training": function("os", "system")}

    refused(packed(change), "is refused for ")


def test_a_compiled_file_runs_nothing_of_its_own(packed, members):
    """What the file says of losses and metrics is left alone."""
    path = packed()
    config = json.loads(members["config.json"])
    config["compile_config"] = {"loss": function("os", "system"), "optimizer": bytecode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config)}).items():
            archive.writestr(name, content)
    assert not load_model(path).compiled


# Weights in the archive.

KERNEL = "layers/conv2d/vars/0"


def external(file):
    """CVE-2026-1669: weights that are another file of this machine."""
    with open("secret", "wb") as secret:
        secret.write(np.full(18, 42, "f4").tobytes())
    file.create_dataset(KERNEL, (3, 3, 1, 2), "f4", external=[(os.path.abspath("secret"), 0, 72)])


def external_link(file):
    with h5py.File("other.h5", "w") as other:
        other["x"] = np.full((3, 3, 1, 2), 42, "f4")
    file[KERNEL] = h5py.ExternalLink(os.path.abspath("other.h5"), "/x")


def virtual(file):
    with h5py.File("other.h5", "w") as other:
        other["x"] = np.full((3, 3, 1, 2), 42, "f4")
    layout = h5py.VirtualLayout((3, 3, 1, 2), "f4")
    layout[:] = h5py.VirtualSource(os.path.abspath("other.h5"), "x", (3, 3, 1, 2))
    file.create_virtual_dataset(KERNEL, layout)


def declared(file):
    """CVE-2026-0897: exabytes that are not there."""
    shape = (2**20, 2**20, 2**10, 2**10)
    file.create_dataset(KERNEL, shape, "f4", chunks=(64, 64, 4, 4), compression="gzip")


STORED = {
    "2026-1669, external data": external,
    "external link": external_link,
    "virtual data": virtual,
    "2026-0897, declared size": declared,
    "another shape": lambda file: file.create_dataset(KERNEL, data=np.zeros((3, 3, 1, 3), "f4")),
    "text": lambda file: file.create_dataset(KERNEL, data=["os.system"], dtype=h5py.string_dtype()),
    "soft link": lambda file: file.__setitem__(KERNEL, h5py.SoftLink("/nowhere")),
    "nothing": lambda file: None,
}


@pytest.mark.parametrize("name", STORED)
def test_weights_that_are_not_plain(packed, name):
    def tamper(file):
        del file[KERNEL]
        STORED[name](file)

    refused(packed(weights=tamper), "cannot be read")


def test_weights_that_are_no_hdf5(packed):
    refused(packed(**{"model.weights.h5": b"\x80\x04\x95pickle" + bytes(2000)}), "cannot be read")


# The archive.


@pytest.mark.parametrize("name", ["../PWNED", "/tmp/../PWNED", "assets/../../PWNED", "a\\..\\..\\PWNED", "C:/PWNED"])
def test_members_that_lead_out_are_never_unpacked(packed, name):
    """CVE-2025-12638 is about tar, CVE-2026-12479 about names of layers: here only two members are read, by name."""
    path = packed(**{name: b"content"})
    before = set(path.parent.parent.rglob("*"))
    assert load_model(path).name == "innocent"
    assert set(path.parent.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../PWNED", "/PWNED", "a/../../PWNED", "..\\PWNED", "assets"])
def test_layers_whose_names_are_paths(packed, name):
    """CVE-2026-12479.  Keras may take such names or refuse them; no file is written outside a temporary folder."""

    def change(config):
        config["layers"][2]["config"]["name"] = config["layers"][2]["name"] = name
        config["layers"][3]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = name

    path = packed(change, **{f"assets/{name}/vocabulary.txt": b"content"})
    before = set(path.parent.parent.rglob("*"))
    try:
        load_model(path)
    except UserError as error:
        assert "\n" not in str(error)
    assert set(path.parent.parent.rglob("*")) == before


def test_archives_in_archives_and_tars_are_not_opened(packed, members):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../PWNED"))
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(packed(**{"config.json": nested.getvalue()}), "cannot be read")
    refused(packed(**{"model.weights.h5": tar.getvalue()}), "cannot be read")
    (path := packed()).write_bytes(tar.getvalue())
    refused(path, "cannot be read")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".pb", ".pkl", ".keras.h5", ""])
def test_other_formats_are_not_opened(packed, suffix):
    """CVE-2025-9905: safe mode does nothing for .h5."""
    path = packed()
    path = path.rename(path.with_name(f"bad{suffix}"))
    refused(path, "is not a file that ends in .keras")


def test_a_legacy_file_under_another_name(packed):
    """CVE-2025-9905 again: Keras 3 can still write the old format, Lambda and all."""
    path = packed()
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [bytecode()]}})
    refused(path, "cannot be read")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_zip_bomb(packed, members, name):
    path = packed()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, b" " * (2**26 + 1) if member == name else content)
    refused(path, "more than the model needs")


@pytest.mark.parametrize("config", [b"", b"null", b"[]", b"7", b"{}", b"[" * 200_000, b'{"class_name": "Functional"}'])
def test_no_config(packed, config):
    refused(packed(**{"config.json": config}))


@pytest.mark.parametrize(
    "layer",
    [
        described("Dense", "keras.layers", {"units": 10**9}),
        described("Conv2D", "keras.layers", {"filters": 10**8, "kernel_size": 4}),
        described("Dense", "keras.layers", {"units": -1}),
        described("Dense", "keras.layers", {"units": 1e400}),
        described("Dense", "keras.layers", {"units": "many"}),
        described("Conv2D", "keras.layers", {"filters": 1, "kernel_size": 0}),
        described("Flatten", "keras.layers", {"nonsense": 1}),
    ],
    ids=["large", "large conv", "negative", "infinite", "text", "no kernel", "unknown"],
)
def test_numbers_that_no_weights_go_with(packed, layer):
    """Some bytes of config that ask for gigabytes: refused before they are allocated."""

    def change(config):
        config["layers"].append(layer)

    refused(packed(change))


def test_a_number_that_takes_all_memory(packed):
    what = {"class_name": "__numpy__", "config": {"value": [0] * 8, "dtype": "S2000000000"}}
    refused(packed(lambda config: config["layers"][1]["config"].update(kernel_initializer=what)))
