"""Cards: all that is known of a model of the zoo, as JSON, one file a model with its weights beside it.

A card is read into dataclasses, and every field is looked at on the way: one that is missing, unknown or of another
kind is an error in one line.  Accuracies are fractions of the test split.
"""

import dataclasses
import json
import math
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path

from keras_dd.config import VIEWS, UserError, shown, unknown

FOLDER = Path(__file__).parent / "weights"
SUFFIX, WEIGHTS_SUFFIX = ".json", ".npz"
LARGEST = 4 * 2**20  # bytes of a card; one of a thousand classes has some 100,000
LARGEST_WEIGHTS = 5_000_000  # bytes that the wheel takes in; larger ones have a url
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class Weights:
    """The file of weights: its size and sha256, how numbers are stored, and where it is if not beside the card."""

    bytes: int
    sha256: str
    dtype: str
    url: str | None


@dataclass(frozen=True)
class Data:
    """What the model was trained on; `mark` tells the test images from others (see `data.Split.mark`)."""

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    train_images: int
    test_images: int
    mark: str
    notes: tuple[str, ...]
    licence: str
    citation: str


@dataclass(frozen=True)
class Training:
    """How it was trained: `parts` is the number of sub-networks, None without; `seconds` are those of all stages of
    training together, without evaluation, on `machine`; `settings` are the fields of `keras_dd.Settings`."""

    parts: int | None
    command: str
    commit: str | None
    seeds: tuple[int, ...]
    seconds: float
    machine: dict
    settings: dict


@dataclass(frozen=True)
class Confusion:
    """How many test images of class `label` were taken for `predicted`."""

    label: str
    predicted: str
    images: int


@dataclass(frozen=True)
class Scores:
    """What the weights in the file reach on the whole test split; see `measures.scores` for each of them."""

    images: int
    top1: float
    top5: float | None
    views: int
    by_views: float | None
    per_class: tuple[float | None, ...]
    confused: tuple[Confusion, ...]
    calibration_error: float
    calibration_bins: int


@dataclass(frozen=True)
class Twin:
    """The same network from random initialisation, trained conventionally."""

    accuracy: float
    seconds: float
    command: str


@dataclass(frozen=True)
class Card:
    """A model: the builder of `keras_dd.models.MODELS` and its arguments, its weights, and how it came about."""

    name: str
    architecture: str
    arguments: dict
    parameters: int
    macs: int
    weights: Weights
    data: Data
    training: Training
    scores: Scores
    twin: Twin | None
    licence: str


def models():
    """The names of all models that come with the package, in alphabetical order."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def card(name):
    """The `Card` of a model of the zoo, or of a path that ends in ".json".  UserError: an unknown name, a bad card."""
    return read(locate(name))


def locate(name):
    """The path of a model's card: in the package, or where `name`, ending in ".json", says."""
    name = str(name)
    if name.endswith(SUFFIX):
        return Path(name).expanduser()
    if name not in models():
        raise unknown("model of the zoo", name, models())
    return FOLDER / f"{name}{SUFFIX}"


def read(path):
    """The card in a file, checked.  Its weights are at `weights_path(path)`."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(LARGEST))
    except OSError as error:
        raise UserError(f"card {str(path)!r} cannot be read ({error.strerror}): name one of the zoo's") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"card {str(path)!r} is no JSON ({type(error).__name__}): get it again") from error
    found = checked(content, f"card {str(path)!r}")
    if path.name != found.name + SUFFIX:
        raise UserError(f"card {str(path)!r} is that of {found.name!r}: name the file {found.name}{SUFFIX}")
    return found


def weights_path(path):
    """Where the weights lie that belong to the card at `path`: beside it."""
    return path.with_name(path.name.removesuffix(SUFFIX) + WEIGHTS_SUFFIX)


def text(card):
    """A card as the JSON that `read` reads."""
    return json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n"


def naming(name, url):
    """{rule: whether it holds} for what a model is called, and where its weights are."""
    return {
        "name must be lower-case letters, digits, '.', '_' and '-'": re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name),
        "weights.url must begin with https:// or http://": re.match(r"https?://\S+$", url or "http://none"),
    }


def checked(content, where="card"):
    """The `Card` in plain JSON, or UserError: each field of its kind, and those that belong together fitting."""
    found = _checked(Card, content, where)
    weights, data, scores, training = found.weights, found.data, found.scores, found.training
    count = len(data.classes)
    fractions = {name: getattr(scores, name) for name in ("top1", "top5", "by_views", "calibration_error")}
    fractions |= {"per_class": max((each for each in scores.per_class if each is not None), default=0)}
    fractions |= {"twin": found.twin and found.twin.accuracy}
    rules = naming(found.name, weights.url) | {
        "weights.sha256 must be 64 hexadecimal digits": re.fullmatch(r"[0-9a-f]{64}", weights.sha256),
        f"weights.dtype must be {' or '.join(DTYPES)}": weights.dtype in DTYPES,
        "data.classes must be two or more": count >= 2,
        "data.image_shape must be height, width, channels": len(data.image_shape) == 3 and min(data.image_shape) > 0,
        "scores.per_class must have one number a class": len(scores.per_class) == count,
        "scores.images must be data.test_images": scores.images == data.test_images > 0,
        f"scores.views must be one of {', '.join(map(str, VIEWS))}": scores.views in VIEWS,
        "scores.by_views is for two views or more": (scores.by_views is None) is (scores.views == 1),
        "training.seeds must not be empty": training.seeds,
    }
    rules |= {f"{name} must be a fraction, 0 to 1": (value or 0) <= 1 for name, value in fractions.items()}
    for rule, holds in rules.items():
        if not holds:
            raise UserError(f"{where}: {rule}; get it again, or release the model again")
    return found


def _checked(kind, value, where):
    """`value` as the dataclass, tuple, number or text that `kind` is."""
    inner = typing.get_args(kind)
    if isinstance(kind, types.UnionType):  # with None
        return None if value is None else _checked(inner[0], value, where)
    if dataclasses.is_dataclass(kind):
        fields = {field.name: field.type for field in dataclasses.fields(kind)}
        if not isinstance(value, dict):
            raise _refused(where, value, f"an object with {', '.join(fields)}")
        if set(value) != set(fields):
            odd = sorted(set(value) ^ set(fields))[0]
            raise UserError(f"{where} {'has an unknown' if odd in value else 'lacks the'} field {odd!r}: get it again")
        return kind(**{name: _checked(fields[name], value[name], f"{where}: {name}") for name in fields})
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _refused(where, value, "a list")
        return tuple(_checked(inner[0], each, where) for each in value)
    what, holds = KINDS[kind]
    if not holds(value):
        raise _refused(where, value, what)
    return value


def _refused(where, value, what):
    return UserError(f"{where} is {shown(value)}: it must be {what}")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


KINDS = {
    str: ("text, and not empty", lambda value: isinstance(value, str) and value),
    int: ("a whole number from 0 on", lambda value: _is_number(value) and isinstance(value, int)),
    float: ("a number from 0 on", _is_number),
    dict: ("an object", lambda value: isinstance(value, dict)),
}
