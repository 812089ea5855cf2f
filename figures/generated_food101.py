"""Prepare a Food-101 of generated photographs, for `keras-dd feed`: `python figures/generated_food101.py DIR [COUNT]`.

The photographs of Food-101 cannot be had everywhere: these are soft noise, of their size (512 pixels on the longer
side) and of about their bytes, so that the feed has as much to read and to decode.  TensorFlow Datasets' own builder
prepares them from an archive laid out as the original, in its own format on disk.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def photograph(seed):
    """A JPEG of 512x384 pixels."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((384, 512, 3))
    for side, strength in ((4, 60), (32, 40), (256, 30)):  # large shapes, details and grain
        noise = random.integers(0, 256, (side * 3 // 4, side, 3), dtype="uint8")
        pixels += strength / 130 * np.asarray(Image.fromarray(noise).resize((512, 384), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(file, "JPEG", quality=80)
    return file.getvalue()


def main(folder, count=4000):
    import support
    import tensorflow_datasets as tfds

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    classes = tfds.builder("food101", data_dir=folder).info.features["label"].names
    photographs = [photograph(seed) for seed in range(200)]
    print(f"{np.mean([len(file) for file in photographs]) / 1000:.0f} kB a photograph")
    names = [f"{classes[number % 101]}/{number}" for number in range(count)]
    files = {f"food-101/images/{name}.jpg": photographs[number % 200] for number, name in enumerate(names)}
    cut = count * 3 // 4
    for part, chosen in (("train", names[:cut]), ("test", names[cut:])):
        listed = {label: [name for name in chosen if name.startswith(f"{label}/")] for label in classes}
        files[f"food-101/meta/{part}.json"] = json.dumps(listed).encode()
    support.put_archive(folder, "food101", files)
    tfds.builder("food101", data_dir=folder).download_and_prepare()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
