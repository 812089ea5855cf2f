"""Files that are there whole or not at all."""

import os
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


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
