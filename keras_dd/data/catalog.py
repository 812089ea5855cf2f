"""Image classification sets of TensorFlow Datasets, by name."""

import contextlib
import difflib
import functools
import re
import sys
import textwrap
from pathlib import Path

import numpy as np

from keras_dd.config import DATASETS, IMAGE_SIZE, OWN_SIZE, UserError
from keras_dd.data.records import Records
from keras_dd.data.stream import Stream, hold

# Sets whose images come in many sizes, and the size that they are trained at by their papers.
SIZES = {"food101": 224}
# Food-101 as "A fast learning strategy ... based on domain decomposition" (2020) splits it: 90,900 and 10,100 images.
PAPER = "train+validation[:60%]", "validation[60%:]"


def load(name, data_dir=None, split="official", image_size=None):
    """(train, test or None, classes, notes) of `name`, prepared first if need be.

    The test images are those of the set's "test", or else "validation".
    """
    builder = _builder(name, data_dir)
    image, label = _features(builder)
    if not builder.is_prepared():
        online = "connect to the internet once, or copy a prepared folder to that place"
        missing = _explained(f"{name} is neither prepared in {builder.data_dir} nor could it be downloaded", online)
        with missing, contextlib.redirect_stdout(sys.stderr):  # TFDS prints, and stdout is for results
            builder.download_and_prepare()  # without a network, TFDS gives up after three minutes
    splits = builder.info.splits
    if splits and "train" not in splits:
        raise UserError(f"data set {name!r} has no split train, only {', '.join(splits)}: choose another set.")
    test = next((part for part in ("test", "validation") if part in splits), None)
    train, test = PAPER if split == "paper" else ("train", test)
    *own, channels = builder.info.features[image].shape
    size, notes = _size(name, own, image_size)
    again = "delete it there and run again, or copy a sound one to its place"
    with _explained(f"{name} in {builder.data_dir} cannot be read", again):
        parts = [splits[part].file_instructions for part in (train, test) if part]
        source = Records([instruction for part in parts for instruction in part], image, label)
        images = Stream(source, np.arange(len(source)), (*size, channels))
        if images.is_small:
            images, bad = hold(images)
            if bad:
                raise ValueError(f"{len(bad):,} of its images are broken: {min(bad.items())[1]}")
    count = splits[train].num_examples
    test = images.take(slice(count, None)) if test else None
    return images.take(slice(0, count)), test, tuple(builder.info.features[label].names), notes


def _builder(name, data_dir):
    """TFDS's builder of the set, after a look at its name."""
    import tensorflow_datasets as tfds  # takes seconds, and the digits do without

    known = [*DATASETS, *tfds.list_builders(with_community_datasets=False)]
    if name.partition("/")[0] not in known:
        near = functools.partial(difflib.get_close_matches, name.lower())
        close = near(DATASETS, n=1) or near(known)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise UserError(
            f"unknown data set {name!r}: {hint}It takes {', '.join(DATASETS)}, another image classification set of "
            "TensorFlow Datasets, or a folder that is there, with images in one folder for each class."
        )
    data_dir = data_dir and str(Path(data_dir).expanduser())  # TFDS would make a folder named "~"
    if data_dir and not Path(data_dir).is_dir():
        raise UserError(f"data_dir {data_dir!r} is not a folder: create it, or name the one that holds {name}.")
    again = "delete it there and run again, or copy a sound one to its place"
    with _explained(f"{name} in {data_dir or 'the default folder'} cannot be read", again):
        return tfds.builder(name, data_dir=data_dir)


def _features(builder):
    """The names of its image and of its label."""
    import tensorflow_datasets as tfds

    info = builder.info
    keys = info.supervised_keys or ()
    image, label = (dict(info.features.items()).get(key) for key in (*map(str, keys), None, None)[:2])
    is_image = type(image) is tfds.features.Image and image.shape[-1] in (1, 3) and image.np_dtype == np.uint8
    if not is_image or not isinstance(label, tfds.features.ClassLabel):
        found = " -> ".join(map(str, keys)) or "no pair of an image and a label"
        raise UserError(
            f"data set {builder.name!r} is no image classification set (it has {found}): choose one that is, such as "
            f"{', '.join(DATASETS[1:])}, mnist or tf_flowers."
        )
    if builder.info.file_format is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"{builder.name} in {builder.data_dir} is stored as {info.file_format.value}: prepare it as "
            "tfrecord, TFDS's default, in another data folder."
        )
    return keys[:2]


def _size(name, own, image_size):
    """((height, width), notes), where `own` is that of all images, or (None, None)."""
    if image_size is None and None not in own and max(own) <= OWN_SIZE:
        return own, ()
    size = image_size or SIZES.get(name, IMAGE_SIZE)
    return (size, size), (f"images are brought to {size}x{size} px",)


@contextlib.contextmanager
def _explained(what, way_out):
    """Any error as one line: any, for TFDS lets through whatever its network and file libraries raise."""
    try:
        yield
    except Exception as error:
        text = re.sub(r"{{.*?}}", "", str(error))  # TF names its graph node first, and whole paths follow
        reason = textwrap.shorten(f"{type(error).__name__}: {text}", 160, placeholder="...")
        raise UserError(f"{what} ({reason}): {way_out}.") from error
