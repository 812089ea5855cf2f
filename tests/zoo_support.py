"""A model of the zoo in a folder of a test's own, where it can be damaged or forged, and command lines."""

import dataclasses
import hashlib
import shutil

import pytest

from keras_dd.apps.main import main
from keras_dd.zoo import cards


def copied(path, folder):
    """Copy the card at `path` and its weights to a folder; gives the path of the copy."""
    for file in path, cards.weights_path(path):
        shutil.copy(file, folder)
    return folder / path.name


def rewritten(path, content=None, **changes):
    """Change fields of the card at `path`, and its weights with their size and sha256, as who forges both would."""
    card = cards.read(path)
    if content is not None:
        cards.weights_path(path).write_bytes(content)
        weights = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        changes |= {"weights": dataclasses.replace(card.weights, **weights)}
    path.write_text(cards.text(dataclasses.replace(card, **changes)), encoding="utf-8")
    return path


def command(capsys, *arguments):
    """(exit code, lines of stdout, lines of stderr) of a command line."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    stdout, stderr = capsys.readouterr()
    return end.value.code or 0, stdout.splitlines(), stderr.splitlines()
