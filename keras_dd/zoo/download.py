"""Weights that are too large for the wheel: fetched once, and from then on there without a network.

With `requests`, which TensorFlow Datasets brings: neither `pooch` 1.9 nor `keras.utils.get_file` resumes a download,
both throw away what they have when the line breaks.  What is left to do is to ask for the rest.
"""

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path

import requests

from keras_dd.config import UserError
from keras_dd.files import read_vouched

CHUNK = 2**14  # bytes; what of one has come when the line breaks is lost
TRIES = 3  # of a line that breaks; each goes on where the last one stopped
TIMEOUT = 10, 60  # seconds, to connect and between two chunks


def folder():
    """Where downloads are kept: keras-dd in $XDG_CACHE_HOME, which is ~/.cache if not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras-dd"


def kept(sha256, name):
    """The path of a download, whether it is there or not.  Files of one name and other contents do not meet."""
    return folder() / f"{sha256[:16]}-{name}"


def fetch(url, size, sha256, name):
    """The path of the file behind a url, downloaded unless it is there.  A download that was stopped goes on.

    Args:
        url: http:// or https://.
        size, sha256: the bytes and the SHA-256 that it must have; more bytes than these are not taken.
        name: what it is called in the cache, and what errors name.

    Raises:
        UserError: no connection, an answer that is none, or other content; where the file can be put by hand.
    """
    path = kept(sha256, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    with _alone(partial) as file:
        if path.exists() and not _is_sound(path, size, sha256):
            path.unlink()  # damaged since
        if path.exists():
            partial.unlink(missing_ok=True)
            return path
        has_some = file.seek(0, os.SEEK_END) > 0
        with _progress(name, size) as advance:
            _complete(file, url, size, advance, f"{name} from {url}", path)
            if has_some and not _is_sound(partial, size, sha256):
                file.truncate(0)  # what was left there was something else
                _complete(file, url, size, advance, f"{name} from {url}", path)
        try:
            read_vouched(partial, size, sha256, url)
        except UserError:
            partial.unlink()
            raise
        os.replace(partial, path)
    return path


@contextmanager
def _alone(path):
    """A file to append to, while no other process has it: of two that want it, the second waits for the first."""
    while True:
        with open(path, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else the first one has removed it
                yield file
                return


def _is_sound(path, size, sha256):
    try:
        read_vouched(path, size, sha256, path)
    except UserError:
        return False
    return True


def _complete(file, url, size, advance, what, path):
    """Write what `file` lacks of its `size` bytes, in up to TRIES goes."""
    for left in reversed(range(TRIES)):
        try:
            have = file.seek(0, os.SEEK_END)
            if have < size:
                _append(file, url, have, size, advance)
            if file.tell() < size:
                raise requests.ConnectionError(f"it ended after {file.tell():,} of {size:,} bytes")
            return
        except requests.RequestException as error:
            if isinstance(error, requests.HTTPError) or not left:
                reason = " ".join(str(error).split())[:160]
                raise UserError(
                    f"{what} could not be downloaded ({reason}): run again to go on, or put the file to {path}"
                ) from error


def _append(file, url, have, size, advance):
    """Ask for all behind the first `have` bytes; a server that sends all from the beginning is taken at its word."""
    headers = {"Range": f"bytes={have}-"} if have else {}
    # No compression on the way: the bytes that are counted and hashed are those of the file.
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            file.truncate(0)
            have = 0
        advance(have)
        for chunk in answer.iter_content(CHUNK):
            file.write(chunk[: size - have])  # no more than the card says, whatever the server sends
            have += len(chunk)
            advance(min(have, size))
            if have >= size:
                break
    file.flush()


@contextmanager
def _progress(name, size):
    """A bar on stderr, where that is a terminal; gives a function of the bytes that are there."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=size)
        yield lambda done: progress.update(task, completed=done)
