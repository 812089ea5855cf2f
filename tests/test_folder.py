"""A user's own folder of images: sizes, modes, bad files, hold-out, links, and streams that equal what is held."""

import json
import os

import numpy as np
import pytest
import support
from PIL import Image

import keras_dd
from keras_dd import config, data
from keras_dd.config import UserError

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def put(path, colour, size=(20, 20), mode="RGB", **options):
    """An image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    if mode == "CMYK":
        image = image.convert("CMYK")
    elif mode != "RGB":
        image = image.convert(mode, **({"palette": Image.Palette.ADAPTIVE} if mode == "P" else {}))
    image.save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Three classes of ten images, in noise around their colour."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            noisy = np.clip(np.array(colour) + random.integers(-60, 60, (12, 15, 3)), 0, 255).astype("uint8")
            Image.fromarray(noisy).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_a_folder_is_read_and_a_fifth_held_out_for_the_test(folder):
    mine = data.load(str(folder), seed=1)
    assert (mine.name, mine.classes) == ("photos", ("blue", "green", "red"))
    assert mine.image_shape == (12, 15, 3)  # all are of this size
    assert (len(mine.train), len(mine.test)) == (24, 6) and np.bincount(mine.test.labels).tolist() == [2, 2, 2]
    assert "no test images: 6 of its images, drawn by class and seed 1, are held out" in mine.notes[0]
    for split in (mine.train, mine.test):
        assert np.array_equal(split.images.mean(axis=(1, 2)).argmax(axis=1), 2 - split.labels)
    again, other = (data.load(str(folder), seed=seed).test.images for seed in (1, 2))
    assert np.array_equal(again, mine.test.images) and not np.array_equal(other, mine.test.images)


def test_images_that_are_kept_are_read_once(folder):
    with data.kept():
        first = data.load(str(folder), seed=1)
        for file in folder.glob("red/[0-4].png"):
            file.unlink()
        with data.kept():
            again = data.load(str(folder), seed=1)
        other = data.load(str(folder), seed=1, image_size=8)
    assert np.array_equal(again.train.images, first.train.images) and len(again.train) == 24
    assert other.image_shape == (8, 8, 3) and len(other.train) == len(data.load(str(folder), seed=1).train) == 20


def test_train_and_test_folders_are_kept_apart(tmp_path):
    for half, size in (("train", 4), ("test", 2)):
        for name, colour in COLOURS.items():
            for number in range(size):
                put(tmp_path / half / name / "deeper" / f"{number}.png", colour, mode="L")
    put(tmp_path / "train" / ".hidden" / "1.png", "red")
    (tmp_path / "train" / "red" / ".DS_Store").write_bytes(b"litter")
    mine = data.load(tmp_path)
    assert (len(mine.train), len(mine.test), mine.classes) == (12, 6, ("blue", "green", "red"))
    assert mine.image_shape == (20, 20, 1) and mine.notes == ()
    put(tmp_path / "test" / "yellow" / "1.png", "yellow")
    with pytest.raises(UserError, match="yellow' is no class of"):
        data.load(tmp_path)


def test_every_mode_and_size_comes_out_as_its_colour(tmp_path):
    modes = {
        "cmyk.jpg": {"mode": "CMYK"},
        "grey.jpg": {"mode": "L"},
        "palette.png": {"mode": "P"},
        "palette.gif": {"mode": "P"},
        "alpha.png": {"mode": "RGBA"},
        "grey_alpha.png": {"mode": "LA"},
        "bilevel.png": {"mode": "1"},
        "lossless.webp": {"lossless": True},
        "plain.bmp": {},
        "large.jpg": {"size": (700, 300)},
        "tiny.png": {"size": (1, 3)},
    }
    for name, options in modes.items():
        put(tmp_path / "red" / name, "red", **options)
        put(tmp_path / "white" / name, "white", **options)
    Image.fromarray(np.full((9, 9), 2**15, np.uint16)).save(tmp_path / "white" / "sixteen.png")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "white" / "transparent.png")
    flagged = Image.new("RGB", (20, 10), "red")  # the camera lay on its side: this is 10 wide and 20 high
    flagged.paste((255, 255, 255), (0, 0, 10, 10))
    exif = flagged.getexif()
    exif[0x0112] = 6
    flagged.save(tmp_path / "white" / "turned.png", exif=exif)
    mine = data.load(tmp_path, image_size=16)
    images = {"red": [], "white": []}
    for split in (mine.train, mine.test):
        for image, label in zip(split.images, split.labels, strict=True):
            images[mine.classes[label]].append(image)
    assert mine.image_shape == (16, 16, 3) and len(images["white"]) == len(modes) + 3
    assert "images of 3x1 px to 300x700 px are brought to 16x16 px" in mine.notes
    red = np.array(images["red"]).reshape(len(modes), -1, 3)
    grey = np.ptp(red, axis=2).max(axis=1) == 0
    assert grey.sum() == 3  # luminance, or black and white
    assert np.abs(red[~grey] - np.array([255, 0, 0])).max() < 8
    levels = sorted((image.min(), image.max()) for image in images["white"])
    assert levels[0][0] == 0 and levels[0][1] == 255  # the turned one: red below, white above
    turned = next(image for image in images["white"] if image.min() == 0)
    assert (turned[:7] == 255).all() and (turned[9:, :, 0] == 255).all() and not turned[9:, :, 1:].any()
    assert levels[1] == (128, 128) and levels[2] == (255, 255)


def test_the_middle_of_an_image_is_scaled_to_the_square(tmp_path):
    wide = np.broadcast_to(8 * np.arange(30, dtype="uint8")[:, None], (10, 30, 3))
    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(wide).save(tmp_path / name / f"{number}.png")
    image = data.load(tmp_path, image_size=5).train.images[0]
    assert np.abs(image[:, :, 0] - np.array([84, 100, 116, 132, 148])).max() <= 1


@pytest.fixture
def spoilt(folder, tmp_path):
    """The folder with bad files, and what is said of each."""
    put(tmp_path / "elsewhere" / "secret.png", "red")
    put(folder / "red" / "half.jpg", "red", size=(300, 300))
    whole = (folder / "red" / "half.jpg").read_bytes()
    (folder / "red" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "red" / "empty.png").write_bytes(b"")
    (folder / "red" / "notes.txt").write_text("not an image")
    (folder / "blue" / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("1", (9500, 9500)).save(folder / "blue" / "huge.png")
    os.symlink(tmp_path / "elsewhere" / "secret.png", folder / "green" / "out.png")
    os.symlink(tmp_path / "elsewhere", folder / "green" / "away")
    os.symlink(folder / "gone.png", folder / "green" / "dangling.png")
    os.mkfifo(folder / "green" / "pipe.png")
    os.symlink(folder / "green" / "1.png", folder / "green" / "inside.png")  # this one may stay
    return {
        "red/half.jpg": "truncated",
        "red/empty.png": "not one of JPEG",
        "red/notes.txt": "not one of JPEG",
        "blue/vector.eps": "not one of JPEG",
        "blue/huge.png": "exceeds limit",
        "green/out.png": "a link that leads out of the folder",
        "green/away": "a link that leads out of the folder",
        "green/dangling.png": "No such file",
        "green/pipe.png": "not a file",
    }


@pytest.mark.parametrize("held_bytes", [config.HELD_BYTES, 0])
def test_bad_files_are_all_named_in_one_line_or_skipped(held_bytes, folder, spoilt, monkeypatch):
    monkeypatch.setattr(data.stream, "HELD_BYTES", held_bytes)
    with pytest.raises(
        UserError, match=r"9 of 40 files in .* cannot be used: .*: mend or remove them, or skip"
    ) as error:
        data.load(folder)
    assert "\n" not in str(error.value)
    for name, reason in spoilt.items():
        assert f"'{name}' (" in str(error.value)
        assert reason in str(error.value).split(f"'{name}' (")[1].split("'")[0]
    mine = data.load(folder, skip_bad_images=True)
    assert len(mine.train) + len(mine.test) == 31
    assert any(note.startswith("skipped: 9 of 40 files") for note in mine.notes)


def test_a_folder_that_holds_no_data_set_is_explained(tmp_path):
    with pytest.raises(UserError, match="has 0 folders in it"):
        data.load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        data.load(tmp_path)
    put(tmp_path / "a" / "1.png", "red")
    with pytest.raises(UserError, match="class 'b' of .* has no image"):
        data.load(tmp_path)
    with pytest.raises(UserError, match="unknown data set './nowhere'.*a folder that is there"):
        data.load("./nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 16}, "image_size 16 is for images from files"),
        ({"skip_bad_images": True}, "skip_bad_images is for a folder"),
        ({"split": "paper"}, "split 'paper' is for food101"),
        ({"image_size": 0}, "image_size 0 is not a whole number from 1"),
    ],
)
def test_what_would_be_ignored_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        data.load("digits", **options)


def test_a_stream_gives_the_batches_of_what_is_held(folder, monkeypatch):
    held = data.load(folder, image_size=8)
    monkeypatch.setattr(data.stream, "HELD_BYTES", 0)
    stream = data.load(folder, image_size=8)
    assert isinstance(held.train, data.Split) and isinstance(stream.train, data.Stream)
    assert stream.notes[-1] == held.notes[-1] and np.array_equal(stream.train.labels, held.train.labels)

    def drawn(split, **options):
        batches = data.training_batches(split, 5, seed=3, crop=2, **options)
        assert [tuple(spec.shape) for spec in batches.element_spec] == [(5, 8, 8, 3), (5,)]
        return [(x.numpy().tobytes(), y.numpy().tobytes()) for x, y in batches.take(8)]

    assert data.moments(stream.train) == data.moments(held.train)
    steps = data.steps_per_epoch(held.train, 5)
    whole = drawn(held.train)
    assert steps == 4 and drawn(stream.train) == whole
    assert drawn(stream.train, first_epoch=1, first_step=2)[:2] == whole[steps + 2 :]
    ends = [
        [np.concatenate(column) for column in zip(*data.evaluation_batches(split, 4).as_numpy_iterator(), strict=True)]
        for split in (held.test, stream.test)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))
    assert ends[1][2].tolist() == [1] * 6 + [0] * 2 and not ends[1][0][6:].any()


def test_a_stream_trains(folder, monkeypatch, tmp_path):
    """The whole method on images that are decoded as they are drawn, and the card with the names of the classes."""
    monkeypatch.setattr(data.stream, "HELD_BYTES", 0)
    network = support.network(norm=False, image_shape=(16, 16, 3), classes=3)
    run = {
        "parts": 2,
        "image_size": 16,
        "batch_size": 8,
        "subnet_epochs": 1,
        "epochs": 1,
        "run_dir": str(tmp_path / "run"),
    }
    result = keras_dd.fit(network, folder, **run)
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["classes"] == ["blue", "green", "red"] and card["image_shape"] == [16, 16, 3]
    assert result.report["dataset"]["notes"] == card["data"] and "held out" in card["data"][-1]
    assert 0 <= result.report["final_accuracy"] <= 1


def test_with_a_data_dir_a_name_is_that_of_a_set(folder, tmp_path, monkeypatch):
    """A prepared mnist lies in data_dir/mnist, which is a folder too."""
    monkeypatch.chdir(folder.parent)
    assert data.load(folder.name).name == folder.name
    with pytest.raises(UserError, match=f"unknown data set '{folder.name}'"):
        data.load(folder.name, data_dir=str(tmp_path))
