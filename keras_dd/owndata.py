"""A `Dataset` that comes from the user's own Python, checked before anything is built for it."""

import numpy as np

from keras_dd.config import UserError, shown
from keras_dd.data import Dataset, Split, Stream


def check(dataset):
    """UserError unless all images and labels can be trained on: uint8 images of one shape, labels of known classes."""
    if not isinstance(dataset, Dataset):
        raise UserError(f"data is {shown(dataset)}: it must be the name of a data set, or a keras_dd.data.Dataset")
    classes = dataset.classes
    if not isinstance(classes, tuple | list) or not all(isinstance(name, str) for name in classes) or len(classes) < 2:
        raise UserError(
            f"classes of {dataset.name!r} are {shown(classes)}: there must be two names or more, as a tuple"
        )
    splits = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
    for name, split in splits.items():
        if split is not None or name != "validation":
            _check_split(f"{name} split of {dataset.name!r}", split, len(classes))
            if split.image_shape != dataset.image_shape:
                raise UserError(
                    f"the {name} split of {dataset.name!r} has images {split.image_shape} and the training images "
                    f"are {dataset.image_shape}: bring them to one shape"
                )


def _check_split(name, split, classes):
    if isinstance(split, Stream):
        return  # its labels and images come from `load`, which has looked at them
    if not isinstance(split, Split):
        raise UserError(f"the {name} is {shown(split)}: it must be a keras_dd.data.Split(images, labels)")
    images, labels = split.images, split.labels
    for what, array, kinds in ("images", images, np.uint8), ("labels", labels, np.integer):
        if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kinds):
            is_now = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            wanted = "uint8, 0 to 255" if what == "images" else "whole numbers"
            raise UserError(f"{what} of the {name} are {is_now}: they must be a numpy array of {wanted}")
    if images.ndim != 4 or 0 in images.shape:
        raise UserError(f"images of the {name} have the shape {images.shape}: it must be (N, height, width, channels)")
    if labels.shape != images.shape[:1]:
        raise UserError(f"the {name} has {len(images)} images and labels {labels.shape}: there must be one an image")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"labels of the {name} go from {labels.min()} to {labels.max()}: with {classes} classes they must be 0 to "
            f"{classes - 1}"
        )
