"""The arms of a comparison: which runs it makes, so that all of them take the same time."""

import dataclasses
import itertools
import math
import re

from keras_dd import campaign, timing
from keras_dd.config import BASELINES, Settings, UserError, unknown
from keras_dd.recipes import RECIPES
from keras_dd.refusals import DECOMPOSITION_FIELDS, STAGE_FIELDS

# Of the time of a run by decomposition, and not the recipe's epochs, which would leave time over; not tuned here.
SUBNET_SHARE = 0.25
# The held-out training images of a search, its seed, and how many rates it tries beyond its own, each twice or half the
# one before, while the best is at their edge.
HELD_OUT, SEARCH_SEED, BEYOND = 0.1, 0, 2
OURS = "decomposed"
# What a variant of ours may have otherwise, on as many devices, and of that, what changes the time of a step.
VARIED = (*(field for field in DECOMPOSITION_FIELDS if field not in ("grid", "parts")), "learning_rate")
TIMED = ("overlap", "boxes")


def check(settings, baselines, seeds, budget, also, shorter=0):
    """UserError for what cannot be compared."""
    for baseline in baselines:
        if baseline not in BASELINES:
            raise unknown("baseline", baseline, BASELINES)
    if not baselines or seeds < 1:
        raise UserError(f"{len(baselines)} baselines and {seeds} seeds: there must be one of each at least")
    if (budget is None) is (settings.epochs is None):
        raise UserError("say either how long a run may take, --budget 10min, or the --epochs of the baseline")
    if (settings.workers or 1) > 1:
        raise UserError("workers are left out of a comparison, whose times are planned for one process: leave it out")
    if shorter < 0 or (settings.epochs and shorter >= settings.epochs):
        most = f" and below the baseline's {settings.epochs} epochs" if settings.epochs else ""
        raise UserError(f"shorter is {shorter}: it must be at least 0{most}")
    if shorter and "tuned" not in baselines:
        raise UserError(f"shorter is {shorter}: it counts tuned baselines, so add --baseline tuned, or leave it out")
    if settings.method != "decomposition" or settings.validation_split:
        raise UserError("method and validation_split are what a comparison sets itself: leave them out")
    for name, changed in also.items():
        for field in changed:
            if field not in VARIED:
                raise unknown(f"setting of the variant {name!r},", field, VARIED)
        dataclasses.replace(settings, **changed)


def conventional(settings, recipe):
    """The same network from random initialisation.

    Of what is asked for in place of a recipe's, the paper's baseline has only the batch size and whether to flip.
    """
    others = (*STAGE_FIELDS, "learning_rate", "alternate", "crop", "padding") if recipe == "paper" else ()
    plain = {name: getattr(Settings, name) for name in (*DECOMPOSITION_FIELDS, *others)}
    return dataclasses.replace(settings, **plain, method="conventional", recipe=recipe)


def rates_of(measured, arm):
    """What was measured of the arm, or of ours, which it is as fast as."""
    return measured.get(arm, measured[OURS])


def arms_of(settings, baselines, budget, measured, also=(), clock="one-device", shorter=0):
    """{arm: `Settings`}, with the epochs that take all of them the same time, or ours less than a baseline.

    It is the same time on a `clock`, in which the tuned baseline has the budget's epochs.
    `also` are the variants of ours, {name: {field of `VARIED`: value}}.  `shorter` tuned baselines have an epoch less
    each.
    """
    if settings.epochs:  # whoever asks for epochs compares epochs; in a budget of seconds everything counts
        measured = {arm: timing.of_epochs(rates) for arm, rates in measured.items()}
    rates = measured[OURS]
    full = timing.epoch_seconds(rates, settings, "full")
    epochs = settings.epochs or int(timing.epochs_within(rates, settings, "full", budget))
    if epochs < 2:
        raise UserError(
            f"a run is to have at least 2 epochs, and an epoch of the full network takes {campaign.duration(full)} "
            "here: ask for a larger --budget, or for fewer --train-images"
        )
    measured = {arm: timing.on_clock(each, clock, settings.parts) for arm, each in measured.items()}
    rates = measured[OURS]
    seconds = timing.stage_seconds(rates, settings, "full", epochs)
    arms = {OURS: _within(seconds, rates, settings)}
    for name, changed in dict(also).items():
        arms[name] = _within(seconds, rates_of(measured, name), dataclasses.replace(settings, **changed))
    for baseline in baselines:
        recipe = "paper" if baseline == "paper" else settings.recipe
        arms[baseline] = dataclasses.replace(conventional(settings, recipe), epochs=epochs)
    if shorter >= epochs:
        raise UserError(f"shorter is {shorter}: the baseline has {epochs} epochs here, so ask for at most {epochs - 1}")
    for fewer in range(epochs - 1, epochs - 1 - shorter, -1):
        arms[of_length(fewer)] = dataclasses.replace(arms["tuned"], epochs=fewer)
    if "paper" in arms:
        within = timing.epochs_within(measured["paper"], arms["paper"], "full", seconds)
        arms["paper"] = dataclasses.replace(arms["paper"], epochs=math.ceil(round(within, 6)))
    return arms


def of_length(epochs):
    """The name of a tuned baseline of fewer epochs than the tuned one."""
    return f"tuned, {epochs} epoch{'s' * (epochs > 1)}"


def shorter_than_tuned(arms):
    """The names of the shorter baselines among arms."""
    return [arm for arm in arms if arm == of_length(arms[arm].epochs)]


def _within(seconds, rates, settings):
    """`settings` with the epochs of both stages that fill these seconds best, and never take longer.

    An epoch may be a large part of the time, so the share of the sub-networks gives way by one of theirs.
    """
    share = settings.subnet_epochs
    if share is None:
        share = max(1, round(timing.epochs_within(rates, settings, "subnets", SUBNET_SHARE * seconds)))
    found = []
    for subnet_epochs in (
        [share] if settings.subnet_epochs is not None else sorted({share, max(1, share - 1), share + 1})
    ):
        one = dataclasses.replace(settings, subnet_epochs=subnet_epochs, epochs=0)
        rest = seconds - timing.training_seconds(rates, one)
        epochs = math.floor(round(rest / timing.epoch_seconds(rates, settings, "full"), 6))
        if epochs >= 1:
            found.append(dataclasses.replace(one, epochs=epochs))
    if not found:
        raise UserError(
            f"{share} epochs of the sub-networks and one of fine-tuning take longer than the baseline: ask for fewer "
            "--subnet-epochs, for more --epochs or a larger --budget, or for another --clock"
        )
    return max(found, key=lambda one: (timing.training_seconds(rates, one), -abs(one.subnet_epochs - share)))


def search_of(settings):
    """The learning rates that are tried where none are named: half, once and twice that of the recipe's baseline."""
    return tuple(factor * RECIPES[settings.recipe].baseline.learning_rate for factor in (0.5, 1, 2))


def trials_of(arms, rates):
    """{name: `Settings`} of the search for a learning rate among `rates`, {arm: rates}; the arms take turns.

    Of images that are asked for by number, as many are held out as of all of them.
    """
    turns = itertools.zip_longest(*([(arm, rate) for rate in each] for arm, each in rates.items()))
    found = {}
    for arm, rate in filter(None, itertools.chain(*turns)):
        images = arms[arm].train_images
        trial = {"train_images": images and round((1 - HELD_OUT) * images), "validation_split": HELD_OUT}
        name = f"search-{arm}-{rate:g}"
        found[name] = dataclasses.replace(arms[arm], learning_rate=rate, seed=SEARCH_SEED, **trial)
    return found


def rates_of_search(arms, search):
    """{arm: learning rates} to try first, for those arms whose rate is searched."""
    return {arm: list(search) for arm in (OURS, "tuned") if arm in arms and search}


def beyond(rates, chosen):
    """`rates` with one more beyond the edge, for each arm whose best is there."""
    found = {}
    for arm, tried in rates.items():
        best = chosen[arm]["learning_rate"]
        further = {max(tried): 2 * best, min(tried): best / 2}.get(best)
        found[arm] = tried + [further] * (further is not None and len(tried) > 1)
    return found


def choice(rates, searched):
    """{arm: {"learning_rate", "tried": {rate: accuracy on held-out training images}}} of `rates`, {arm: rates}."""
    found = {}
    for arm, each in rates.items():
        tried = {rate: searched[f"search-{arm}-{rate:g}"][0]["final_accuracy"] for rate in each}
        found[arm] = {"learning_rate": max(tried, key=tried.get), "tried": {f"{r:g}": a for r, a in tried.items()}}
    return found


def with_rates(arms, chosen, also=()):
    """The arms with the learning rates that were `chosen`.

    Variants have that of ours, but for those with their own, and shorter baselines that of the tuned one.
    """
    found, shorter = {}, shorter_than_tuned(arms)
    for arm, settings in arms.items():
        source = OURS if arm in also and "learning_rate" not in also[arm] else "tuned" if arm in shorter else arm
        rate = chosen[source]["learning_rate"] if source in chosen else settings.learning_rate
        found[arm] = dataclasses.replace(settings, learning_rate=rate)
    return found


def finals_of(arms, seeds):
    """{name: `Settings`}, seed by seed: what the machine does in the meantime then meets all arms."""
    return {
        name_of(arm, seed): dataclasses.replace(settings, seed=seed)
        for seed in range(seeds)
        for arm, settings in arms.items()
    }


def name_of(arm, seed):
    """The name of a run, which is that of its folder too."""
    return f"{re.sub('[^-+.,=0-9A-Za-z]', '_', arm)}-seed{seed}"
