"""A user's own folder: class/image.jpg, with or without train/ and test/."""

import os
import stat
from pathlib import Path

import numpy as np

from keras_dd.config import IMAGE_SIZE, OWN_SIZE, UserError
from keras_dd.data import images, stream

TESTS = ("test", "validation", "valid", "val")
# What file managers leave behind, besides files whose names begin with a dot.
LITTER = ("Thumbs.db", "desktop.ini")


class Files:
    """The `stream.Source` of image files."""

    def __init__(self, paths, labels):
        self.paths, self.labels = paths, labels

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, row):
        return self.paths[row].read_bytes(), self.labels[row]


def load(folder, image_size=None, skip_bad_images=False):
    """(train, test or None, classes, notes) of a folder.

    Every file below a class folder, at any depth, is an image of that class or a bad file: one that Pillow cannot
    decode to its end, or that has too many pixels, a link that leads out of the folder, or no file at all (a socket, a
    device).  All images are decoded once here, so that none fails in the middle of training.

    Raises:
        UserError: no classes, a class without images, bad files (all of them named) unless they are skipped.
    """
    root = Path(folder).expanduser().resolve()
    train, test = _halves(root)
    classes = tuple(path.name for path in _folders(train))
    if len(classes) < 2:
        raise UserError(f"folder {str(train)!r} has {len(classes)} folders in it: put images in one for each class")
    paths, labels, tested = _list(train, test, classes)
    sizes = {}

    def look(row):
        _check_file(paths[row], root)
        sizes[row] = images.look(paths[row])

    bad = stream.failures(look, range(len(paths)))
    rows = np.array(sorted(sizes), int)
    shape, note = _shape([sizes[row] for row in rows], image_size)
    split, broken = stream.hold(stream.Stream(Files(paths, labels), rows, shape))
    bad |= {rows[row]: reason for row, reason in broken.items()}
    sound = ~np.isin(rows, list(bad))
    if bad:
        names = (f"{str(paths[row].relative_to(root))!r} ({reason})" for row, reason in sorted(bad.items()))
        said = f"{len(bad):,} of {len(paths):,} files in {str(root)!r} cannot be used: {', '.join(names)}"
        if not skip_bad_images:
            raise UserError(f"{said}: mend or remove them, or skip them with --skip-bad-images")
        note = (*note, f"skipped: {said}")
    counts = np.bincount(labels[rows[sound & ~tested[rows]]], minlength=len(classes))
    if not counts.all():
        empty = classes[counts.argmin()]
        raise UserError(f"class {empty!r} of {str(train)!r} has no image that can be used: add some, or remove it")
    tests = sound & tested[rows]
    return split.take(sound & ~tested[rows]), split.take(tests) if tests.any() else None, classes, note


def _halves(root):
    """The folders that hold the classes of the training and, if there is one, of the test images."""
    train = root / "train"
    if not train.is_dir() or not _folders(train):
        return root, None
    return train, next((root / name for name in TESTS if (root / name).is_dir()), None)


def _folders(path):
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _list(train, test, classes):
    """(paths, labels, whether each is a test image) of all files."""
    files = [(path, label, False) for label, name in enumerate(classes) for path in _files(train / name)]
    for folder in _folders(test) if test else ():
        if folder.name not in classes:
            raise UserError(f"{str(folder)!r} is no class of {str(train)!r}: remove it, or add training images of it")
        files += [(path, classes.index(folder.name), True) for path in _files(folder)]
    if not files:
        raise UserError(f"folder {str(train)!r} holds no images: put some in its folders, one folder a class")
    paths, labels, tested = zip(*files, strict=True)
    return paths, np.array(labels, np.int32), np.array(tested)


def _files(folder):
    """All files below a folder, in order, and the links to folders, which are not followed."""
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(files + links):
            if not name.startswith(".") and name not in LITTER:
                yield Path(parent, name)


def _refuse(error):
    raise UserError(f"folder {error.filename!r} cannot be read ({error.strerror}): make it readable") from error


def _check_file(path, root):
    """ValueError for what must not be opened."""
    if not path.resolve().is_relative_to(root):
        raise ValueError("a link that leads out of the folder")
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
        raise ValueError("not a file")


def _shape(seen, image_size):
    """((height, width, channels), notes): grey only if all images are."""
    heights, widths = zip(*(size for size, _ in seen), strict=True) if seen else ((1,), (1,))
    least, most = (min(heights), min(widths)), (max(heights), max(widths))
    channels = 1 if all(is_grey for _, is_grey in seen) else 3
    size = (image_size, image_size) if image_size else (IMAGE_SIZE, IMAGE_SIZE)
    if not image_size and least == most and max(most) <= OWN_SIZE:
        size = most
    notes = () if least == most == size else (f"images of {_px(least)} to {_px(most)} are brought to {_px(size)}",)
    return (*size, channels), notes


def _px(size):
    return "{}x{} px".format(*size)
