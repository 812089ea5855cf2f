"""Weights on disk: a `.weights.h5` file, and beside it a card (JSON) that says what is in it.

Nothing of a weights file is interpreted before its size and SHA-256 are those of the card, and nothing of it reaches a
model before its names, shapes and storage are those of a file that the model itself would write.  A card that comes
from elsewhere than the file, as one that is installed with a package, so vouches for a download; one that lies beside
the file only tells damage from soundness.
"""

import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras

from keras_dd.config import UserError
from keras_dd.files import read_vouched, replacing
from keras_dd.graph import image_of
from keras_dd.recursion import deep

SUFFIX, CARD_SUFFIX = ".weights.h5", ".card.json"
LARGEST_CARD = 16 * 2**20  # bytes; one of a ResNet-110 has 40,000
PLAIN_LAYOUTS = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)  # the numbers as they are: not in chunks, not from elsewhere


def save_weights(model, path, architecture=None):
    """Write the weights of `model` and their card; both are whole, or not there.

    Keras reads such a file too.  The state of an optimizer is not in it.

    Args:
        model: a functional or sequential `keras.Model`.
        path: ends in ".weights.h5"; the card ends in ".card.json" instead.
        architecture: what the model was built by, as {"name": "resnet20", "width": 16}, for the card.

    Returns:
        The card: bytes and sha256 of the file, architecture, parameters, and [name, shape] of every weight.

    Raises:
        UserError: a path with another suffix.
        OSError: files that cannot be written; what was there before is still there.
    """
    path = _weights_path(path)
    content = _content(model)
    card = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "architecture": {"name": model.name} | (architecture or {}),
        "parameters": model.count_params(),
        "weights": weights_of(model),
        "keras": keras.__version__,
    }
    # A machine that stops between the two leaves new weights with an old card: they are refused, not half believed.
    with replacing(card_path(path)) as partial_card, replacing(path) as partial:
        partial.write_bytes(content)
        partial_card.write_text(json.dumps(card) + "\n", encoding="utf-8")
    return card


def load_weights(model, path, card=None):
    """Give `model` the weights of a file that `save_weights` wrote: all of them or, with an error, none.

    Args:
        model: a functional or sequential `keras.Model`, of the architecture that was saved.
        path: the file, which ends in ".weights.h5".
        card: path of the card to trust; by default the one beside the file.

    Raises:
        UserError: a file that is not what its card says, that is not of this architecture, or that holds anything but
            plain numbers (links, external or virtual data, filters).
    """
    path = _weights_path(path)
    card = Path(card) if card else card_path(path)
    size, digest, weights = _read_card(card)
    compare_weights(model, weights, f"card {str(card)!r}")
    pattern = _content(model)
    content = read_vouched(path, size, digest, card, limit=2 * len(pattern) + 2**20)
    try:
        with h5py.File(io.BytesIO(content), "r") as file, h5py.File(io.BytesIO(pattern), "r") as expected:
            _compare_groups(file, expected, path)
    except (OSError, RuntimeError, KeyError) as error:  # as h5py complains of what it cannot read
        raise UserError(f"weights {str(path)!r} is no sound HDF5 file: get it again from where it came") from error
    with tempfile.TemporaryDirectory() as folder:  # what was checked is what is read: `path` may change meanwhile
        checked = Path(folder) / f"checked{SUFFIX}"
        checked.write_bytes(content)
        _bare(model).load_weights(checked)


def card_path(path):
    """Where the card of the weights at `path` lies: a/model.weights.h5 -> a/model.card.json."""
    path = _weights_path(path)
    return path.with_name(path.name.removesuffix(SUFFIX) + CARD_SUFFIX)


def _weights_path(path):
    if not str(path).endswith(SUFFIX):
        raise UserError(f"weights {str(path)!r} does not end in {SUFFIX}: no other kind of file is read or written")
    return Path(path)


def weights_of(model):
    """[[name, shape], ...] of the model's weights."""
    return [[weight.path, list(weight.shape)] for weight in model.weights]


@deep()
def _bare(model):
    """The same layers without what `compile` adds: Keras would save and want the optimizer's state too."""
    image_of(model)  # an error for what has no graph
    return keras.Model(model.inputs, model.outputs)


def _content(model):
    """The bytes of the file that Keras writes for a model.

    By way of a .keras archive, which Keras fills in memory: on a full disk, HDF5 ends the process by a segmentation
    fault, even as it closes the file after the error.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "model.keras"
        _bare(model).save(archive)
        with zipfile.ZipFile(archive) as members:
            return members.read("model.weights.h5")


def _read_card(path):
    """(bytes, sha256, [[name, shape], ...]) that the card vouches for."""
    try:
        with open(path, "rb") as file:
            card = json.loads(file.read(LARGEST_CARD))
        size, digest, weights = int(card["bytes"]), str(card["sha256"]), list(card["weights"])
    except OSError as error:
        raise UserError(
            f"card {str(path)!r} cannot be read ({error.strerror}): weights are read only with the card that was "
            "written with them"
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"card {str(path)!r} is not one that save_weights wrote: get it again") from error
    return size, digest, weights


def compare_weights(model, found, where):
    """UserError unless the [[name, shape], ...] `found` where the error says are those of the model's weights."""
    expected = weights_of(model)
    if found == expected:
        return
    which = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    differ = (
        f"{len(found)} weights and {model.name!r} has {len(expected)}"
        if which is None
        else f"{_shown(found[which])} where {model.name!r} has {_shown(expected[which])}"
    )
    raise UserError(f"{where} has {differ}: build the architecture that was saved, with its layers' names")


def _shown(weight):
    return " ".join(map(str, weight)) if isinstance(weight, list) else repr(weight)


def _compare_groups(group, expected, path):
    """UserError unless `group` has just the groups and datasets of `expected`, as plain numbers in this very file."""
    if set(group) != set(expected):
        odd = sorted(set(group) ^ set(expected))[0]
        raise UserError(f"weights {str(path)!r} {_lacks(group, odd)}: build the architecture that was saved")
    for name, like in expected.items():
        where = f"weights {str(path)!r}: {like.name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{where} is a link, which may lead out of the file: only plain data are read")
        item = group[name]
        if isinstance(like, h5py.Group) and isinstance(item, h5py.Group):
            _compare_groups(item, like, path)
            continue
        if not (isinstance(like, h5py.Dataset) and isinstance(item, h5py.Dataset)):
            raise UserError(f"{where} should be a {type(like).__name__}: build the architecture that was saved")
        if (item.shape, item.dtype, dict(item.attrs)) != (like.shape, like.dtype, dict(like.attrs)):
            raise UserError(
                f"{where} is {item.dtype} {item.shape} where the model has {like.dtype} {like.shape}: build the "
                "architecture that was saved"
            )
        creation = item.id.get_create_plist()
        stored_here = creation.get_layout() in PLAIN_LAYOUTS and not creation.get_external_count()
        if not stored_here or item.id.get_storage_size() != item.nbytes:
            raise UserError(
                f"{where} is stored in chunks, compressed, virtual or outside the file: only plain data are read"
            )


def _lacks(group, name):
    return f"has {name!r} in {group.name}, which the model has not" if name in group else f"lacks {name!r}"
