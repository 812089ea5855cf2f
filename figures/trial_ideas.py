"""The ideas of trials.py: what each was expected to bring, and what it does otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from keras_dd import decompose
from keras_dd.batchnorm import reestimate
from keras_dd.channels import walk
from keras_dd.composition import compose
from keras_dd.decomposition import Decomposition
from keras_dd.graph import copy, operations

RATE = 0.24  # the recipe's, best in the search of figures/cifar10-speednet


def joined_and_tuned(trial, subnets=None, joining=None, **tuning):
    """Sub-networks of two epochs, the paper's boxes, zeros between them, fine-tuned as the baseline is trained."""
    parts = trial.subnets(**subnets or {})
    return trial.full(trial.begins(trial.joined(parts, **joining or {})), **tuning)


def ridge_head(trial):
    """The head of the composed network solved for, in the least squares of a few thousand images."""
    model = trial.joined(trial.subnets())
    model = trial.begins(trial.other(_with_ridge_head, model, trial.job))
    return trial.full(model)


def _with_ridge_head(model, job, strength=1e-2):
    features = keras.Model(model.inputs, model.get_layer("pool").output)
    batches = job.batches(0).take(5000 // job.settings.batch_size)
    images, labels = (np.concatenate(each) for each in zip(*batches.as_numpy_iterator(), strict=True))
    x = np.asarray(features.predict(images, verbose=0), np.float64)
    y = np.eye(len(job.dataset.classes))[labels] - 1 / len(job.dataset.classes)
    gram = x.T @ x
    solved = np.linalg.solve(gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ y)
    found = copy(model)
    # The scores of least squares are too small to be logits: the scale is that of the least cross-entropy.
    scale = found.get_layer("scale").scale
    losses = {}
    for factor in 2.0 ** np.arange(0, 7):
        logits = factor * x @ solved
        losses[factor] = -np.mean(tf.nn.log_softmax(logits).numpy()[np.arange(len(labels)), labels])
    found.get_layer("head").set_weights([min(losses, key=losses.get) * solved / scale])
    return found


class Moments(keras.callbacks.Callback):
    """Takes the momenta of the sub-networks' optimizers at the end of a stage, or gives some at its beginning."""

    def __init__(self, given=None):
        super().__init__()
        self.given, self.taken = given, None

    def on_train_begin(self, logs=None):
        for slot, value in zip(self.model.optimizer.momentums if self.given else [], self.given or [], strict=True):
            slot.assign(value)

    def on_train_end(self, logs=None):
        self.taken = [
            [slot.numpy() for slot in optimizer.momentums] for optimizer in getattr(self.model, "optimizers", ())
        ]


def carried_moments(trial):
    """The momenta composed as the weights are."""
    moments = Moments()
    parts = trial.subnets(callbacks=[moments])
    model = trial.begins(trial.joined(parts))
    as_weights = []
    for subnet, taken in zip(parts, moments.taken, strict=True):
        twin = copy(subnet)
        for weight, moment in zip(twin.trainable_variables, taken, strict=True):
            weight.assign(moment)
        as_weights.append(twin)
    given = compose(Decomposition(tuple(as_weights), parts.boxes), trial.job.model).trainable_variables
    return trial.full(model, callbacks=[Moments([each.numpy() for each in given])])


class Held(keras.callbacks.Callback):
    """Draws the entries that the sub-networks have learnt back to where they were before a step.

    The share of the step that is left to them rises from `least` to 1 over the first epoch.
    """

    def __init__(self, owned, steps, least=0.1):
        super().__init__()
        self.owned, self.steps, self.least = owned, steps, least

    def on_train_begin(self, logs=None):
        self.weights = [(v, self.owned[v.path]) for v in self.model.trainable_variables if v.path in self.owned]
        self.before, self.step = [tf.identity(v) for v, _ in self.weights], 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        share = self.least + (1 - self.least) * self.step / self.steps
        if share >= 1:
            return
        for at, (v, owned) in enumerate(self.weights):
            v.assign(tf.where(owned, self.before[at] + share * (v - self.before[at]), v))
            self.before[at] = tf.identity(v)


def held_blocks(trial):
    """What is new learns at the full rate, what has been learnt at a tenth of it, and at all of it after an epoch."""
    parts = trial.subnets()
    model = trial.begins(trial.joined(parts))
    ones = [copy(subnet) for subnet in parts]
    for twin in ones:
        for weight in twin.trainable_variables:
            weight.assign(tf.ones_like(weight))
    mask = compose(Decomposition(tuple(ones), parts.boxes), trial.job.model)
    owned = {v.path: v.numpy() != 0 for v in mask.trainable_variables if len(v.shape) == 4}
    return trial.full(model, callbacks=[Held(owned, trial.job.steps_per_epoch)])


def joined_in_steps(trial, **tuning):
    """4 -> 2 -> 1: two networks of half the width are joined of two each, trained for an epoch, and joined."""
    full = trial.job.model
    halves = decompose(full, 2, grid=(1, 2))
    quarters = [decompose(half, 2, grid=(2, 1)) for half in halves]
    subnets = tuple(subnet for pair in quarters for subnet in pair)
    boxes = tuple(
        replace(box, top=half.top + box.top, left=half.left + box.left)
        for half, pair in zip(halves.boxes, quarters, strict=True)
        for box in pair.boxes
    )
    trained = trial.subnets(parts=Decomposition(subnets, boxes))
    wider = []
    for number, (half, pair, box) in enumerate(zip(halves, quarters, halves.boxes, strict=True)):
        two = Decomposition(trained.subnets[2 * number : 2 * number + 2], pair.boxes)
        wider.append(reestimate(compose(two, half), map(box.of, trial.job.whole_images())))
    halves = trial.subnets(parts=Decomposition(tuple(wider), halves.boxes), epochs=1)
    return trial.full(trial.begins(trial.joined(halves)), **tuning)


def own_images(trial):
    """Each part sees random halves of two epochs, its own ones, which is an epoch's steps; one part after another."""
    parts, trained = decompose(trial.job.model, trial.job.settings.parts), []
    for subnet, box in zip(parts, parts.boxes, strict=True):
        trained += trial.subnets(parts=Decomposition((subnet,), (box,)), share=0.5)
    trial.fed = 2  # the whole goes on with the images that it has elsewhere
    trial.alone = 1 / len(parts)
    return trial.full(trial.begins(trial.joined(Decomposition(tuple(trained), parts.boxes))))


def two_rounds(trial):
    """An epoch of sub-networks, one of the whole, one of its diagonal blocks as sub-networks, two of the whole."""
    steps = trial.job.steps_per_epoch
    parts = trial.subnets(epochs=1)
    whole = trial.full(trial.begins(trial.joined(parts)), window=(0, 1))
    again = trial.subnets(epochs=1, parts=_blocks(whole, parts))
    whole = reestimate(_with_blocks(whole, again), trial.job.whole_images())
    return trial.full(whole, window=(steps, trial.epochs - 1))


def _blocks(model, parts):
    """The diagonal blocks of a full network, as its sub-networks."""
    found = tuple(copy(subnet) for subnet in parts)
    full = operations(model)
    for visit, k, subnet in _weighted(model, parts, found):
        layer = operations(subnet)[visit.name]
        weights, places = layer.get_weights(), visit.rule.weights(visit, k)
        times = len(parts) if visit.output.channels.root.head else 1
        for weight, place, source in zip(weights, places, full[visit.name].get_weights(), strict=False):
            weight[place.part] = (times if place.averaged else 1) * source[place.full]
        layer.set_weights(weights)
    return Decomposition(found, parts.boxes)


def _with_blocks(model, parts):
    """The full network with the sub-networks' weights in its diagonal blocks, and its own between them."""
    found = copy(model)
    full = operations(found)
    composed = operations(compose(parts, model))
    for visit, k, _ in _weighted(model, parts, parts):
        weights = full[visit.name].get_weights()
        places = visit.rule.weights(visit, k)
        for weight, place, source in zip(weights, places, composed[visit.name].get_weights(), strict=False):
            weight[place.full] = source[place.full]
        full[visit.name].set_weights(weights)
    return found


def _weighted(model, parts, subnets):
    visits = [v for v in walk(model, parts.boxes) if v.rule.weights and v.operation.weights]
    for visit in visits:
        for k, subnet in enumerate(subnets):
            yield visit, k, subnet


@dataclass(frozen=True)
class Idea:
    """A row of the table: what is done, what it was expected to bring, and how it is run."""

    about: str
    expected: str
    run: Callable


def sees(about, expected, **subnets):
    return Idea(about, expected, partial(joined_and_tuned, subnets=subnets))


def joins(about, expected, **joining):
    return Idea(about, expected, partial(joined_and_tuned, joining=joining))


def tunes(about, expected, **tuning):
    return Idea(about, expected, partial(joined_and_tuned, **tuning))


IDEAS = {
    "as it is": Idea("two epochs of sub-networks, overlap of a quarter, zeros between", "–", joined_and_tuned),
    "untrained": sees("sub-networks that are not trained (a control)", "as the baseline", epochs=0),
    "1/4 epoch": sees("a quarter of an epoch of sub-networks", "an eighth of the price", epochs=1, share=0.25),
    "1/2 epoch": sees("half an epoch of sub-networks", "a quarter of the price", epochs=1, share=0.5),
    "1/2 epoch, overlap 0": sees("the same, without overlap", "the least price", epochs=1, share=0.5, overlap=0),
    "1 epoch": sees("one epoch of sub-networks", "half the price, a worse start", epochs=1),
    "1 epoch, overlap 0": sees("the same, without overlap", "a third of the price", epochs=1, overlap=0),
    "4 epochs": sees("four epochs of sub-networks", "twice the price, a better start", epochs=4),
    "8 epochs": sees("eight epochs of sub-networks", "four times the price, a better start yet", epochs=8),
    "overlap 0": sees("boxes that do not overlap", "0.64 of the price, a worse start", overlap=0),
    "whole images": sees("sub-networks see the whole image", "2.6 times the price, a better start", overlap=32),
    "own images": Idea(
        "each part learns from a random half of its own, of two epochs, one part after another",
        "as one epoch: parts that differ",
        own_images,
    ),
    "random boxes": sees("a box somewhere else in each step", "parts that are alike: a worse start", boxes="random"),
    "noise 0.3": joins("noise between the parts, 0.3 of He's", "parts work together sooner", off_diagonal="noise:0.3"),
    "noise 0.3, overlap 0": Idea(
        "the same, of boxes that do not overlap",
        "the least price, and parts that work together",
        partial(joined_and_tuned, subnets={"overlap": 0}, joining={"off_diagonal": "noise:0.3"}),
    ),
    "noise 0.3, overlap 0, rate / 2": Idea(
        "the same, and fine-tuning at half the rate",
        "more of the start is kept",
        partial(joined_and_tuned, subnets={"overlap": 0}, joining={"off_diagonal": "noise:0.3"}, rate=RATE / 2),
    ),
    "noise 1": joins("noise as strong as He's", "a worse start, as good an end", off_diagonal="noise:1"),
    "head x 2": joins("scores of the composed head doubled", "the first steps have less to correct", head_scale=2.0),
    "ridge head": Idea("the head solved for by ridge regression", "a better start at next to no price", ridge_head),
    "in steps": Idea("4 -> 2 -> 1, an epoch of two between", "half of the connections learnt cheaply", joined_in_steps),
    "two rounds": Idea("an epoch of sub-networks again after one of the whole", "cheap epochs", two_rounds),
    "rate / 2": tunes("fine-tuning at half the rate", "more of the start is kept", rate=RATE / 2),
    "rate / 4": tunes("fine-tuning at a quarter of the rate", "more is kept, less is learnt", rate=RATE / 4),
    "8 epochs, rate / 2": Idea(
        "eight epochs of sub-networks, and fine-tuning at half the rate",
        "a better start, and kept",
        partial(joined_and_tuned, subnets={"epochs": 8}, rate=RATE / 2),
    ),
    "in steps, rate / 2": Idea(
        "4 -> 2 -> 1, and fine-tuning at half the rate",
        "the best start, and kept",
        partial(joined_in_steps, rate=RATE / 2),
    ),
    "warm-up": tunes("fine-tuning from a fifth of the rate up", "the first steps destroy less", schedule="triangular"),
    "moments": Idea("the optimizer's momenta composed too", "nothing: they last for some steps", carried_moments),
    "held blocks": Idea("what was learnt is held at first", "the start survives the high rate", held_blocks),
}  # fmt: skip
# {name: epochs beyond those of fine-tuning}.
BASELINES = {"baseline, -1 epoch": -1, "baseline": 0, "baseline, +1 epoch": 1, "baseline, +2 epochs": 2}
# Other scales: {name: (settings that differ, epochs of fine-tuning)}, and what is tried there.
CASES = {
    "w32": ({}, 3),
    "1 epoch": ({}, 1),
    "6 epochs": ({}, 6),
    "w16": ({"width": 16}, 3),
    "w64": ({"width": 64}, 3),
    "2 parts": ({"parts": 2}, 3),
    "8 parts": ({"parts": 8}, 3),
    "10,000 images": ({"train_images": 10_000}, 3),
    "40,000 images": ({"train_images": 40_000}, 3),
    "cifar100": ({"dataset": "cifar100"}, 3),
}
SCALED = ["as it is", "overlap 0", "1 epoch, overlap 0"]
NAMES = [*BASELINES, *IDEAS]
