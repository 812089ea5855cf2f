"""Settings and their checks: with `recipes`, the only home of defaults.

Everything here is data.  `Settings` is one run as the user asked for it.  Nothing but the standard library is imported,
so that `keras-dd --help` is instant.
"""

import dataclasses
import difflib
import numbers
import operator
import os
import textwrap
import types
import typing
from dataclasses import dataclass
from math import inf, nan

from keras_dd.recipes import RECIPES

# Those that are named in help and hints; all image classification sets of TensorFlow Datasets are known.
DATASETS = ("digits", "cifar10", "cifar100", "food101")
SPLITS = ("official", "paper")
# A mirrored image of these is of no class, or of another one.
UNMIRRORED = ("digits", "mnist", "emnist", "kmnist", "svhn_cropped", "omniglot", "binary_alpha_digits")
# Pixels of a side: of images that come in many sizes, and up to where images that are all of one size keep it.
IMAGE_SIZE, OWN_SIZE = 64, 224
# Of the images, held out by class where a set or a folder has no test images.
TEST_SHARE = 0.2
# Decoded images up to this size are held in memory; larger sets are decoded as they are drawn.
HELD_BYTES = 2**29
# From this number of classes on, the right one among the first five is counted too.
TOP5_CLASSES = 21
DTYPES = ("float32", "bfloat16", "auto")
SHORTCUTS = ("projection", "identity")
BLOCKS = ("type1", "basic", "type2")
METHODS = ("decomposition", "conventional")
# Where networks are trained: on this machine, as tasks of a Ray cluster, as jobs of Slurm.
ENGINES = ("local", "ray", "slurm")
BASELINES = ("tuned", "paper")
ON_DIVERGENCE = ("retry", "stop", "ignore")
OPTIMIZERS = ("adam", "sgd", "muon")
SCHEDULES = ("one-cycle", "triangular", "linear", "step")
PADDINGS = ("black", "reflect")
# Of a test image: itself; and mirrored; and both of these shifted by a pixel along each diagonal.
VIEWS = (1, 2, 6)
BOXES = ("fixed", "random")
# Of the first layer: 16 in Fig. 1 of the paper and in the CIFAR networks of He et al.
WIDTH = 16
# Images that all sub-networks train on together, from which on processes of their own pay, which start in some 10 s:
# about a minute's work of two cores.
WORKERS_PAY = 300_000
# Images of an evaluation batch, or a few more: replicas want equal shares.
EVALUATION_BATCH = 500
# Images that batch-norm statistics are re-estimated on.
REESTIMATION_IMAGES = 5000
OFF_DIAGONAL = ("zeros", "noise", "orthogonal")


class UserError(ValueError):
    """A mistake in what was asked for.  The message names the value, the rule and the way out.

    The command line prints it as one line and exits with code 2.
    """


def unknown(kind, name, known):
    """The error for a name that is not among the known ones: `raise unknown("recipe", "quik", RECIPES)`."""
    close = difflib.get_close_matches(str(name).lower(), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    choice = "" if close and len(known) > 20 else f"Choose one of {', '.join(known)}."
    return UserError(f"unknown {kind} {name!r}: {hint}{choice}".rstrip())


def shown(value):
    """A value as an error names it: in one line, and not a long one."""
    return textwrap.shorten(repr(value), 80, placeholder="...") or repr(value)[:80]


def whole(name, value, least=1):
    """`value` as an int (it may be one of numpy's), or the error for what is no whole number of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise UserError(f"{name} is {shown(value)}: it must be a whole number, {least} or more")
    return number


def parse_off_diagonal(text):
    """("noise", 0.3) from "noise:0.3".  The scale is 1 when it is left out; zeros take none."""
    if not isinstance(text, str):
        raise UserError(f"off_diagonal is {shown(text)}: it must be text, as 'zeros' or 'noise:0.3'")
    kind, colon, scale = text.partition(":")
    try:
        size = float(scale) if colon else 1.0
    except ValueError:
        size = nan
    if kind not in OFF_DIAGONAL or not 0 <= size < inf or (kind == "zeros" and colon):
        raise UserError(f"off_diagonal is {text!r}: it takes zeros, noise:SCALE or orthogonal:SCALE, with SCALE >= 0")
    return kind, size


@dataclass(frozen=True)
class Settings:
    """One run of the main job.  `None` means: taken from the recipe, the model, the data set or the machine."""

    dataset: str = "digits"
    data_dir: str | None = None
    split: str = "official"
    image_size: int | None = None
    skip_bad_images: bool = False
    validation_split: float = 0.0
    train_images: int | None = None
    model: str = "cnn"
    width: int | None = None
    shortcut: str = "projection"
    block: str = "type1"
    method: str = "decomposition"
    parts: int = 4
    grid: tuple[int, int] | None = None
    overlap: int | None = None
    boxes: str | None = None
    off_diagonal: str = "zeros"
    head_scale: float = 1.0
    reestimate: bool = True
    recipe: str = "quick"
    subnet_epochs: int | None = None
    epochs: int | None = None
    subnet_learning_rate: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    schedule: str | None = None
    weight_decay: float | None = None
    bias_rate: float | None = None
    lookahead: bool | None = None
    label_smoothing: float | None = None
    flip: bool | None = None
    alternate: bool | None = None
    crop: int | None = None
    padding: str | None = None
    views: int = 1
    engine: str = "local"
    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    workers: int | None = None
    devices: str = "auto"
    dtype: str = "float32"
    seed: int = 0
    deterministic: bool = False
    run_dir: str | None = None
    snapshot_every: float = 60.0
    on_divergence: str = "retry"
    tensorboard: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or not isinstance(field.type, types.UnionType):
                object.__setattr__(self, field.name, _plain(field.name, value, field.type))
        for name, (least, bound) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value < bound:
                below = f" and below {bound}" if bound < inf else ""
                raise UserError(f"{name} is {value}: it must be at least {least}{below}")
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown(name, value, known)
        if self.views not in VIEWS:
            raise UserError(f"views is {self.views}: it must be one of {', '.join(map(str, VIEWS))}")
        parse_off_diagonal(self.off_diagonal)


# What a field of Settings may hold: from the first number on, and below the second.
RANGES = {
    "validation_split": (0, 1),
    "image_size": (1, 4097),
    "train_images": (1, inf),
    "width": (1, inf),
    "parts": (1, inf),
    "overlap": (0, inf),
    "head_scale": (0, inf),
    "subnet_epochs": (0, inf),
    "epochs": (0, inf),
    "subnet_learning_rate": (0, inf),
    "learning_rate": (0, inf),
    "batch_size": (1, inf),
    "weight_decay": (0, inf),
    "bias_rate": (1, inf),
    "label_smoothing": (0, 1),
    "crop": (0, inf),
    "cpus": (1, inf),
    "gpus": (0, inf),
    "workers": (1, inf),
    "seed": (0, 2**31),
    "snapshot_every": (0, inf),
}
CHOICES = {
    "split": SPLITS,
    "shortcut": SHORTCUTS,
    "block": BLOCKS,
    "method": METHODS,
    "engine": ENGINES,
    "recipe": RECIPES,
    "dtype": DTYPES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "padding": PADDINGS,
    "boxes": BOXES,
    "on_divergence": ON_DIVERGENCE,
}


def _plain(name, value, kind):
    """`value` as the plain Python that a field of type `kind` (or None) holds, so that config.json can hold it too."""
    kind = typing.get_args(kind)[0] if isinstance(kind, types.UnionType) else kind
    what, convert = KINDS[kind]
    try:
        if isinstance(value, bool) is not (kind is bool):
            raise TypeError
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name} is {shown(value)}: it must be {what}") from None


def _number(value):
    if not isinstance(value, numbers.Real):
        raise TypeError
    return float(value)


def _text(value):
    text = os.fspath(value)  # a Path too
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError
    return text


def _pair(value):
    rows, columns = map(operator.index, value)
    if rows < 1 or columns < 1:
        raise ValueError
    return rows, columns


KINDS = {
    bool: ("True or False", bool),
    int: ("a whole number", operator.index),
    float: ("a number", _number),
    str: ("text, and not empty", _text),
    tuple[int, int]: ("rows and columns from 1 on, as (2, 4)", _pair),
}
