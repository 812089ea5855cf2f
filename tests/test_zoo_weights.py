"""Weights of the zoo: forged and damaged ones are refused, those behind a URL are fetched."""

import dataclasses
import io
import shutil
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numpy.lib import format as npy
from zoo_support import command, copied, rewritten

from keras_dd import zoo
from keras_dd.config import UserError
from keras_dd.zoo import arrays, cards

NAME = "cnn-w16-digits-dd4"


@pytest.fixture
def path(tmp_path):
    """The path of a card beside its weights in a folder of its own."""
    return copied(cards.locate(NAME), tmp_path)


@pytest.fixture(scope="module")
def exact():
    """{path: float16 array} of its weights."""
    return {weight.path: weight.numpy().astype("float16") for weight in zoo.load(NAME).weights}


def forged(exact):
    """An .npz whose last array says that it is far longer than it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in exact.items():
            member = io.BytesIO()
            shape = (10**12,) if name == "head/bias" else array.shape
            npy.write_array_header_1_0(member, {"descr": "<f2", "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", member.getvalue() + array.tobytes())
    return buffer.getvalue()


def saved(save, exact):
    buffer = io.BytesIO()
    save(buffer, **exact)
    return buffer.getvalue()


def twice(exact):
    """An .npz whose directory has each array two times."""
    buffer = io.BytesIO(arrays.pack(exact, "float16"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.filelist += archive.filelist
        archive.comment = b"so that the directory is written again"
    return buffer.getvalue()


# kind: (the file that is not what it should be, from {path: float16 array}, what its refusal says).
HOSTILE = {
    "pickled": (lambda exact: saved(np.savez, exact | {"head/bias": np.array([{}] * 10)}), "is no sound .npz"),
    "compressed": (lambda exact: saved(np.savez_compressed, exact), "is no sound .npz"),
    "lying header": (forged, "is no sound .npz"),
    "twice": (twice, "is no sound .npz"),
    "cut": (lambda exact: arrays.pack(exact, "float16")[:-100], "is no sound .npz"),
    "another type": (lambda exact: arrays.pack(exact, "float64"), "is no sound .npz"),
    "another name": (lambda exact: packed({n.replace("head", "foot"): a for n, a in exact.items()}), "foot/kernel"),
    "another shape": (lambda exact: packed(exact | {"head/bias": np.zeros(11)}), "head/bias"),
    "too many": (lambda exact: packed(exact | {"extra/kernel": np.zeros(11)}), "9 weights and 'cnn' has 8"),
    "too few": (lambda exact: packed(dict(list(exact.items())[:-1])), "7 weights and 'cnn' has 8"),
}
packed = partial(arrays.pack, dtype="float16")


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_weights(path, exact, make, says):
    assert zoo.load(rewritten(path, packed(exact))).count_params()
    with pytest.raises(UserError) as refused:
        zoo.load(rewritten(path, make(exact)))
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_the_file_is_an_ordinary_npz(exact):
    path = cards.weights_path(cards.locate(NAME))
    with np.load(path, allow_pickle=False) as file:
        assert list(file) == list(exact)
        assert {file[name].dtype for name in file} == {np.dtype("float16")}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_damaged_weights_and_cards_that_lie(path):
    weights = cards.weights_path(path)
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(UserError, match="does not have the SHA-256"):
        zoo.load(path)
    weights.write_bytes(sound + b"more")
    with pytest.raises(UserError, match="bytes but card"):
        zoo.load(path)
    weights.unlink()
    with pytest.raises(UserError, match="is not a file"):
        zoo.load(path)
    weights.write_bytes(sound)
    arguments = zoo.card(path).arguments
    for changes, says in (
        ({"architecture": "os.system"}, "unknown architecture 'os.system'"),
        ({"arguments": arguments | {"depth": 8}}, "'cnn' takes no argument 'depth'"),
        ({"arguments": arguments | {"width": 5}}, "its network has"),
        ({"arguments": arguments | {"width": "x"}}, "width is 'x'"),
    ):
        content = path.read_text()
        with pytest.raises(UserError, match=says):
            zoo.load(rewritten(path, **changes))
        path.write_text(content)


def test_weights_behind_a_url(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served = tmp_path / "served"
    served.mkdir()
    shutil.move(cards.weights_path(path), served)
    handler = partial(SimpleHTTPRequestHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}/{NAME}.npz"
        rewritten(path, weights=dataclasses.replace(zoo.card(path).weights, url=url))
        code, [line], _ = command(capsys, "zoo", "verify", path)
        assert code == 0 and line.split()[:2] == ["not", "downloaded"] and url in line
        assert zoo.load(path).count_params() == zoo.card(path).parameters
        server.shutdown()
    zoo.load(path)  # without the server
    capsys.readouterr()  # what the server logs
    assert command(capsys, "zoo", "verify", path)[1][0].startswith("sound")


def test_verify(path, capsys):
    assert command(capsys, "zoo", "verify")[0] == 0
    code, [line], _ = command(capsys, "zoo", "verify", path)
    assert code == 0 and line.startswith("sound")
    cards.weights_path(path).write_bytes(b"else")
    code, [first, second], _ = command(capsys, "zoo", "verify", path, path)
    assert code == 1 and first.startswith("damaged") and "4 bytes but card" in second
