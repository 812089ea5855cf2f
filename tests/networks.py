"""The networks of `keras.applications` taken apart, composed and trained a step, and the page that tells of it.

`python tests/networks.py [NAME ...]` measures the networks, all of them or those named, and writes docs/networks.json
and docs/networks.md.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from conftest import images_for, randomize

from keras_dd import UserError, compose, decompose
from keras_dd.boxes import boxes
from keras_dd.channels import walk
from keras_dd.graph import image_of, replay
from keras_dd.train import Subnetworks, compile_full

DOCS = Path(__file__).parents[1] / "docs"
RESULTS, PAGE = DOCS / "networks.json", DOCS / "networks.md"
PARTS, CLASSES = 4, 5
# Side of the image and overlap in pixels: the least whose boxes the strides of the network leave something of.
SIZES = {
    "ResNet50": (48, 16),
    "ResNet50V2": (48, 16),
    "ResNet101": (48, 16),
    "VGG16": (32, 32),  # a Flatten: mean and composed network are equal where each box is the whole image
    "MobileNet": (48, 16),
    "MobileNetV2": (48, 16),
    "DenseNet121": (48, 16),
    "InceptionV3": (107, 43),
    "Xception": (71, 19),
    "NASNetMobile": (48, 16),
    "EfficientNetB0": (48, 16),
    "ConvNeXtTiny": (48, 16),
}


HEAD = """\
# Networks of keras.applications

What `decompose(model, {parts})` and `compose` make of the networks of `keras.applications`, with `weights=None` and
{classes} classes, on small images whose boxes are still large enough for their strides.  Each of them was given random
weights and random batch-norm statistics, part by part, and composed; then the logits of the composed network were
compared with the mean of the logits of its parts, all on whole images in inference mode.  And each was trained a step:
its parts at once, and the composed network.

This page and `networks.json` are written by `python tests/networks.py`, and compared with what comes out by
`pytest -m networks tests/test_networks.py`, which takes ten minutes.  The common tests measure MobileNet, and count
the parameters of the parts of the others.

| network | image, px | box, px | parameters | of a part | largest difference of logits |
| --- | --- | --- | --- | --- | --- |"""
FOOT = """
Parts of one network differ where its widths are no multiples of the number of parts.

VGG16 has a Flatten: each weight behind it belongs to one position of the image.  Its composed network is the mean of
its parts where each box is the whole image, as here; with smaller boxes a part cannot be applied to whole images, and
there is nothing to compare.

## Not carried

| network | why, and the way out |
| --- | --- |"""


def build(name):
    """As `keras.applications` has it, with a softmax at its end."""
    side, _ = SIZES[name]
    return getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=CLASSES)


def measure(name):
    """What docs/networks.json holds for a network.  Fails where it does not compose or learn."""
    model = build(name)
    side, overlap = SIZES[name]
    result = {"image": side, "full": model.count_params()}
    try:
        subnets = decompose(model, PARTS, overlap)
    except UserError as error:
        return result | {"error": str(error)}
    rng = np.random.default_rng(0)
    for subnet in subnets:
        randomize(subnet, rng)
    composed = compose(subnets, model)
    images = images_for(model, rng, 2)
    each = np.stack([logits(subnet, images) for subnet in subnets])
    size = np.abs(each).max()
    assert 0.01 < size < 100 and np.ptp(each, axis=0).max() > 0.01 * size, "logits of order 1 that differ are wanted"
    difference = float(np.abs(logits(composed, images) - each.mean(0)).max())
    assert difference < 1e-4, f"{name} does not compose: {difference}"
    train_a_step(subnets, composed, images)
    return result | {
        "box": subnets.boxes[0].height,
        "parts": [subnet.count_params() for subnet in subnets],
        "difference": float(f"{difference:.0e}"),
        "logits": round(float(size), 1),
    }


def logits(model, images):
    """Scores before the softmax, less their mean, which the softmax takes out.

    The layers are called one by one, for a sub-network of boxes takes whole images too, but its `keras.Input` does not.
    """
    [probabilities] = replay(model, [images], lambda name, operation, *args, **kwargs: operation(*args, **kwargs))
    scores = np.log(keras.ops.convert_to_numpy(probabilities).astype(np.float64))
    return scores - scores.mean(-1, keepdims=True)


def train_a_step(subnets, composed, images):
    """Every part and the composed network learn: the loss is a number, and the weights are not what they were."""
    images, labels = keras.ops.convert_to_tensor(images), keras.ops.arange(len(images)) % CLASSES
    at_once = Subnetworks(subnets)
    at_once.compile(lambda: keras.optimizers.SGD(0.01))
    compile_full(composed, keras.optimizers.Adam())
    for model, networks in ((at_once, at_once.subnets), (composed, [composed])):
        before = [network.get_weights() for network in networks]
        logs = model.train_step((images, labels))  # `fit` would compile it, which takes longer than a step
        assert np.isfinite(logs["loss"])
        for weights, network in zip(before, networks, strict=True):
            assert all(np.isfinite(weight).all() for weight in network.get_weights())
            changed = [not np.array_equal(*pair) for pair in zip(weights, network.get_weights(), strict=True)]
            assert np.mean(changed) > 0.9, f"{network.name} has learnt nothing"


def counted(name):
    """(parameters of each part, or the error) from the index sets alone: nothing is built but the full network."""
    with keras.StatelessScope():  # variables get a shape and no value: this is twice as fast
        model = build(name)
        try:
            visits = walk(model, boxes(image_of(model).shape[1:], PARTS, overlap=SIZES[name][1]))
        except UserError as error:
            return str(error)
        return [sum(_parameters(visit, k) for visit in visits) for k in range(PARTS)]


def _parameters(visit, k):
    if visit.rule.weights is None or not visit.operation.weights:
        return 0
    shapes = [weight.shape for weight in visit.operation.weights]
    places = visit.rule.weights(visit, k)[: len(shapes)]
    return sum(np.empty(shape, bool)[place.full].size for shape, place in zip(shapes, places, strict=True))


def page(results):
    carried = {name: result for name, result in results.items() if "error" not in result}
    lines = [HEAD.format(parts=PARTS, classes=CLASSES)]
    for name, result in carried.items():
        least, most = min(result["parts"]), max(result["parts"])
        of_a_part = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        difference = f"{result['difference']:.0e} of {result['logits']:g}"
        cells = [name, result["image"], result["box"], f"{result['full']:,}", of_a_part, difference]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append(FOOT)
    lines += [f"| {name} | {result['error']} |" for name, result in results.items() if "error" in result]
    return "\n".join(lines) + "\n"


def read():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for network in sys.argv[1:] or SIZES:
        measured = measure(network)
        print(network, measured, flush=True)
        results = (read() if RESULTS.exists() else {}) | {network: measured}
        ordered = {name: results[name] for name in SIZES if name in results}
        DOCS.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(ordered), encoding="utf-8")
        keras.backend.clear_session()
