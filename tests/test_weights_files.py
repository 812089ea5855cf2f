"""weights_files.py: what is saved comes back, and nothing else comes in.  Hostile files are made here, and harmless."""

import hashlib
import json
import os
import shutil
import tracemalloc

import h5py
import keras
import numpy as np
import pytest
import support
from conftest import randomize

from keras_dd import train
from keras_dd.config import UserError
from keras_dd.weights_files import card_path, load_weights, save_weights

KERNEL = "layers/conv2d_1/vars/0"  # of conv2, where Keras puts it


def network(width=4, **options):
    return support.network(width, image_shape=(16, 16, 1), **options)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """(model, folder) of weights on disk, to be copied."""
    folder = tmp_path_factory.mktemp("original")
    model = randomize(network(), np.random.default_rng(0))
    save_weights(model, folder / "model.weights.h5", {"width": 4})
    return model, folder


@pytest.fixture(scope="module")
def fresh():
    """A model that nothing ever gets into."""
    return network()


@pytest.fixture
def saved(original, tmp_path):
    """(model, path) of weights on disk."""
    model, folder = original
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return model, tmp_path / "model.weights.h5"


def vouch(path, **changes):
    """Make the card agree with a file that was tampered with: an attacker can write cards too."""
    card = json.loads(card_path(path).read_text())
    content = path.read_bytes()
    card |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes
    card_path(path).write_text(json.dumps(card))


@pytest.fixture
def refused(fresh):
    """Loading is refused in one line with `says`, and the model keeps all of its weights."""

    def refused(path, *says, model=fresh, card=None):
        before = model.get_weights()
        with pytest.raises(UserError) as error:
            load_weights(model, path, card)
        message = str(error.value)
        assert "\n" not in message and all(part in message for part in says), message
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))

    return refused


def test_what_is_saved_comes_back(saved):
    model, path = saved
    again = network()
    load_weights(again, path)
    assert support.weights_differ(model, again) == 0
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.card.json", "model.weights.h5"]


def test_keras_reads_it_too(saved):
    model, path = saved
    again = network()
    again.load_weights(path)
    assert support.weights_differ(model, again) == 0


def test_the_card(saved):
    model, path = saved
    card = json.loads(card_path(path).read_text())
    assert (card["bytes"], card["parameters"]) == (path.stat().st_size, model.count_params())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["architecture"] == {"name": "mine", "width": 4}
    assert ["conv2/kernel", [3, 3, 4, 8]] in card["weights"] and len(card["weights"]) == len(model.weights)


def test_a_compiled_model_has_no_optimizer_in_its_file(tmp_path, rng):
    model = randomize(network(), rng)
    train.compile_full(model, "adam")
    model.optimizer.build(model.trainable_variables)
    save_weights(model, tmp_path / "a.weights.h5")
    load_weights(network(), tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5") as file:
        assert "optimizer" not in file


def test_bfloat16_and_nested_and_sequential(tmp_path, rng):
    """Weights of two bytes, a model within a model, dropout's seed, a sequential model."""

    def build():
        layers = [keras.Input((16, 16, 1)), keras.layers.Dropout(0.5, name="drop"), network()]
        layers.append(keras.layers.Dense(3, dtype="bfloat16", name="top"))
        return keras.Sequential(layers, name="whole")

    model, again = build(), build()
    weights = [rng.normal(size=weight.shape) for weight in model.weights]
    model.set_weights(weights)
    save_weights(model, tmp_path / "a.weights.h5")
    load_weights(again, tmp_path / "a.weights.h5")
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a.astype("float32"), b.astype("float32"))


# Damaged, or not what it says.


@pytest.mark.parametrize("name", ["a.h5", "a.keras", "a.weights.json", "a.pkl", "a.weights.h5.exe", "a"])
def test_no_other_suffix(tmp_path, name, refused):
    (tmp_path / name).write_bytes(b"anything")
    refused(tmp_path / name, f"{name}' does not end in .weights.h5")
    with pytest.raises(UserError, match="does not end in .weights.h5"):
        save_weights(network(), tmp_path / name)


def test_one_bit(saved, refused):
    _, path = saved
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(path, "does not have the SHA-256", "get file and card again")


@pytest.mark.parametrize("cut", [0, 100])
def test_truncated(saved, cut, refused):
    _, path = saved
    os.truncate(path, cut)
    refused(path, f"has {cut} bytes but card", "says")


def test_nothing_is_opened_before_the_checksum_is_right(saved, monkeypatch, refused):
    _, path = saved
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    opened, real = [], h5py.File

    def spy(file, mode):
        opened.append((file, mode))
        return real(file, mode)

    monkeypatch.setattr(h5py, "File", spy)
    refused(path, "SHA-256")
    assert [mode for _, mode in opened] == ["w"]  # the file of the model itself, which is compared with later
    vouch(path)
    load_weights(network(), path)
    assert [mode for _, mode in opened[2:]] == ["r", "r", "r"]  # it, the other, and Keras


def test_not_an_hdf5_file(saved, refused):
    _, path = saved
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    vouch(path)
    refused(path, "is no sound HDF5 file")


def test_no_file_and_no_card(saved, tmp_path, refused):
    _, path = saved
    refused(tmp_path / "b.weights.h5", "b.card.json' cannot be read (No such file or directory)")
    card_path(path).rename(card_path(tmp_path / "b.weights.h5"))
    refused(tmp_path / "b.weights.h5", "b.weights.h5' is not a file")
    (tmp_path / "b.weights.h5").mkdir()
    refused(tmp_path / "b.weights.h5", "b.weights.h5' is not a file")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "7", "{", "[" * 100_000, '{"bytes": 1e999, "sha256": "", "weights": []}', "\x00"]
)
def test_no_card_at_all(saved, text, refused):
    _, path = saved
    card_path(path).write_text(text)
    refused(path, "model.card.json' is not one that save_weights wrote")


@pytest.mark.parametrize("changes", [{"bytes": -1}, {"bytes": 10**30}, {"sha256": "0" * 64}, {"sha256": None}])
def test_a_card_that_lies(saved, changes, refused):
    _, path = saved
    vouch(path, **changes)
    refused(path, "weights", "model.card.json' says", "get file and card again")


def test_a_trusted_card_stands_over_the_one_beside_the_file(saved, tmp_path, rng, refused):
    _, path = saved
    trusted = tmp_path / "trusted.card.json"
    card_path(path).rename(trusted)
    load_weights(network(), path, card=trusted)
    save_weights(randomize(network(), rng), path)  # other weights, with a card of their own
    load_weights(network(), path)
    refused(path, "trusted.card.json", "SHA-256", card=trusted)


# Another architecture.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 8}, "conv1/kernel [3, 3, 1, 4] where 'mine' has conv1/kernel [3, 3, 1, 8]"),
        ({"classes": 7}, "head/kernel [8, 10] where 'mine' has head/kernel [8, 7]"),
        ({"norm": False}, "bn/gamma [4] where 'mine' has conv2/kernel [3, 3, 4, 8]"),
    ],
)
def test_another_architecture(saved, options, says, refused):
    _, path = saved
    refused(path, says, "build the architecture that was saved", model=network(**options))


@pytest.mark.parametrize("weights", [[], [[]], [None], "conv1", [["conv1/kernel"]], {"a": 1}])
def test_odd_names_in_a_card(saved, weights, refused):
    _, path = saved
    vouch(path, weights=weights)
    refused(path, "model.card.json' has", "'mine' has")


# Hostile: the card agrees with the file, and the file is not what a model writes.


def external(file):
    """CVE-2026-1669: the numbers are those of another file on this machine."""
    secret = os.path.join(os.path.dirname(file.filename), "secret")
    with open(secret, "wb") as out:
        out.write(bytes(4 * 288))
    file.create_dataset(KERNEL, (3, 3, 4, 8), "f4", external=[(secret, 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    layout = h5py.VirtualLayout((3, 3, 4, 8), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 3, 4, 8))
    file.create_virtual_dataset(KERNEL, layout)


def bomb(file):
    """CVE-2026-0897: four exabytes in a few bytes."""
    file.create_dataset(KERNEL, (2**20, 2**20, 2**10, 2**10), "f4", chunks=(64, 64, 4, 4), compression="gzip")


def large(file):
    """As above but not in chunks: declared and never written."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space = h5py.h5s.create_simple((2**20, 2**20))
    h5py.h5d.create(file.id, KERNEL.encode(), h5py.h5t.IEEE_F32LE, space, creation)


def unwritten(file):
    """The right shape, but the numbers are missing."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space = h5py.h5s.create_simple((3, 3, 4, 8))
    h5py.h5d.create(file.id, KERNEL.encode(), h5py.h5t.IEEE_F32LE, space, creation)


def compressed(file):
    file.create_dataset(KERNEL, data=np.zeros((3, 3, 4, 8), "f4"), compression="gzip")


def upwards(file):
    """A group that holds the group it is in: a walk without end."""
    file["layers/conv2d_1/vars/0"] = file["layers"]


HOSTILE = {
    "external data": (external, "outside the file"),
    "virtual data": (virtual, "outside the file"),
    "bomb": (bomb, "is float32 (1048576, 1048576, 1024, 1024) where the model has float32 (3, 3, 4, 8)"),
    "large": (large, "is float32 (1048576, 1048576) where the model has"),
    "unwritten": (unwritten, "stored in chunks, compressed, virtual or outside"),
    "compressed": (compressed, "compressed"),
    "external link": (lambda f: f.__setitem__(KERNEL, h5py.ExternalLink("/etc/passwd", "/x")), "is a link"),
    "soft link": (lambda f: f.__setitem__(KERNEL, h5py.SoftLink("/layers/conv2d/vars/0")), "is a link"),
    "dangling link": (lambda f: f.__setitem__(KERNEL, h5py.SoftLink("/nowhere")), "is a link"),
    "cycle": (upwards, "should be a Dataset"),
    "missing": (lambda f: None, "lacks '0'"),
    "other shape": (lambda f: f.create_dataset(KERNEL, data=np.zeros((3, 3, 4, 7), "f4")), "(3, 3, 4, 7)"),
    "other type": (lambda f: f.create_dataset(KERNEL, data=np.zeros((3, 3, 4, 8), "f8")), "float64"),
    "text": (lambda f: f.create_dataset(KERNEL, data=["os.system"], dtype=h5py.string_dtype()), "object"),
    "nothing": (lambda f: f.create_dataset(KERNEL, data=h5py.Empty("f4")), "float32 None"),
    "a type": (lambda f: f.__setitem__(KERNEL, np.dtype("f4")), "should be a Dataset"),
    "one more": (
        lambda f: (f.create_dataset(KERNEL, data=np.zeros((3, 3, 4, 8), "f4")), f.create_group("optimizer")),
        "has 'optimizer' in /",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(saved, name, refused):
    model, path = saved
    tamper, says = HOSTILE[name]
    with h5py.File(path, "a") as file:
        del file[KERNEL]
        tamper(file)
    vouch(path)
    tracemalloc.start()
    refused(path, "model.weights.h5'", says)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_link_to_a_group_of_another_file(saved, tmp_path, refused):
    _, path = saved
    with h5py.File(path, "a") as file:
        del file["layers"]
        file["layers"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/layers")
    vouch(path)
    refused(path, "/layers is a link, which may lead out of the file")


def test_a_file_far_too_large_is_not_read(saved, refused):
    _, path = saved
    os.truncate(path, 2**40)  # sparse
    card = json.loads(card_path(path).read_text())
    card_path(path).write_text(json.dumps(card | {"bytes": 2**40}))
    refused(path, "more than this architecture can need")


# Writing.


def test_a_failed_write_leaves_what_was_there(saved, rng, monkeypatch):
    _, path = saved
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(randomize(network(), rng), path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_stop_between_weights_and_card_is_noticed(saved, rng, monkeypatch, refused):
    _, path = saved
    replace = os.replace

    def once(source, target):
        if str(target).endswith(".json"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        save_weights(randomize(network(), rng), path)
    refused(path, "SHA-256")
    assert not list(path.parent.glob("partial-*"))
