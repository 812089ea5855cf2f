"""A network for other programs: SavedModel, ONNX or LiteRT, kept only if it computes the same scores."""

import importlib.util
import math
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_dd.config import UserError, unknown
from keras_dd.graph import again, copy
from keras_dd.zoo.measures import dataset_of

# Of the largest score: float32 sums in another order, through a hundred layers.
TOLERANCE = 1e-4
IMAGES = 32  # that scores are compared on


def run_saved_model(path, images):
    """Scores of the SavedModel in a folder."""
    exported = tf.saved_model.load(path)  # held, because its functions do not hold its weights
    return exported.serve(tf.constant(images)).numpy()


def run_onnx(path, images):
    """Scores by ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    return session.run(None, {given.name: images})[0]


def run_litert(path, images):
    """Scores by the LiteRT interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    [given], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(scores["index"])


# format: (Keras' name of it, suffix, packages that it takes, what runs it)
FORMATS = {
    "savedmodel": ("tf_saved_model", "", (), run_saved_model),
    "onnx": ("onnx", ".onnx", ("tf2onnx", "onnxruntime"), run_onnx),
    "litert": ("litert", ".tflite", ("ai_edge_litert",), run_litert),
}


def gelu(x):
    """The exact GELU by erf.  Keras takes erfc, which tf2onnx does not know."""
    return 0.5 * x * (1 + keras.ops.erf(x / math.sqrt(2)))


def for_onnx(layer):
    """The layer again, for `graph.copy`, with a GELU that can be exported."""
    found = again(layer)
    if getattr(layer, "activation", None) is keras.activations.gelu:
        found.activation = gelu
    return found


def images_for(card, data_dir=None):
    """(float32 images to compare scores on, what they are): of the test split where that is at hand, or else noise."""
    if data_dir or card.data.name == "digits":
        images, _ = dataset_of(card, data_dir).test.batch(tf.range(min(IMAGES, card.data.test_images)))
        return images.numpy().astype("float32"), "test images"
    noise = np.random.default_rng(0).uniform(0, 255, (IMAGES, *card.data.image_shape))
    return noise.astype("float32"), "images of noise"


def export(model, images, to, path):
    """Export a network, run the exported one on images, and keep it if its scores are those of the network.

    Args:
        model: a `keras.Model` from images 0..255 to scores.
        images: float32 (N, H, W, C), 0 to 255, to compare the scores on.
        to: "savedmodel" (a folder), "onnx" or "litert".
        path: without suffix; it gets that of the format.

    Returns:
        (the path, the largest difference of two scores)

    Raises:
        UserError: an unknown format, a package that is not installed, a path that is there already, other scores.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    name, suffix, packages, run = FORMATS[to]
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    if missing:
        raise UserError(f"--to {to} takes {missing[0]}, which is not installed: pip install 'keras-dd[{to}]'")
    path = Path(f"{path}{suffix}")
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or choose another --output")
    expected = np.asarray(model(images, training=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-") as folder:
        made = str(Path(folder) / path.name)
        try:
            if to == "onnx":
                model = copy(model, for_onnx)
                model(images, training=False)  # Keras exports no network that was never called
            model.export(made, format=name, verbose=False)
            found = run(made, images)
        except Exception as error:  # whatever converters and interpreters raise of layers that they do not know
            last = str(error).strip().rpartition("\n")[2][:200]
            raise UserError(
                f"this network cannot be exported to {to} ({type(error).__name__}: {last}): choose another format"
            ) from error
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise UserError(
                f"the network exported to {to} gives scores that differ by up to {difference:.2g}, and it was not "
                "kept: choose another format"
            )
        shutil.move(made, path)
    return path, difference
