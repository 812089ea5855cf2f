"""Everything that can be asked for wrongly, over the command line and the Python API.

Each is refused in one line that names the value, the rule and the way out; nothing is left behind.  A new option or
argument belongs in these tables.
"""

import errno
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import support

import keras_dd
from keras_dd import data, devices, models, rundir, train
from keras_dd.apps.main import main
from keras_dd.boxes import boxes
from keras_dd.config import Settings, UserError
from keras_dd.data import Dataset, Split
from keras_dd.files import PARTIAL
from keras_dd.weights_files import save_weights

# The command line: (arguments, what stderr says).  In the folder are "file", "full/of things", "locked" and "loop".

WHOLE_NUMBERS = ("width", "parts", "overlap", "subnet-epochs", "epochs", "batch-size", "crop", "seed")
COMMANDS = [
    ("fit --nonsense", "No such option"),
    ("fit extra", "unexpected extra argument"),
    ("fti", "No such command 'fti'"),
    ("--nonsense", "No such option"),
    *((f"fit --{name} x", f"'--{name}': 'x' is not a valid integer") for name in WHOLE_NUMBERS),
    *((f"fit --{name} 1.5", f"'--{name}': '1.5' is not a valid integer") for name in WHOLE_NUMBERS),
    *((f"fit --{name}", f"Option '--{name}' requires an argument") for name in WHOLE_NUMBERS),
    *((f"fit --{name} -1", f"{name.replace('-', '_')} is -1: it must be at least") for name in WHOLE_NUMBERS),
    ("fit --width 0", "width is 0: it must be at least 1"),
    ("fit --parts 0", "parts is 0: it must be at least 1"),
    ("fit --batch-size 0", "batch_size is 0: it must be at least 1"),
    ("fit --seed 2147483648", "seed is 2147483648: it must be at least 0 and below 2147483648"),
    ("fit --validation-split 1", "validation_split is 1.0: it must be at least 0 and below 1"),
    ("fit --validation-split -0.5", "validation_split is -0.5"),
    ("fit --validation-split nan", "validation_split is nan"),
    ("fit --validation-split inf", "validation_split is inf"),
    ("fit --validation-split half", "'half' is not a valid float"),
    ("fit --grid 2", "'2' is not ROWSxCOLUMNS, as in 2x4."),
    ("fit --grid 2x", "'2x' is not ROWSxCOLUMNS"),
    ("fit --grid axb", "'axb' is not ROWSxCOLUMNS"),
    ("fit --grid 2x2x2", "'2x2x2' is not ROWSxCOLUMNS"),
    ("fit --grid 0x4", "'0x4' is not ROWSxCOLUMNS"),
    ("fit --grid -2x-2", "'-2x-2' is not ROWSxCOLUMNS"),
    ("fit --grid 2x3 --parts 4", "grid 2x3 has 6 boxes but parts is 4: try grid 2x2, or 6 parts"),
    ("fit --grid 1x64", "the image's width of 32 px cannot be cut into 64 boxes"),
    ("fit --grid 3x3", "cuts the image's height of 32 px into 3 boxes"),
    ("fit --parts 1000000007", "cannot be cut into 1000000007 boxes"),
    ("fit --overlap 33", "overlap 33 cuts the image's height of 32 px into 2 boxes"),
    ("fit --overlap 7", "as with overlap 4 or 6 or 8"),
    ("fit --recipe papr", "unknown recipe 'papr': did you mean 'paper'?"),
    ("fit --recipe xyz", "Choose one of quick, paper."),
    ("fit --dtype float16", "unknown dtype 'float16'"),
    ("fit --dtype bf16", "unknown dtype 'bf16': did you mean 'bfloat16'?"),
    ("fit --shortcut none", "unknown shortcut 'none'"),
    ("fit --shortcut identity", "shortcut 'identity' is for resnets"),
    ("fit --dataset digit", "did you mean 'digits'?"),
    ("fit --model resnet", "unknown model 'resnet'"),
    ("fit --model CNN", "unknown model 'CNN': did you mean 'cnn'?"),
    ("fit --model resnet8 --width 3", "3 channels, fewer than the 4 parts"),
    ("fit --off-diagonal ones", "off_diagonal is 'ones': it takes zeros, noise:SCALE or orthogonal:SCALE"),
    ("fit --off-diagonal noise:-1", "off_diagonal is 'noise:-1'"),
    ("fit --off-diagonal noise:nan", "off_diagonal is 'noise:nan'"),
    ("fit --off-diagonal zeros:2", "off_diagonal is 'zeros:2'"),
    ("fit --devices 0", "devices '0': there are CPU:0"),
    ("fit --devices GPU:7", "devices 'GPU:7': there are CPU:0"),
    ("fit --devices -1", "devices '-1'"),
    ("fit --devices CPU:0,", "devices 'CPU:0,'"),
    ("fit --devices 99", "only be split before TensorFlow starts"),
    ("fit --batch-size 1438", "batch_size 1438 is more than the 1437 training images"),
    ("fit --validation-split 0.00001", "to hold out 1e-05 of 1437 images leaves one side empty"),
    ("fit --crop 32", "crop 32 is not a whole number from 0 to 31"),
    ("fit --dataset cifar10 --data-dir nowhere", "'nowhere' is not a folder"),
    ("fit --data-dir file", "'file' is a file"),
    ("fit --dataset cifar10 --data-dir loop", "'loop'"),
    ("fit --run-dir file", "'file' is a file"),
    ("fit --run-dir loop/run", "run directory 'loop/run' cannot be written (Too many levels of symbolic links)"),
    (f"fit --run-dir {'n' * 300}", "cannot be written (File name too long)"),
    ("bench --width 0", "width is 0: it must be at least 1"),
    ("bench --parts 0", "parts is 0: it must be at least 1"),
    ("bench --batch-size 0", "batch-size is 0: it must be at least 1"),
    ("bench --steps 0", "steps is 0: it must be at least 1"),
    ("bench --rounds -2", "rounds is -2: it must be at least 1"),
    ("bench --model resnet9", "unknown model 'resnet9': did you mean"),
    ("bench --width wide", "'wide' is not a valid integer"),
    ("bench --output nowhere/b.json", "nowhere/b.json"),
    ("bench --output full", "full"),
    ("feed --output nowhere/feed.json", "output 'nowhere/feed.json' cannot be written"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the mistakes are made; it is the same afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full" / "of things").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")

    def state():
        return {str(path): path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    before = state()
    yield tmp_path
    assert state() == before


@pytest.mark.parametrize(("line", "says"), COMMANDS, ids=[line[:60] for line, _ in COMMANDS])
def test_the_command_line_refuses(line, says, folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(line.split())
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (2, "")
    assert stderr.startswith("keras-dd: ") and stderr.count("\n") == 1, stderr
    assert says in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("value", ["x", "-3"])
def test_the_environment_is_checked_too(value, folder, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_DD_FIT_EPOCHS", value)
    with pytest.raises(SystemExit) as end:
        main(["fit"])
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (2, "")
    assert stderr.startswith("keras-dd: ") and stderr.count("\n") == 1 and value in stderr


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "Denied")])
def test_what_fails_while_running_is_one_line_and_exit_code_1(failure, folder, monkeypatch, capsys):
    def fails(settings, command):
        raise failure

    monkeypatch.setattr("keras_dd.pipeline.run", fails)
    with pytest.raises(SystemExit) as end:
        main(["fit"])
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (1, "")
    assert stderr == f"keras-dd: {failure}\n"


# Settings: a wrong type or value in every field.

SETTINGS = [
    *((name, value) for name in ("width", "subnet_epochs", "epochs", "batch_size") for value in ("8", 8.0, [8], True)),
    *((name, value) for name in ("overlap", "crop") for value in ("8", 1.5, (8,), float("nan"))),
    *((name, value) for name in ("parts", "seed") for value in (None, "4", 4.5, False, np.array([1, 2]))),
    *(("validation_split", value) for value in (None, "0.1", [0.1], True, 1, float("inf"), 1j)),
    *(("grid", value) for value in ("2x2", 4, (2,), (2, 2, 2), (0, 4), (2.0, 2.0), ("2", "2"), (-2, -2), ())),
    *(("flip", value) for value in ("yes", 1, 0.0)),
    *(("deterministic", value) for value in (None, "no", 1)),
    *((name, value) for name in ("run_dir", "data_dir") for value in (3, "", b"runs", "a\0b", ["runs"])),
    *((name, value) for name in ("dataset", "model", "recipe", "dtype", "shortcut") for value in (None, 3, "", ["x"])),
    *(("off_diagonal", value) for value in (None, 0.3, "", "ones", "noise:", ("noise", 0.3))),
    *(("devices", value) for value in (None, 2, ["CPU:0"], "")),
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
    assert train.accuracy(NETWORK(), data.evaluation_batches(Split(NANS, labels()), 10)) <= 0.2
