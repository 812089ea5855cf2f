import hashlib
from pathlib import Path

import numpy as np
import pytest
import support

from keras_dd import data
from keras_dd.config import UserError
from keras_dd.data.splits import hold_out


def numbered(count, height=6, width=5, channels=2):
    """A split whose images can be told apart, and are labelled with their position."""
    images = np.random.default_rng(0).integers(1, 256, (count, height, width, channels), dtype="uint8")
    return data.Split(images, np.arange(count, dtype="int32"))


# ----------------------------------------------------------------------------------------------------- the sets


def test_digits_are_the_embedded_set():
    digits = data.load()
    assert (digits.name, len(digits.train), len(digits.test), digits.validation) == ("digits", 1437, 360, None)
    assert digits.image_shape == (32, 32, 1)
    assert digits.classes == tuple("0123456789")
    for split in (digits.train, digits.test):
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
        assert (split.images.min(), split.images.max()) == (0, 255)
        assert split.images.shape == (len(split), 32, 32, 1) and split.labels.shape == (len(split),)
    assert digits.train.labels[:10].tolist() == list(range(10))
    assert np.bincount(digits.test.labels).tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]


def test_digits_are_resized_bilinearly():
    import tensorflow as tf

    with np.load(Path(data.__file__).with_name("digits.npz"), allow_pickle=False) as file:
        wanted = tf.image.resize(file["images"][:1437, ..., None], (32, 32)).numpy() * (255 / 16)
    assert np.abs(data.load().train.images - wanted).max() <= 0.5 + 1e-4


def test_digits_can_be_told_apart():
    digits = data.load()
    train, test = (split.images.reshape(len(split), -1).astype("float32") for split in (digits.train, digits.test))
    nearest = ((train**2).sum(1) - 2 * test @ train.T).argmin(axis=1)
    assert (digits.train.labels[nearest] == digits.test.labels).mean() > 0.95


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"name": "cifar11"}, "unknown data set 'cifar11': did you mean 'cifar10'"),
        ({"name": "CIFAR-100"}, "did you mean 'cifar100'"),
        ({"name": None}, "unknown data set 'None': "),
        ({"validation_split": 1.0}, "validation_split 1.0 is not in"),
        ({"validation_split": -0.1}, "validation_split -0.1 is not in"),
        ({"validation_split": float("nan")}, "validation_split nan is not in"),
        ({"validation_split": 0.0001}, "leaves one side empty"),
        ({"seed": -1}, "seed -1 is not a whole number from 0"),
        ({"seed": 2**31}, "seed 2147483648 is not"),
        ({"seed": 0.5}, "seed 0.5 is not"),
    ],
)
def test_load_explains_a_mistake_in_one_line(kwargs, message):
    with pytest.raises(UserError, match=message) as error:
        data.load(**kwargs)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------ TFDS, from disk


def records(images, *labels):
    """CIFAR's binary layout: for each image its labels, then all red, all green, all blue bytes."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([np.stack(labels, axis=1).astype("uint8"), planes], axis=1).tobytes()


def cifar_images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype="uint8")


@pytest.fixture(scope="module")
def cifar10_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    images, labels = cifar_images(60), np.arange(60) % 10
    files = {"batches.meta.txt": "\n".join(f"class {label}" for label in range(10)).encode()}
    for start, file in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        files[file] = records(images[start * 10 : start * 10 + 10], labels[start * 10 : start * 10 + 10])
    support.put_archive(
        data_dir, "cifar10", {f"cifar-10-batches-bin/{file}": content for file, content in files.items()}
    )
    return data_dir


@pytest.fixture(scope="module")
def cifar10(cifar10_dir):
    """Prepared by the real builder, from the archive."""
    return data.load("cifar10", data_dir=str(cifar10_dir))


def as_set(images, labels):
    return {
        (hashlib.sha256(image.tobytes()).hexdigest(), int(label)) for image, label in zip(images, labels, strict=True)
    }


def test_cifar10_is_prepared_and_read(cifar10):
    images, labels = cifar_images(60), np.arange(60) % 10
    assert cifar10.image_shape == (32, 32, 3) and cifar10.classes[3] == "class 3" and len(cifar10.classes) == 10
    assert cifar10.train.images.dtype == np.uint8 and cifar10.train.labels.dtype == np.int32
    assert as_set(cifar10.train.images, cifar10.train.labels) == as_set(images[:50], labels[:50])
    assert as_set(cifar10.test.images, cifar10.test.labels) == as_set(images[50:], labels[50:])


def test_cifar10_prepared_is_read_again_without_a_network(cifar10, cifar10_dir, capfd, no_network):
    capfd.readouterr()
    again = data.load("cifar10", data_dir=cifar10_dir, validation_split=0.2)
    assert (len(again.train), len(again.validation), len(again.test)) == (40, 10, 10)
    assert np.array_equal(again.test.images, cifar10.test.images)
    assert capfd.readouterr().out == ""


def test_cifar100_has_the_fine_labels(tmp_path):
    images, coarse, fine = cifar_images(8), np.arange(8), np.arange(8) * 12
    names = {
        "coarse_label_names.txt": "\n".join(f"coarse {label}" for label in range(20)).encode(),
        "fine_label_names.txt": "\n".join(f"fine {label}" for label in range(100)).encode(),
    }
    files = {
        "train.bin": records(images[:6], coarse[:6], fine[:6]),
        "test.bin": records(images[6:], coarse[6:], fine[6:]),
    }
    support.put_archive(
        tmp_path, "cifar100", {f"cifar-100-binary/{file}": data for file, data in (names | files).items()}
    )
    cifar100 = data.load("cifar100", data_dir=tmp_path)
    assert as_set(cifar100.train.images, cifar100.train.labels) == as_set(images[:6], fine[:6])
    assert cifar100.classes[:2] == ("fine 0", "fine 1") and len(cifar100.classes) == 100


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails, and at once: a proxy address without a host is not even tried."""
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="data_dir .*nowhere' is not a folder: create it"):
        data.load("cifar10", data_dir=tmp_path / "nowhere")


def test_a_failed_download_says_what_to_do(tmp_path, capfd, no_network):
    with pytest.raises(UserError) as error:
        data.load("cifar10", data_dir=tmp_path)
    message = str(error.value)
    assert message.startswith(f"cifar10 is neither prepared in {tmp_path}") and "nor could it be downloaded" in message
    assert message.endswith("copy a prepared folder to that place.") and "\n" not in message
    assert capfd.readouterr().out == ""  # TFDS's chatter belongs on stderr


@pytest.mark.parametrize("broken", ["no images", "half an image file", "half a description", "nothing at all"])
def test_a_broken_folder_is_explained_in_one_line(broken, cifar10, cifar10_dir, tmp_path, no_network):
    folder = tmp_path / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    for file in (cifar10_dir / "cifar10" / "3.0.2").iterdir():
        content = file.read_bytes()
        is_images, is_description = ".tfrecord" in file.name, file.name == "dataset_info.json"
        if broken == "nothing at all" or (broken == "no images" and is_images):
            continue
        half = (broken == "half an image file" and is_images) or (broken == "half a description" and is_description)
        (folder / file.name).write_bytes(content[: len(content) // 2] if half else content)
    with pytest.raises(UserError, match="cifar10 in .* cannot be read .*: delete it there and run again") as error:
        data.load("cifar10", data_dir=tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


# -------------------------------------------------------------------------------------------------- the hold-out


def test_hold_out_is_stratified_disjoint_and_leaves_the_test_images_alone():
    whole, held = data.load(), data.load(validation_split=0.25, seed=3)
    assert len(held.validation) == round(0.25 * 1437) and len(held.train) + len(held.validation) == 1437
    share = np.bincount(held.validation.labels) - 0.25 * np.bincount(whole.train.labels)
    assert np.abs(share).max() < 1
    assert np.array_equal(held.test.images, whole.test.images) and np.array_equal(held.test.labels, whole.test.labels)


def test_hold_out_takes_each_image_once_and_keeps_the_order():
    split = data.Split(numbered(1000).images, np.repeat(np.arange(10), 100).astype("int32"))
    rest, held = hold_out(split, 0.1, seed=0)
    assert np.bincount(held.labels).tolist() == [10] * 10
    position = {image.tobytes(): at for at, image in enumerate(split.images)}
    left, right = ([position[image.tobytes()] for image in part.images] for part in (rest, held))
    assert left == sorted(left) and right == sorted(right) and sorted(left + right) == list(range(1000))


def test_moments_are_those_of_all_pixels_of_a_channel(rng):
    images = rng.integers(0, 256, (1200, 5, 4, 3), dtype="uint8") // (1, 2, 256)
    mean, variance = data.moments(data.Split(images.astype("uint8"), np.zeros(1200, "int32")))
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)))
    np.testing.assert_allclose(variance, images.var((0, 1, 2)))
    assert variance[2] == 0


def test_hold_out_is_drawn_by_the_seed():
    one, two, other = (data.load(validation_split=0.1, seed=seed).validation.images for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
