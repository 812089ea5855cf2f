"""Files that are there whole or not at all, and files that are what somebody vouches for."""

import hashlib
import math
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_dd.config import UserError

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


def read_vouched(path, size, digest, card, limit=math.inf):
    """The content of a file of weights, once it is known to be what its card vouches for.

    Args:
        path: the file.
        size, digest: its bytes and their SHA-256, as the card says.
        card: where the card is, for errors.
        limit: bytes that the architecture can need at most.

    Raises:
        UserError: no file, or another one.
    """
    again = "get file and card again from where they came"
    if not path.is_file():
        raise UserError(f"weights {str(path)!r} is not a file: name one that is there, with its card")
    with open(path, "rb") as file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise UserError(f"weights {str(path)!r} has {found:,} bytes but card {str(card)!r} says {size:,}: {again}")
        if size > limit:
            raise UserError(
                f"weights {str(path)!r} has {size:,} bytes, more than this architecture can need ({limit:,}): {again}"
            )
        content = file.read(size)
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"weights {str(path)!r} does not have the SHA-256 that card {str(card)!r} says: {again}")
    return content


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
