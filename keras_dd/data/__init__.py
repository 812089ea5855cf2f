"""Data sets, and the batches drawn from them.

`load` gives the images, `training_batches` and `evaluation_batches` feed them.  A `Split` holds its images decoded in
memory, a `Stream` decodes them as they are drawn; batches of both are the same.
"""

import contextlib
from pathlib import Path

from keras_dd.config import DATASETS, TEST_SHARE, UserError
from keras_dd.data import catalog, digits, folder
from keras_dd.data.batches import evaluation_batches, steps_per_epoch, training_batches
from keras_dd.data.moments import moments
from keras_dd.data.splits import Dataset, Split, check_int, hold_out
from keras_dd.data.stream import Stream
from keras_dd.data.whitening import whitening

__all__ = [
    "Dataset",
    "Split",
    "Stream",
    "evaluation_batches",
    "hold_out",
    "kept",
    "load",
    "moments",
    "steps_per_epoch",
    "training_batches",
    "whitening",
]

# What `kept` keeps: {how it was asked for: (train, test, classes, notes)}.
_kept = None


@contextlib.contextmanager
def kept():
    """Within this context images are read once, however often `load` asks for them: for several runs on one set."""
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def load(
    name="digits",
    data_dir=None,
    validation_split=0.0,
    seed=0,
    split="official",
    image_size=None,
    skip_bad_images=False,
):
    """The data set `name`: "digits", an image classification set of TensorFlow Datasets, or a folder of images.

    Args:
        name: "digits" is embedded: no file, no network.  A name of TensorFlow Datasets ("cifar10", "food101",
            "emnist/letters", ...) is read offline where `data_dir` holds it prepared, otherwise downloaded and prepared
            there.  A folder holds class/image.jpg, or train/ and test/ with classes in them.
        data_dir: of TensorFlow Datasets; default: its own, ~/tensorflow_datasets.  With it, `name` is no folder.
        validation_split: in [0, 1), the fraction of the training images to hold out, by class and drawn by `seed`; the
            test images are never touched.
        seed: a whole number from 0; it also draws the test images, by class, where a set or folder has none.
        split: "official", or "paper" for food101: 90,900 training and 10,100 test images.
        image_size: of the square, in pixels, that images are brought to: the middle of the image, as large as it has
            it, scaled bilinearly.  Default: images that are all of one size up to 224 px keep it, food101 has 224, all
            others 64.
        skip_bad_images: leave out files of a folder that cannot be used, and say how many, instead of refusing it.

    Returns:
        A `Dataset`, of `Split`s up to `config.HELD_BYTES` of decoded images and of `Stream`s above.

    Raises:
        UserError: an unknown name or value, a folder that cannot be read or filled, images that cannot be used.
    """
    if not 0 <= validation_split < 1:
        raise UserError(f"validation_split {validation_split} is not in [0, 1): 0.1 holds out a tenth, 0 nothing.")
    check_int("seed", seed, low=0)
    if image_size is not None:
        check_int("image_size", image_size, low=1, high=4096)
    name = str(name)
    is_folder = name not in DATASETS and data_dir is None and Path(name).expanduser().is_dir()
    if name == "digits" and image_size:
        raise UserError(f"image_size {image_size} is for images from files: leave it out, the digits have 32x32 px.")
    if skip_bad_images and not is_folder:
        raise UserError(f"skip_bad_images is for a folder of images: leave it out, or check that {name!r} is there.")
    if split != "official" and name != "food101":
        raise UserError(f"split {split!r} is for food101: leave it out.")
    if name == "digits":
        found = digits.load, ()
    elif is_folder:
        found = folder.load, (name, image_size, skip_bad_images)
    else:
        found = catalog.load, (name, data_dir, split, image_size)
    train, test, classes, notes = _read(*found)
    name = Path(name).expanduser().resolve().name if is_folder else name
    if test is None:
        train, test = hold_out(train, TEST_SHARE, seed)
        notes += (
            f"{name} has no test images: {len(test):,} of its images, drawn by class and seed {seed}, are held out",
        )
    train, validation = hold_out(train, validation_split, seed) if validation_split else (train, None)
    return Dataset(name, train, test, validation, classes, notes)


def _read(read, asked):
    if _kept is None:
        return read(*asked)
    if (read, asked) not in _kept:
        _kept.clear()  # one set at a time: they are large
        _kept[read, asked] = read(*asked)
    return _kept[read, asked]
