"""Files that are there whole or not at all."""

import os
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = "partial-"


@contextmanager
def replacing(path):
    """A path to write to, which takes the place of `path` when all of it is on the disk.

        with replacing(run_dir / "model.keras") as partial:
            model.save(partial)

    Whatever ends the writing (an error, a full disk, a kill, a power cut), `path` is what it was before or what was
    written, and never a part of it.
    """
    path = Path(path)
    partial = path.with_name(PARTIAL + path.name)  # in the same folder, or it could not be moved in one go
    try:
        yield partial
        _sync(partial)  # or, after a power cut, the name could be there before the content
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def save(model, path):
    """Save a Keras model as .keras, or its weights as .weights.h5.

    Weights too are written by way of a .keras archive, which Keras fills in memory: on a full disk, HDF5 ends the
    process by a segmentation fault, even as it closes the file after the error.
    """
    with replacing(path) as partial:
        if partial.suffix == ".keras":
            model.save(partial)
            return
        archive = partial.with_suffix(".keras")
        try:
            model.save(archive)
            with zipfile.ZipFile(archive) as members:
                partial.write_bytes(members.read("model.weights.h5"))
        finally:
            archive.unlink(missing_ok=True)


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
