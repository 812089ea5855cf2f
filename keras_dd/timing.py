"""How long runs take on this machine, from a few steps of each kind of training, and what they take in memory."""

import dataclasses
import statistics
import time

import keras

from keras_dd import clocks, cost, data, train
from keras_dd.batchnorm import reestimate
from keras_dd.config import EVALUATION_BATCH
from keras_dd.decomposition import Decomposition
from keras_dd.job import images, prepare
from keras_dd.recipes import RECIPES

# Steps a round, more or less; rounds, of which the first one, which traces, does not count; batches of an evaluation.
# The median round counts, for a run meets what else the machine does as well, and rounds are long, for the batches made
# ready while the one before is evaluated are a gift that an epoch hardly notices.
STEPS, ROUNDS, EVALUATIONS = 24, 4, 2


class Stopwatch(keras.callbacks.Callback):
    """Seconds of each epoch of training, and of each evaluation."""

    def __init__(self):
        super().__init__()
        self.training, self.evaluation = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_test_begin(self, logs=None):
        now = time.perf_counter()
        self.training.append(now - self.began)
        self.began = now

    def on_test_end(self, logs=None):
        self.evaluation.append(time.perf_counter() - self.began)


def measure(settings):
    """What a few steps of each training of a run take here.

    Args:
        settings: of the run; the data set and the networks are loaded and built, nothing is written.

    Returns:
        Plain JSON: "train", "evaluated" (numbers of images), "image_shape", "classes" (their number), "batch_size",
        "devices" (as clocks count them), "set_up" (seconds of loading and building), and for each of "full" and, by
        decomposition, "subnets" (K at once) and "subnet" (one alone): "step" and "evaluation" (seconds of one step, of
        the whole split), "tracing" (what the first step takes longer), "set_up" (the same, of evaluation too), "flops"
        (of a step) and "bytes" (peak memory of training, as `cost.training_bytes` estimates it); by decomposition also
        "reestimation" (seconds, of batch norm).
    """
    with data.kept():
        images(settings)  # read, or downloaded, once in a campaign: that is no part of a run
        started = time.perf_counter()
        job = prepare(settings)
    found = {
        "train": len(job.dataset.train),
        "evaluated": len(getattr(job.dataset, job.evaluated_on)),
        "image_shape": job.dataset.image_shape,
        "classes": len(job.dataset.classes),
        "batch_size": job.settings.batch_size,
        "devices": clocks.count(job.devices),
        "set_up": time.perf_counter() - started,
        "full": _timed(job, train.fit_full, job.model, [job.model]),
    }
    if job.parts:
        first = Decomposition(job.parts[:1], job.parts.boxes[:1])
        found["subnets"] = _timed(job, train.fit_subnets, job.parts, job.parts)
        found["subnet"] = _timed(job, train.fit_subnets, first, first)
        started = time.perf_counter()
        reestimate(job.model, job.whole_images())
        found["reestimation"] = time.perf_counter() - started
    return found


def _timed(job, fit, networks, each):
    clock, stage = Stopwatch(), dataclasses.replace(next(iter(job.stages.values())), epochs=ROUNDS)
    images = len(getattr(job.dataset, job.evaluated_on))
    evaluation = job.evaluation().take(EVALUATIONS)
    a_call = train.steps_a_call(each, job.devices, job.settings.batch_size, job.steps_per_epoch)  # as in the run
    steps = a_call * max(1, round(STEPS / a_call))
    fit(networks, stage, job.batches, steps, evaluation, job.devices, [clock], a_call=a_call)
    step, evaluated = (statistics.median(each[1:]) for each in (clock.training, clock.evaluation))
    step /= steps
    return {
        "step": step,
        "evaluation": evaluated * max(1, images / (EVALUATIONS * EVALUATION_BATCH)),
        "tracing": clock.training[0] - steps * step,
        "set_up": clock.training[0] + clock.evaluation[0] - steps * step - evaluated,
        "flops": sum(cost.training_flops(network, job.settings.batch_size) for network in each),
        "bytes": cost.training_bytes(each, job.settings.batch_size),
    }


def epoch_seconds(rates, settings, network):
    """Seconds of an epoch of training "full", "subnets" or one "subnet", without its evaluation."""
    return rates[network]["step"] * ((settings.train_images or rates["train"]) // rates["batch_size"])


def training_seconds(rates, settings):
    """Seconds of training of a run, without evaluation: the clock that arms are compared on."""
    stages = epochs_of(settings).items()
    joining = rates["reestimation"] if "subnets" in dict(stages) and settings.reestimate else 0
    return joining + sum(stage_seconds(rates, settings, network, epochs) for network, epochs in stages)


def stage_seconds(rates, settings, network, epochs):
    """Seconds of training "full", "subnets" or one "subnet" for some epochs, tracing included."""
    return rates[network]["tracing"] + epochs * epoch_seconds(rates, settings, network)


def of_epochs(rates):
    """The rates of a machine on which nothing but epochs takes time."""
    only = {name: each | {"tracing": 0.0} if isinstance(each, dict) else each for name, each in rates.items()}
    return only | {"reestimation": 0.0}


def on_clock(rates, clock, parts):
    """The rates of training as they are on a key of `clocks.CLOCKS`, where sub-networks have a device each."""
    if clock == "one-device":
        return rates
    found = dict(rates)
    networks = [name for name in ("full", "subnets", "subnet") if name in rates]
    if clock == "flops":
        found |= {name: rates[name] | {"step": rates[name]["flops"], "tracing": 0.0} for name in networks}
        return found | {"reestimation": 0.0}
    paces = {"full": {"linked": rates["devices"] / parts, "unlinked": rates["devices"]}[clock], "subnet": 1}
    if "subnets" in rates:
        paces["subnets"] = rates["subnet"]["step"] / rates["subnets"]["step"]
    for name in networks:
        found[name] = rates[name] | {key: paces[name] * rates[name][key] for key in ("step", "tracing")}
    return found


def epochs_within(rates, settings, network, seconds):
    """How many epochs, as a fraction, that stage has in some seconds."""
    return (seconds - rates[network]["tracing"]) / epoch_seconds(rates, settings, network)


def run_seconds(rates, settings):
    """Seconds of a whole run."""
    stages = {
        network: (epochs + 2) * rates[network]["evaluation"] + rates[network]["set_up"] - rates[network]["tracing"]
        for network, epochs in epochs_of(settings).items()
    }
    return rates["set_up"] + sum(stages.values()) + training_seconds(rates, settings)


def epochs_of(settings):
    """{network: epochs} of the stages of training."""
    recipe = RECIPES[settings.recipe]

    def asked(epochs, stage):
        return stage.epochs if epochs is None else epochs

    if settings.method == "conventional":
        return {"full": asked(settings.epochs, recipe.baseline)}
    return {
        "subnets": asked(settings.subnet_epochs, recipe.subnets),
        "full": asked(settings.epochs, recipe.finetune),
    }
