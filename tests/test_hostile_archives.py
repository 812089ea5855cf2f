"""userfiles.py against hostile .keras archives: weights that lead elsewhere, bombs, other formats, absurd sizes."""

import io
import json
import os
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from hostile import bytecode, described, members, pack, refused

from keras_dd.config import UserError
from keras_dd.userfiles import load_model

pytestmark = pytest.mark.usefixtures("elsewhere")

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
def test_weights_that_are_not_plain(name):
    def tamper(file):
        del file[KERNEL]
        STORED[name](file)

    refused(pack(weights=tamper), "cannot be read")


def test_weights_that_are_no_hdf5():
    refused(pack(**{"model.weights.h5": b"\x80\x04\x95pickle" + bytes(2000)}), "cannot be read")


# The archive.


@pytest.mark.parametrize("name", ["../PWNED", "/tmp/../PWNED", "assets/../../PWNED", "a\\..\\..\\PWNED", "C:/PWNED"])
def test_members_that_lead_out_are_never_unpacked(name):
    """CVE-2025-12638 is about tar, CVE-2026-12479 about names of layers: here only two members are read, by name."""
    path = pack(**{name: b"content"})
    before = set(path.parent.parent.rglob("*"))
    assert load_model(path).name == "innocent"
    assert set(path.parent.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../PWNED", "/PWNED", "a/../../PWNED", "..\\PWNED", "assets"])
def test_layers_whose_names_are_paths(name):
    """CVE-2026-12479.  Keras may take such names or refuse them; no file is written outside a temporary folder."""

    def change(config):
        config["layers"][2]["config"]["name"] = config["layers"][2]["name"] = name
        config["layers"][3]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = name

    path = pack(change, **{f"assets/{name}/vocabulary.txt": b"content"})
    before = set(path.parent.parent.rglob("*"))
    try:
        load_model(path)
    except UserError as error:
        assert "\n" not in str(error)
    assert set(path.parent.parent.rglob("*")) == before


def test_archives_in_archives_and_tars_are_not_opened():
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../PWNED"))
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        for name, content in members().items():
            archive.writestr(name, content)
    refused(pack(**{"config.json": nested.getvalue()}), "cannot be read")
    refused(pack(**{"model.weights.h5": tar.getvalue()}), "cannot be read")
    (path := pack()).write_bytes(tar.getvalue())
    refused(path, "cannot be read")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".pb", ".pkl", ".keras.h5", ""])
def test_other_formats_are_not_opened(suffix):
    """CVE-2025-9905: safe mode does nothing for .h5."""
    path = pack()
    path = path.rename(path.with_name(f"bad{suffix}"))
    refused(path, "is not a file that ends in .keras")


def test_a_legacy_file_under_another_name():
    """CVE-2025-9905 again: Keras 3 can still write the old format, Lambda and all."""
    path = pack()
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [bytecode()]}})
    refused(path, "cannot be read")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_zip_bomb(name):
    path = pack()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members().items():
            archive.writestr(member, b" " * (2**26 + 1) if member == name else content)
    refused(path, "more than the model needs")


@pytest.mark.parametrize("config", [b"", b"null", b"[]", b"7", b"{}", b"[" * 200_000, b'{"class_name": "Functional"}'])
def test_no_config(config):
    refused(pack(**{"config.json": config}))


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
def test_numbers_that_no_weights_go_with(layer):
    """Some bytes of config that ask for gigabytes: refused before they are allocated."""

    def change(config):
        config["layers"].append(layer)

    refused(pack(change))


def test_a_number_that_takes_all_memory():
    what = {"class_name": "__numpy__", "config": {"value": [0] * 8, "dtype": "S2000000000"}}
    refused(pack(lambda config: config["layers"][1]["config"].update(kernel_initializer=what)))
