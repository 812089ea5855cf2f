"""Sets of TensorFlow Datasets: its real builders prepare tiny archives of generated images, which are then read.

The data of Food-101 and of the flowers cannot be had in a test: what is tested is the way from their archives to the
batches, not the number or the look of their photographs.
"""

import io
import json

import numpy as np
import pytest
import support
from PIL import Image

from keras_dd import data
from keras_dd.config import UserError

FOODS = ("apple_pie", "bibimbap", "waffles")


def jpeg(seed, size):
    """Soft noise as the bytes of a JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def food_dir(tmp_path_factory):
    """Food-101 with 20 training and 10 validation images of 48x32 pixels."""
    data_dir = tmp_path_factory.mktemp("food")
    names = [f"{FOODS[number % 3]}/{number}" for number in range(30)]
    files = {f"food-101/images/{name}.jpg": jpeg(seed, (48, 32)) for seed, name in enumerate(names)}
    for part, chosen in (("train", names[:20]), ("test", names[20:])):
        listed = {food: [name for name in chosen if name.startswith(food)] for food in FOODS}
        files[f"food-101/meta/{part}.json"] = json.dumps(listed).encode()
    support.put_archive(data_dir, "food101", files)
    return data_dir


def test_food101_has_its_official_split_and_that_of_the_paper(food_dir):
    official = data.load("food101", food_dir)
    assert (len(official.train), len(official.test), official.image_shape) == (20, 10, (224, 224, 3))
    assert len(official.classes) == 101 and official.classes[0] == "apple_pie"
    assert official.notes == ("images are brought to 224x224 px",)
    paper = data.load("food101", food_dir, split="paper", image_size=32)
    assert (len(paper.train), len(paper.test), paper.image_shape) == (26, 4, (32, 32, 3))
    official = data.load("food101", food_dir, image_size=32)
    seen = [{image.tobytes() for image in split.images} for split in (paper.train, paper.test, official.test)]
    assert len(seen[0] | seen[1]) == 30 and seen[1] < seen[2]


def test_food101_is_decoded_as_tfds_decodes_it(food_dir):
    import tensorflow_datasets as tfds

    dataset = tfds.builder("food101", data_dir=food_dir).as_dataset(split="train", as_supervised=True)
    wanted = [(image[:, 8:40], label) for image, label in tfds.as_numpy(dataset)]  # the middle
    mine = data.load("food101", food_dir, image_size=32).train
    for (image, label), ours, our_label in zip(wanted, mine.images, mine.labels, strict=True):
        assert (
            label == our_label and np.abs(image.astype(int) - ours).mean() < 3
        )  # TF rounds its inverse DCT another way


def test_food101_streams_what_would_be_held(food_dir, monkeypatch):
    held = data.load("food101", food_dir, 0.2, 5, "paper", 24)
    monkeypatch.setattr(data.stream, "HELD_BYTES", 0)
    stream = data.load("food101", food_dir, 0.2, 5, "paper", 24)
    assert [len(split) for split in (stream.train, stream.validation, stream.test)] == [21, 5, 4]
    for ours, theirs in ((stream.train, held.train), (stream.validation, held.validation), (stream.test, held.test)):
        assert isinstance(ours, data.Stream) and np.array_equal(ours.labels, theirs.labels)
        drawn = [list(data.training_batches(each, 2).take(4).as_numpy_iterator()) for each in (ours, theirs)]
        assert all(np.array_equal(a, b) for one, two in zip(*drawn, strict=True) for a, b in zip(one, two, strict=True))


def test_a_set_without_test_images_has_some_held_out(tmp_path):
    files = {
        f"flower_photos/{name}/{number}.jpg": jpeg(number, (30, 20))
        for name in ("roses", "tulips")
        for number in range(5)
    }
    support.put_archive(tmp_path, "tf_flowers", files)
    flowers = data.load("tf_flowers", tmp_path, image_size=20)
    assert (len(flowers.train), len(flowers.test), flowers.image_shape) == (8, 2, (20, 20, 3))
    assert {flowers.classes[label] for label in flowers.test.labels} == {"roses", "tulips"}
    assert "tf_flowers has no test images: 2 of its images" in flowers.notes[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imdb_reviews", r"'imdb_reviews' is no image classification set \(it has text -> label\): choose one that is"),
        ("coco", r"no image classification set \(it has no pair"),
        ("tf_flower", "unknown data set 'tf_flower': did you mean 'tf_flowers'"),
        ("food-101", "did you mean 'food101'"),
        ("huggingface:mnist", "unknown data set"),
        ("nowhere/at/all", "unknown data set"),
    ],
)
def test_other_names_are_explained(name, said, tmp_path):
    with pytest.raises(UserError, match=said) as error:
        data.load(name, tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_image_is_explained(food_dir, tmp_path):
    folder = next((food_dir / "food101").iterdir())
    copy = tmp_path / "food101" / folder.name
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        content = file.read_bytes()
        (copy / file.name).write_bytes(
            content.replace(b"\xff\xd8\xff", b"\xff\xff\xff", 1) if "train" in file.name else content
        )
    with pytest.raises(UserError, match="food101 in .* cannot be read .*1 of its images are broken.*: delete it there"):
        data.load("food101", tmp_path, image_size=8)
