"""Everything that can be asked for wrongly in Python: settings, arguments, data, disks.

Each is refused in one line that names the value, the rule and the way out; nothing is left behind.  A new argument
belongs in these tables.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import support
from test_bad_commands import COMMANDS

import keras_dd
from keras_dd import data, devices, models, rundir
from keras_dd.boxes import boxes
from keras_dd.config import Settings, UserError
from keras_dd.data import Dataset, Split
from keras_dd.evaluation import accuracies
from keras_dd.files import PARTIAL
from keras_dd.weights_files import save_weights

# Settings: a wrong type or value in every field.

SETTINGS = [
    *((name, value) for name in ("width", "subnet_epochs", "epochs", "batch_size") for value in ("8", 8.0, [8], True)),
    *((name, value) for name in ("overlap", "crop") for value in ("8", 1.5, (8,), float("nan"))),
    *((name, value) for name in ("parts", "seed") for value in (None, "4", 4.5, False, np.array([1, 2]))),
    *(("validation_split", value) for value in (None, "0.1", [0.1], True, 1, float("inf"), 1j)),
    *(("grid", value) for value in ("2x2", 4, (2,), (2, 2, 2), (0, 4), (2.0, 2.0), ("2", "2"), (-2, -2), ())),
    *((name, value) for name in ("flip", "alternate", "lookahead") for value in ("yes", 1, 0.0)),
    *((name, value) for name in ("optimizer", "schedule", "padding", "boxes") for value in (3, "", "none", ["adam"])),
    *((name, value) for name in ("weight_decay", "bias_rate", "label_smoothing") for value in ("1", [1], True, -1)),
    *(("views", value) for value in (None, 0, 3, 2.0, True)),
    *(("deterministic", value) for value in (None, "no", 1)),
    *((name, value) for name in ("run_dir", "data_dir") for value in (3, "", b"runs", "a\0b", ["runs"])),
    *(
        (name, value)
        for name in ("dataset", "model", "recipe", "dtype", "shortcut", "block")
        for value in (None, 3, "", ["x"])
    ),
    *(("off_diagonal", value) for value in (None, 0.3, "", "ones", "noise:", ("noise", 0.3))),
    *(("devices", value) for value in (None, 2, ["CPU:0"], "")),
    *(("engine", value) for value in (None, 3, "", "dask", "Ray")),
    *(("address", value) for value in (6379, "", ["10.0.0.1:6379"])),
    *((name, value) for name in ("cpus", "gpus") for value in ("1", 1.5, -1, True)),
    ("cpus", 0),
    ("seed", 2**31),
    ("epochs", -1),
]


@pytest.mark.parametrize(("field", "value"), SETTINGS, ids=repr)
def test_settings_refuse(field, value):
    with pytest.raises(UserError) as error:
        Settings(**{field: value})
    message = str(error.value)
    assert field in message and "\n" not in message and len(message) < 250
    assert any(rule in message for rule in ("must be", "takes", "Choose one of"))


def test_settings_keep_plain_values():
    """What numpy, a Path or a list says plainly is taken, and config.json can hold it."""
    given = Settings(width=np.int64(8), validation_split=np.float32(0.5), grid=[np.int8(2), 2], run_dir=Path("a/b"))
    plain = {"width": 8, "validation_split": 0.5, "grid": (2, 2), "run_dir": "a/b"}
    for name, value in plain.items():
        assert getattr(given, name) == value and type(getattr(given, name)) is type(value)
    json.dumps(plain)


# Functions.


def images(count=20, shape=(16, 16, 1), dtype="uint8"):
    return np.zeros((count, *shape), dtype)


def labels(count=20, classes=10, dtype="int32"):
    return (np.arange(count) % classes).astype(dtype)


def dataset(train=None, test=None, validation=None, classes=tuple("0123456789")):
    good = Split(images(), labels())
    train, test = (good if split is None else split for split in (train, test))
    return Dataset("mine", train=train, test=test, validation=validation, classes=classes)


def fit(data, **settings):
    return lambda: keras_dd.fit(NETWORK(), data, **settings)


def with_images(value):
    return fit(dataset(train=Split(value, labels())))


def with_labels(value):
    return fit(dataset(train=Split(images(), value)))


NANS = np.full((20, 16, 16, 1), np.nan, "float32")
KEPT = {}


def NETWORK():
    """16x16x1 -> 10 scores, built once."""
    return KEPT.setdefault("network", support.network(4, image_shape=(16, 16, 1)))


def SUBNETS():
    return KEPT.setdefault("subnets", keras_dd.decompose(NETWORK(), parts=4, overlap=8))


def two_images():
    a, b = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    return keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Add()([a, b]))))


def no_size():
    x = inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def dense_only():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


class Subclass(keras.Model):
    def call(self, x):
        return x


FUNCTIONS = {
    # fit
    "fit: a number for a model": (lambda: keras_dd.fit(3), "model is 3: it must be the name of a network"),
    "fit: no model": (lambda: keras_dd.fit(None), "model is None"),
    "fit: a layer": (lambda: keras_dd.fit(keras.layers.Flatten()), "model is <Flatten"),
    "fit: an unknown model": (lambda: keras_dd.fit("resnet21"), "unknown model 'resnet21': did you mean 'resnet32'?"),
    "fit: an unknown data set": (lambda: keras_dd.fit("cnn", "cifar"), "did you mean 'cifar10'?"),
    "fit: a number for data": (lambda: keras_dd.fit("cnn", 3), "data is 3"),
    "fit: arrays for data": (lambda: keras_dd.fit("cnn", (images(), labels())), "data is (array("),
    "fit: an unknown setting": (lambda: keras_dd.fit(widht=3), "unknown setting 'widht': did you mean 'width'?"),
    "fit: text for a number": (lambda: keras_dd.fit(parts="4"), "parts is '4': it must be a whole number"),
    "fit: width of one's own": (fit("digits", width=8), "width is for a model that is asked for by name"),
    "fit: other images": (fit("digits"), "takes images (16, 16, 1) but those of 'digits' are (32, 32, 1)"),
    "fit: other classes": (fit(dataset(classes=tuple("abcdefghijk"))), "'mine' has 11 classes"),
    "fit: data_dir for own data": (fit(dataset(), data_dir="x"), "data_dir is for a dataset that is asked for"),
    "fit: a batch too large": (fit(dataset(), batch_size=21), "batch_size 21 is more than the 20 training images"),
    "fit: a crop too large": (fit(dataset(), batch_size=4, crop=16), "crop 16"),
    "fit: the option's name": (lambda: keras_dd.fit(dataset="cifar10"), "say data=... instead"),
    "bottleneck: no width": (lambda: models.bottleneck(50, width=0), "width is 0"),
    "bottleneck: no depth": (lambda: models.bottleneck([50]), "depth is [50]"),
    "bottleneck: flat images": (lambda: models.bottleneck(50, image_shape=(32, 32)), "image_shape is (32, 32)"),
    "fit: parts too many": (fit(dataset(), parts=16, batch_size=4), "fewer than the 16 parts"),
    "fit: boxes too many": (fit(dataset(), parts=64, grid=(1, 64)), "cannot be cut into 64 boxes"),
    "fit: no devices": (fit(dataset(), devices="none"), "devices 'none': there are"),
    # data
    "data: one class": (fit(dataset(classes=("a",))), "classes of 'mine' are ('a',): there must be two names or more"),
    "data: no classes": (fit(dataset(classes=())), "classes of 'mine' are ()"),
    "data: a number of classes": (fit(dataset(classes=10)), "classes of 'mine' are 10"),
    "data: classes that are numbers": (fit(dataset(classes=(0, 1))), "classes of 'mine' are (0, 1)"),
    "data: classes in one text": (fit(dataset(classes="0123456789")), "classes of 'mine' are '0123456789'"),
    "data: no images": (fit(dataset(train=Split(images(0), labels(0)))), "shape (0, 16, 16, 1)"),
    "data: no test images": (fit(dataset(test=Split(images(0), labels(0)))), "test split of 'mine'"),
    "data: no split": (fit(dataset(train=(images(), labels()))), "it must be a keras_dd.data.Split"),
    "data: a validation that is none": (fit(dataset(validation=0.1)), "validation split of 'mine' is 0.1"),
    "data: NaN": (with_images(NANS), "images of the train split of 'mine' are float32: they must be"),
    "data: floats": (with_images(images(dtype="float32")), "are float32"),
    "data: signed": (with_images(images(dtype="int8")), "are int8"),
    "data: lists": (with_images(images().tolist()), "are list: they must be a numpy array of uint8, 0 to 255"),
    "data: no channels": (with_images(images(shape=(16, 16))), "must be (N, height, width, channels)"),
    "data: no pixels": (with_images(images(shape=(0, 16, 1))), "shape (20, 0, 16, 1)"),
    "data: one image": (with_images(images()[0]), "shape (16, 16, 1)"),
    "data: other test images": (fit(dataset(test=Split(images(shape=(8, 8, 1)), labels()))), "bring them to one shape"),
    "data: labels too few": (with_labels(labels(19)), "has 20 images and labels (19,): there must be one an image"),
    "data: one-hot labels": (with_labels(np.eye(10, dtype=int)[labels()]), "labels (20, 10)"),
    "data: labels above": (with_labels(labels(classes=11)), "go from 0 to 10: with 10 classes they must be 0 to 9"),
    "data: labels below": (with_labels(labels() - 1), "go from -1 to 8"),
    "data: float labels": (with_labels(labels(dtype="float32")), "labels of the train split of 'mine' are float32"),
    "data: labels as text": (with_labels(np.array(["a"] * 20)), "are <U1"),
    "data: labels in a list": (with_labels(labels().tolist()), "are list"),
    "load: an unknown name": (lambda: data.load("mnits"), "unknown data set 'mnits'"),
    "load: no name": (lambda: data.load(None), "unknown data set 'None'"),
    "load: all held out": (lambda: data.load("digits", validation_split=1.0), "validation_split 1.0"),
    "load: a seed below zero": (lambda: data.load("digits", seed=-1), "seed -1"),
    "load: a seed that is text": (lambda: data.load("digits", seed="1"), "seed '1'"),
    "load: no folder": (lambda: data.load("cifar10", data_dir="/nowhere"), "'/nowhere' is not a folder"),
    # decompose and boxes
    "decompose: no model": (lambda: keras_dd.decompose(None), "None is no network: give a functional"),
    "decompose: a name": (lambda: keras_dd.decompose("resnet20"), "'resnet20' is no network"),
    "decompose: a layer": (lambda: keras_dd.decompose(keras.layers.Flatten()), "is no network"),
    "decompose: a class of one's own": (lambda: keras_dd.decompose(Subclass(name="own")), "'own' (Subclass) has no"),
    "decompose: two images": (lambda: keras_dd.decompose(two_images()), "it must have one, an image"),
    "decompose: any size": (lambda: keras_dd.decompose(no_size()), "it must have one, an image"),
    "decompose: no image": (lambda: keras_dd.decompose(dense_only()), "it must have one, an image"),
    "decompose: not built": (lambda: keras_dd.decompose(keras.Sequential(name="s")), "only functional and built"),
    "decompose: no parts": (lambda: keras_dd.decompose(NETWORK(), 0), "parts is 0: it must be a whole number, 1 or"),
    "decompose: parts below zero": (lambda: keras_dd.decompose(NETWORK(), -4), "parts is -4"),
    "decompose: parts as text": (lambda: keras_dd.decompose(NETWORK(), "4"), "parts is '4'"),
    "decompose: half parts": (lambda: keras_dd.decompose(NETWORK(), 2.5), "parts is 2.5"),
    "decompose: a list of parts": (lambda: keras_dd.decompose(NETWORK(), [1, 2]), "parts is [1, 2]"),
    "decompose: parts that do not divide": (lambda: keras_dd.decompose(NETWORK(), 16), "'conv1' has 4 channels"),
    "decompose: a grid of text": (
        lambda: keras_dd.decompose(NETWORK(), 4, grid="2x2"),
        "grid is '2x2': it must be two",
    ),
    "decompose: a grid of one": (lambda: keras_dd.decompose(NETWORK(), 4, grid=(4,)), "grid is (4,)"),
    "decompose: a number as grid": (lambda: keras_dd.decompose(NETWORK(), 4, grid=4), "grid is 4"),
    "decompose: a grid of zero": (lambda: keras_dd.decompose(NETWORK(), 4, grid=(0, 4)), "grid is 0"),
    "decompose: a grid of floats": (lambda: keras_dd.decompose(NETWORK(), 4, grid=(2.0, 2.0)), "grid is 2.0"),
    "decompose: another grid": (lambda: keras_dd.decompose(NETWORK(), 4, grid=(2, 3)), "grid 2x3 has 6 boxes"),
    "decompose: overlap as text": (lambda: keras_dd.decompose(NETWORK(), 4, "8"), "overlap is '8'"),
    "decompose: half a pixel": (lambda: keras_dd.decompose(NETWORK(), 4, 7.5), "overlap is 7.5"),
    "decompose: odd overlap": (lambda: keras_dd.decompose(NETWORK(), 4, 7), "overlap 7 cuts the image's height"),
    "decompose: overlap below zero": (lambda: keras_dd.decompose(NETWORK(), 4, -2), "overlap -2"),
    "decompose: overlap beyond the image": (lambda: keras_dd.decompose(NETWORK(), 4, 18), "overlap 18"),
    "decompose: overlap of three": (lambda: keras_dd.decompose(NETWORK(), 4, (8, 8, 8)), "overlap is (8, 8, 8)"),
    "decompose: boxes below a kernel": (
        lambda: keras_dd.decompose(models.cnn(16, image_shape=(8, 8, 1)), 16, 0),
        "boxes are too small for this network",
    ),
    "boxes: no image": (lambda: boxes((0, 0, 1), 4), "cannot be cut into 2 boxes"),
    # compose
    "compose: none": (lambda: keras_dd.compose([], NETWORK()), "there are no sub-networks to compose"),
    "compose: a model": (lambda: keras_dd.compose(NETWORK(), NETWORK()), "is no list of sub-networks"),
    "compose: a number": (lambda: keras_dd.compose(3, NETWORK()), "3 is no list of sub-networks"),
    "compose: no network in the list": (lambda: keras_dd.compose([None] * 4, NETWORK()), "None is no network"),
    "compose: one is none": (lambda: keras_dd.compose([*SUBNETS()[:3], "x"], NETWORK()), "'x' is no network"),
    "compose: into nothing": (lambda: keras_dd.compose(SUBNETS(), None), "None is no network"),
    "compose: too few": (lambda: keras_dd.compose(list(SUBNETS())[:3], NETWORK()), "3 sub-networks that see 12x12 px"),
    "compose: the full one, four times": (
        lambda: keras_dd.compose([NETWORK()] * 4, NETWORK()),
        "'conv1' of sub-network 1 has a weight",
    ),
    "compose: another network": (
        lambda: keras_dd.compose(SUBNETS(), support.network(8, image_shape=(16, 16, 1))),
        "compose the sub-networks that decompose(model) gave",
    ),
    "compose: other classes": (
        lambda: keras_dd.compose(SUBNETS(), support.network(4, image_shape=(16, 16, 1), classes=3)),
        "'head' of sub-network 1",
    ),
    "compose: an unknown rule": (lambda: keras_dd.compose(SUBNETS(), NETWORK(), "ones"), "off_diagonal is 'ones'"),
    "compose: a number as rule": (lambda: keras_dd.compose(SUBNETS(), NETWORK(), 0.3), "off_diagonal is 0.3"),
    "compose: a seed below zero": (lambda: keras_dd.compose(SUBNETS(), NETWORK(), "noise", -1), "seed is -1"),
    "compose: a seed as text": (lambda: keras_dd.compose(SUBNETS(), NETWORK(), "noise", "1"), "seed is '1'"),
    "compose: a grid as text": (lambda: keras_dd.compose(list(SUBNETS()), NETWORK(), grid="2x2"), "grid is '2x2'"),
    "compose: another grid": (lambda: keras_dd.compose(list(SUBNETS()), NETWORK(), grid=(1, 4)), "are no grid 1x4"),
    # reestimate
    "reestimate: no model": (lambda: keras_dd.reestimate(None, [images()]), "None is no network"),
    "reestimate: no batches": (lambda: keras_dd.reestimate(NETWORK(), []), "there are no batches"),
    "reestimate: nothing": (lambda: keras_dd.reestimate(NETWORK(), None), "batches is None"),
    "reestimate: other images": (lambda: keras_dd.reestimate(NETWORK(), [images(shape=(8, 8, 1))]), "takes images"),
    "reestimate: one image": (lambda: keras_dd.reestimate(NETWORK(), images()), "a batch has the shape (16, 16, 1)"),
    "reestimate: an empty batch": (lambda: keras_dd.reestimate(NETWORK(), [images(0)]), "shape (0, 16, 16, 1)"),
    # networks
    "resnet: depth": (lambda: models.resnet(21), "depth 21 of a resnet must be 6n+2, n at least 1: try 20 or 26"),
    "resnet: no depth": (lambda: models.resnet(0), "depth is 0"),
    "resnet: depth as text": (lambda: models.resnet("20"), "depth is '20'"),
    "resnet: depth in floats": (lambda: models.resnet(20.0), "depth is 20.0"),
    "resnet: shortcut": (lambda: models.resnet(8, shortcut="conv"), "unknown shortcut 'conv'"),
    "fastresnet: block": (lambda: models.fastresnet(8, block="type"), "unknown block 'type'"),
    "fastresnet: no block": (lambda: models.fastresnet(8, block=None), "unknown block None"),
    "moments of other images": (lambda: models.resnet(8, moments=([1], [1])), "moments are ([1], [1]): they must be"),
    "moments that are none": (lambda: models.cnn(8, moments=3), "moments are 3: they must be (mean, variance)"),
    "no variance": (lambda: models.cnn(8, moments=([0] * 3, [-1] * 3)), "with a number for each of the 3 channels"),
    "resnet: no shortcut": (lambda: models.resnet(8, shortcut=None), "unknown shortcut None"),
    **{
        f"{name}: {field} is {value!r}": (
            lambda name=name, field=field, value=value: getattr(models, name)(**{field: value}),
            f"{field} is {shown}",
        )
        for name in ("cnn", "resnet")
        for field, value, shown in (
            ("width", 0, "0"),
            ("width", -8, "-8"),
            ("width", 8.5, "8.5"),
            ("width", "8", "'8'"),
            ("width", None, "None"),
            ("classes", 1, "1: it must be a whole number, 2 or more"),
            ("classes", 0, "0"),
            ("classes", "10", "'10'"),
            ("image_shape", (32, 32), "(32, 32)"),
            ("image_shape", 32, "32"),
            ("image_shape", (0, 32, 3), "0"),
            ("image_shape", (32, 32, -3), "-3"),
            ("image_shape", (32, None, 3), "None"),
        )
    },
    # devices, weights
    "devices: unknown": (lambda: devices.pick("TPU"), "devices 'TPU': there are"),
    "weights: no model": (lambda: save_weights(None, "a.weights.h5"), "None is no network"),
    "weights: not built": (lambda: save_weights(Subclass(name="own"), "a.weights.h5"), "'own' (Subclass) has no graph"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_refuse(name, folder):
    call, says = FUNCTIONS[name]
    with pytest.raises(UserError) as error:
        call()
    message = str(error.value)
    assert says in message and "\n" not in message and len(message) < 400, message


def test_there_are_enough():
    assert len(COMMANDS) + len(SETTINGS) + len(FUNCTIONS) >= 150


# Disks.


@pytest.mark.parametrize("name", ["a.weights.h5", "a.card.json"])
def test_a_full_disk_leaves_no_half_weights(name, folder):
    (folder / f"{PARTIAL}{name}").symlink_to("/dev/full")  # as full as a disk can be
    with pytest.raises(OSError, match="No space left on device"):
        save_weights(NETWORK(), folder / "a.weights.h5")


def test_a_folder_that_may_not_be_written(folder):
    folder.chmod(0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may write everywhere, and is nobody for a moment
    try:
        with pytest.raises(UserError, match=r"'run' cannot be written \(Permission denied\)"):
            rundir.create(Settings(run_dir="run"), "a test")
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_an_image_of_nan_does_not_hang_training():
    """`train` itself, below the checks, ends on numbers that are none."""
    assert accuracies(NETWORK(), data.evaluation_batches(Split(NANS, labels()), 10))[0] <= 0.2
