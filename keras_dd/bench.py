"""How fast this machine trains: ratios of two ways of doing the same work, measured in turn in one run."""

import itertools
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from keras_dd import data, devices, train
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.fused import accelerate
from keras_dd.models import MODELS

IMAGE_SHAPE, CLASSES = (32, 32, 3), 10


def at_once(model, width, parts, batch_size, steps, rounds):
    """Training K sub-networks at once, as `fit` does, against the same sub-networks one after another.

    Both train through `fit`, for the same number of steps on the same batches.

    Returns:
        {"what", "unit", "first": [...], "second": [...], "ratio": [...]}: sub-images/s a round of the two ways, and
        their ratio pair by pair.
    """
    batches = _random_batches(batch_size)
    subnets = decompose(_full(model, width), parts)
    names = devices.pick()
    together = _fit(train.Subnetworks(subnets, names), batches, steps)
    singles = [
        _fit(train.Subnetworks(Decomposition((net,), (box,)), (name,)), batches, steps)
        for net, box, name in zip(subnets, subnets.boxes, itertools.cycle(names))
    ]
    return _in_turn(
        f"{parts} sub-networks of {model}, width {width}: at once / one after another",
        together,
        lambda: [single() for single in singles],
        images=parts * batch_size * steps,
        rounds=rounds,
    )


def fit_against_step(model, width, batch_size, steps, rounds):
    """Fine-tuning as it is done, fed and through `fit`, against a bare `tf.function` step on one batch in memory."""
    batches = _random_batches(batch_size)
    network, twin = (accelerate(_full(model, width)) for _ in range(2))
    train.compile_full(network, keras.optimizers.Adam())
    images, labels = next(iter(batches))
    optimizer, loss_of = keras.optimizers.Adam(), train.classification_loss(twin)
    optimizer.build(twin.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(labels, twin(images, training=True))
        optimizer.apply(tape.gradient(loss, twin.trainable_variables), twin.trainable_variables)
        return loss

    return _in_turn(
        f"fine-tuning {model}, width {width}: fit, fed / bare training step",
        _fit(network, batches, steps, compiled=True),
        lambda: [step().numpy() for _ in range(steps)],
        images=batch_size * steps,
        rounds=rounds,
    )


def accelerated_against_plain(model, width, batch_size, steps, rounds):
    """`fit` of a network with fused batch normalisation, against the same network as Keras has it."""
    batches = _random_batches(batch_size)
    plain = _full(model, width)
    fast = accelerate(plain)
    for network in fast, plain:
        train.compile_full(network, keras.optimizers.Adam())
    return _in_turn(
        f"training {model}, width {width}: batch normalisation fused / Keras' own",
        _fit(fast, batches, steps, compiled=True),
        _fit(plain, batches, steps, compiled=True),
        images=batch_size * steps,
        rounds=rounds,
    )


def feed_against_training(batch_size, steps, rounds, model="resnet8", width=16):
    """The feed alone, with flips and crops, against what training consumes."""
    batches = _random_batches(batch_size)
    network = accelerate(_full(model, width))
    train.compile_full(network, keras.optimizers.Adam())
    fed = iter(batches)
    return _in_turn(
        f"feed, flipped and cropped / training {model}, width {width}",
        lambda: [next(fed) for _ in range(steps)],
        _fit(network, batches, steps, compiled=True),
        images=batch_size * steps,
        rounds=rounds,
    )


def _full(model, width):
    return MODELS[model](width=width, classes=CLASSES, image_shape=IMAGE_SHAPE)


def _random_batches(batch_size):
    """Images of the size of CIFAR's; what they show does not matter to the clock."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10_000, *IMAGE_SHAPE), dtype=np.uint8)
    split = data.Split(images, random.integers(0, CLASSES, len(images), dtype=np.int32))
    return data.training_batches(split, batch_size, flip=True, crop=4)


def _fit(model, batches, steps, compiled=False):
    """A function that trains `model` for `steps` steps, already traced."""
    if not compiled:
        model.compile(keras.optimizers.Adam)

    def work():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    return work


def _in_turn(what, first, second, images, rounds):
    """Both ways in turn, A B A B ..., after one round that does not count."""
    rates = {"first": [], "second": []}
    for counted in [False] + [True] * rounds:
        for name, work in zip(rates, (first, second), strict=True):
            start = time.perf_counter()
            work()
            if counted:
                rates[name].append(images / (time.perf_counter() - start))
    ratio = [a / b for a, b in zip(*rates.values(), strict=True)]
    return {"what": what, "unit": "images/s", **rates, "ratio": ratio, "median_ratio": statistics.median(ratio)}
