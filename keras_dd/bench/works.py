"""The works of TensorFlow that are timed: each function gives what `task.answer` asks for, (do, facts)."""

import itertools
import os
import time
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from keras_dd import cost, data, devices, train
from keras_dd.bench.task import CLASSES, IMAGE_SHAPE
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.fused import accelerate
from keras_dd.fused_optimizers import Adam
from keras_dd.graph import operations
from keras_dd.models import MODELS

EPOCH = 50_000  # images, as of CIFAR


class Clock(keras.callbacks.Callback):
    """Seconds from the end of the first steps on: what a call of `fit` costs before is nothing beside an epoch."""

    began = None

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.began is None:
            self.began, self.first = now, batch
        self.seconds, self.steps = now - self.began, batch - self.first


def fit(task):
    """The full network as `keras-dd fit` trains it, and fine-tunes it, on one device."""
    return _full_fit(task, accelerate(_full(task)))


def fit_singly(task):
    """The same, one step in each call of TensorFlow."""
    return _full_fit(task, accelerate(_full(task)), steps_per_call=1)


def fit_by_eights(task):
    """The same, eight steps in each call of TensorFlow."""
    return _full_fit(task, accelerate(_full(task)), steps_per_call=8)


def plain_fit(task):
    """The same, with batch normalisation and GELU as Keras has them."""
    return _full_fit(task, _full(task))


def stock_fit(task):
    """The same network and batches as Keras trains them by itself."""
    return _fits([(_stock(_full(task)), _batches(task))], task)


def bare_step(task):
    """The full network in a `tf.function`, on one batch that is in memory."""
    network, optimizer = accelerate(_full(task)), Adam()
    images, labels = next(iter(_batches(task)))
    loss_of = train.classification_loss(network)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(labels, network(images, training=True))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    def do(steps):
        began = time.perf_counter()
        for _ in range(steps):
            step().numpy()
        return time.perf_counter() - began

    return do, _facts([network], task)


def convolutions(task):
    """The convolutions of the full network and their gradients, one after another, and nothing else.

    About what a step would take if all else were free; but where a step can, it runs two operations at a time.
    """
    network = _full(task)
    works = convolutions_of(network, task.batch_size)

    @tf.function
    def step():
        corners = []  # of all results: what nobody reads is not computed
        for work in works:
            with tf.control_dependencies(corners[-1:]):
                corners.append(work()[:1, :1, :1, :1])
        return corners

    def do(steps):
        began = time.perf_counter()
        for _ in range(steps):
            step()[-1].numpy()
        return time.perf_counter() - began

    return do, _facts([network], task)


def at_once(task, numbers=None):
    """All sub-networks, or those of some numbers, at once in one process, as `keras-dd fit` trains them."""
    return _fit_at_once(task, numbers=numbers)


def at_once_singly(task):
    """The same, one step in each call of TensorFlow."""
    return _fit_at_once(task, steps_per_call=1)


def branches(task):
    """All sub-networks at once, none of them side by side with another."""
    return _fit_at_once(task, apart=True)


def one_by_one(task):
    """The same sub-networks, fast ones too, one after another."""
    parts, models = parts_of(task), []
    for part, box, name in zip(parts, parts.boxes, itertools.cycle(devices.pick())):
        model = train.Subnetworks(Decomposition((part,), (box,)), (name,))
        model.compile(Adam)
        train.call_by(model, _steps_a_call(model.subnets, task))
        models.append(model)
    return _fits([(model, _batches(task)) for model in models], task, parts)


def stock_one_by_one(task):
    """The same sub-networks as Keras trains them by itself, one after another."""
    parts, batches = parts_of(task), _batches(task)
    boxed = [batches.map(lambda images, labels, box=box: (box.of(images), labels)) for box in parts.boxes]
    return _fits([(_stock(part), batches) for part, batches in zip(parts, boxed, strict=True)], task, parts)


def feed(task):
    """Batches alone, flipped and cropped."""
    batches = iter(_batches(task))

    def do(steps):
        began = time.perf_counter()
        for _ in range(steps):
            next(batches)
        return time.perf_counter() - began

    return do, {"images": task.batch_size}


def convolutions_of(network, batch_size):
    """A function without arguments for each convolution of random numbers, and for each gradient that training wants.

    These are those of the kernel, where it is trained, and of what it reads, where layers before it are trained.
    """
    works, is_learnt = [], False
    for layer in (each for each in operations(network).values() if isinstance(each, keras.layers.Conv2D)):
        shapes = [(batch_size, *tensor.shape[1:]) for tensor in (layer.input, layer.output)]
        x, slopes = (tf.cast(tf.random.normal(shape), layer.compute_dtype) for shape in shapes)
        kernel = tf.cast(layer.kernel, layer.compute_dtype)
        how = {"strides": (1, *layer.strides, 1), "padding": layer.padding.upper()}
        works.append(partial(tf.raw_ops.Conv2D, input=x, filter=kernel, **how))
        how |= {"out_backprop": slopes}
        if layer.trainable:
            works.append(partial(tf.raw_ops.Conv2DBackpropFilter, input=x, filter_sizes=kernel.shape, **how))
        if is_learnt:
            works.append(partial(tf.raw_ops.Conv2DBackpropInput, input_sizes=x.shape, filter=kernel, **how))
        is_learnt = is_learnt or layer.trainable
    return works


def parts_of(task):
    """The sub-networks of the task; a `UserError` where it has none."""
    return decompose(_full(task), task.parts)


def _full(task):
    with devices.computing_in(task.dtype):
        return MODELS[task.model](width=task.width, classes=CLASSES, image_shape=IMAGE_SHAPE)


def _stock(network):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return network


def _full_fit(task, network, steps_per_call=None):
    train.compile_full(network, Adam())
    train.call_by(network, steps_per_call or _steps_a_call([network], task))
    return _fits([(network, _batches(task))], task)


def _fit_at_once(task, steps_per_call=None, apart=False, numbers=None):
    parts = parts_of(task)
    numbers = range(task.parts) if numbers is None else numbers
    some = Decomposition(tuple(parts[k] for k in numbers), tuple(parts.boxes[k] for k in numbers))
    model = train.Subnetworks(some, devices.pick())
    model.compile(Adam)
    train.call_by(model, steps_per_call or _steps_a_call(model.subnets, task))
    for group in [group for group in model.groups if apart and len(group) > 1]:
        model.separate(group)
    return _fits([(model, _batches(task))], task, model.subnets)


def _steps_a_call(networks, task):
    """As many as `fit` takes in an `EPOCH`."""
    return train.steps_a_call(networks, devices.pick(), task.batch_size, EPOCH // task.batch_size)


def _batches(task):
    """What the images show does not matter to the clock."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10_000, *IMAGE_SHAPE), dtype=np.uint8)
    split = data.Split(images, random.integers(0, CLASSES, len(images), dtype=np.int32))
    return data.training_batches(split, task.batch_size, flip=True, crop=4)


def _fits(trainings, task, networks=None):
    """(compiled model, batches) of all trainings, by `fit`, one after another; what they train are `networks`."""

    def do(steps):
        seconds = 0
        for model, batches in trainings:
            clock, steps_timed = Clock(), max(steps, model.steps_per_execution)
            steps_per_epoch = model.steps_per_execution + steps_timed
            model.fit(batches, steps_per_epoch=steps_per_epoch, shuffle=False, verbose=0, callbacks=[clock])
            seconds += clock.seconds * steps / clock.steps  # the last call may have had more of them
        return seconds

    return do, _facts(networks or [model for model, _ in trainings], task)


def _facts(networks, task):
    """Images that all networks see a step together, the mean FLOPs of training on one, and what TensorFlow was told."""
    flops = [cost.training_flops(network, 1) for network in networks]
    return {
        "images": task.batch_size * len(networks),
        "flops_per_image": sum(flops) / len(flops),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
    }
