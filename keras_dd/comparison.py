"""Training by decomposition against conventional training: seeds in pairs, on four clocks, from one campaign."""

import dataclasses
import functools
import json
import math

from keras_dd import campaign, clocks, comparison_report, drawing, html_campaign, peak, rundir, timing, verdict
from keras_dd.config import BASELINES, Settings, UserError, unknown
from keras_dd.files import replacing
from keras_dd.job import DECOMPOSITION_FIELDS
from keras_dd.recipes import RECIPES

# Of the time of a run by decomposition; not tuned here.
SUBNET_SHARE = 0.25
# The held-out training images of a search, and its seed.
HELD_OUT, SEARCH_SEED = 0.1, 0
OURS = "decomposed"


def compare(settings, baselines, seeds, budget, search, run_dir, command):
    """Make the runs of a comparison, as far as they are not made, and write comparison.json, its page and its pictures.

    Args:
        settings: `Settings` of the run by decomposition; with `epochs` (those of the baselines) or `subnet_epochs`
            None, they follow from the budget, and the epochs of fine-tuning always follow, so that all arms take the
            same time on this machine, or ours less: tracing and the re-estimation of batch norm count in a budget, and
            not where `epochs` are asked for.
        baselines: of `BASELINES`.  "tuned" has the recipe of the settings, "paper" the paper's, shrunk in proportion.
        seeds: the number of pairs.
        budget: seconds of training of a run, where `epochs` is None.
        search: learning rates to choose from, on held-out training images, for "tuned" and for the fine-tuning by
            decomposition alike; none: those of the recipe; None: half, once and twice that of the recipe's baseline.
        run_dir: the campaign's folder, a new one or that of the same command before.
        command: the command line, for the reports.

    Returns:
        What stands in comparison.json.
    """
    _check(settings, baselines, seeds, budget)
    search = _search(settings) if search is None else search
    asked = {"settings": _plain(settings), "baselines": list(baselines), "seeds": seeds, "budget": budget}
    with campaign.folder(run_dir, asked | {"search": list(search)}, command) as folder:
        measured = campaign.once(folder, "timing", lambda: measure(settings, baselines))
        arms = arms_of(settings, baselines, budget, measured)
        peaks = campaign.once(folder, "memory", lambda: _peaks(arms, measured))
        trials, finals = trials_of(arms, search), finals_of(arms, seeds)
        expected = functools.partial(_expected, measured)
        searched = campaign.run(folder, trials, command, expected, later=finals.values())
        chosen = campaign.once(folder, "search", lambda: choice(arms, search, searched))
        for arm, found in chosen.items():
            arms[arm] = dataclasses.replace(arms[arm], learning_rate=found["learning_rate"])
        finals = finals_of(arms, seeds)
        done = campaign.run(folder, finals, command, expected)
        results = {arm: [done[_name(arm, seed)] for seed in range(seeds)] for arm in arms}
        curves = curves_of(results, settings.parts, measured[OURS])
        found = {
            "command": command,
            "verdict": [],
            "seeds": seeds,
            "budget": budget,
            "arms": {arm: _facts(arm, arms[arm], results[arm], measured, peaks) for arm in arms},
            "search": chosen,
            "against": {baseline: _against(curves, baseline) for baseline in baselines},
            "curves": curves,
            "timing": measured,
            "environment": rundir.environment(),
            "runs": list(finals),
        }
        found["verdict"] = [
            verdict.sentence(baseline, "on one device", found["against"][baseline]["one-device"]["summary"])
            for baseline in baselines
        ]
        with replacing(folder / "comparison.json") as partial:
            partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        with replacing(folder / "comparison.png") as partial:
            comparison_report.draw(found, partial)
        with replacing(folder / "curves.png") as partial:
            drawing.by_epoch(results, f"{settings.model} on {settings.dataset}", partial)
        with replacing(folder / "comparison.md") as partial:
            partial.write_text(comparison_report.markdown(found), encoding="utf-8")
        with replacing(folder / "comparison.html") as partial:
            partial.write_text(html_campaign.comparison(found), encoding="utf-8")
    return found


def _search(settings):
    return tuple(factor * RECIPES[settings.recipe].baseline.learning_rate for factor in (0.5, 1, 2))


def _check(settings, baselines, seeds, budget):
    for baseline in baselines:
        if baseline not in BASELINES:
            raise unknown("baseline", baseline, BASELINES)
    if not baselines or seeds < 1:
        raise UserError(f"{len(baselines)} baselines and {seeds} seeds: there must be one of each at least")
    if (budget is None) is (settings.epochs is None):
        raise UserError("say either how long a run may take, --budget 10min, or the --epochs of the baseline")
    if settings.method != "decomposition" or settings.validation_split:
        raise UserError("method and validation_split are what a comparison sets itself: leave them out")


def measure(settings, baselines):
    """`timing.measure` of a run by decomposition, and of the paper's recipe if it is among the baselines."""
    print("Measuring a few steps of each kind of training", flush=True)
    found = {OURS: timing.measure(settings)}
    if "paper" in baselines:
        found["paper"] = timing.measure(_conventional(settings, "paper"))
    return found


def _peaks(arms, measured):
    """{arm: what `peak.of_training` gives} for those arms whose training was timed."""
    print("Measuring the memory of each kind of training", flush=True)
    about = measured[OURS]
    return {arm: peak.of_training(arms[arm], about["image_shape"], about["classes"]) for arm in arms if arm in measured}


def _conventional(settings, recipe):
    plain = {name: getattr(Settings, name) for name in DECOMPOSITION_FIELDS}
    return dataclasses.replace(settings, **plain, method="conventional", recipe=recipe)


def arms_of(settings, baselines, budget, measured):
    """{arm: `Settings`}, with the epochs that take all of them the same time, or ours less than a baseline."""
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
    seconds = timing.stage_seconds(rates, settings, "full", epochs)
    arms = {OURS: _within(seconds, rates, settings)}
    for baseline in baselines:
        recipe = "paper" if baseline == "paper" else settings.recipe
        arms[baseline] = dataclasses.replace(_conventional(settings, recipe), epochs=epochs)
    if "paper" in arms:
        within = timing.epochs_within(measured["paper"], arms["paper"], "full", seconds)
        arms["paper"] = dataclasses.replace(arms["paper"], epochs=math.ceil(round(within, 6)))
    return arms


def _within(seconds, rates, settings):
    """`settings` with the epochs of both stages that fill these seconds best, and never take longer.

    An epoch may be a large part of the time, so the share of the sub-networks gives way by one of theirs.
    """
    share = settings.subnet_epochs
    if share is None:
        share = max(1, round(timing.epochs_within(rates, settings, "subnets", SUBNET_SHARE * seconds)))
    found = []
    for subnet_epochs in [share] if settings.subnet_epochs else sorted({share, max(1, share - 1), share + 1}):
        one = dataclasses.replace(settings, subnet_epochs=subnet_epochs, epochs=0)
        rest = seconds - timing.training_seconds(rates, one)
        epochs = math.floor(round(rest / timing.epoch_seconds(rates, settings, "full"), 6))
        if epochs >= 1:
            found.append(dataclasses.replace(one, epochs=epochs))
    if not found:
        raise UserError(
            f"{share} epochs of the sub-networks and one of fine-tuning take longer than the baseline, "
            f"{campaign.duration(seconds)}: ask for fewer --subnet-epochs, for more --epochs or a larger --budget"
        )
    return max(found, key=lambda one: (timing.training_seconds(rates, one), -abs(one.subnet_epochs - share)))


def plan(settings, baselines, seeds, budget, search):
    """What `compare` would run, in words.  A few steps are trained for the times, and nothing is written."""
    _check(settings, baselines, seeds, budget)
    search = _search(settings) if search is None else search
    measured = measure(settings, baselines)
    arms = arms_of(settings, baselines, budget, measured)
    runs = trials_of(arms, search) | finals_of(arms, seeds)
    seconds = [_expected(measured, one) for one in runs.values()]
    lines = [f"  {name:24}{campaign.duration(each):>12}" for name, each in zip(runs, seconds, strict=True)]
    for arm, one in arms.items():
        training = campaign.duration(timing.training_seconds(measured["paper" if arm == "paper" else OURS], one))
        epochs = " + ".join(f"{count} epochs of {network}" for network, count in timing.epochs_of(one).items())
        lines.append(f"{arm}: {epochs}, {training} of training")
    return "\n".join(
        [*lines, f"{len(runs)} runs, about {campaign.duration(sum(seconds))}: leave out --dry-run to start"]
    )


def _expected(measured, one):
    """Seconds of a run."""
    is_paper = one.method == "conventional" and one.recipe == "paper" and "paper" in measured
    return timing.run_seconds(measured["paper" if is_paper else OURS], one)


def trials_of(arms, search):
    """{name: `Settings`} of the search for a learning rate, the same for ours and for the tuned baseline."""
    trial = {"validation_split": HELD_OUT, "seed": SEARCH_SEED}
    return {
        f"search-{arm}-{rate:g}": dataclasses.replace(settings, learning_rate=rate, **trial)
        for rate in search
        for arm, settings in arms.items()
        if arm != "paper"
    }


def finals_of(arms, seeds):
    """{name: `Settings`}, seed by seed: what the machine does in the meantime then meets all arms."""
    return {
        _name(arm, seed): dataclasses.replace(settings, seed=seed)
        for seed in range(seeds)
        for arm, settings in arms.items()
    }


def _name(arm, seed):
    return f"{arm}-seed{seed}"


def choice(arms, search, searched):
    """{arm: {"learning_rate", "tried": {rate: accuracy on held-out training images}}}; nothing without a search."""
    found = {}
    for arm in arms if search else ():
        if arm != "paper":
            tried = {rate: searched[f"search-{arm}-{rate:g}"][0]["final_accuracy"] for rate in search}
            found[arm] = {"learning_rate": max(tried, key=tried.get), "tried": {f"{r:g}": a for r, a in tried.items()}}
    return found


def curves_of(results, parts, measured):
    """{clock: {arm: [curve, a list a seed]}}; the baselines get as many devices as there are parts."""
    alone = measured["subnet"]["step"] / measured["subnets"]["step"]
    return {
        clock: {
            arm: [
                clocks.curve(
                    run | {"alone_share": alone, "settings": run["settings"] | {"parts": parts}}, history, clock
                )
                for run, history in runs
            ]
            for arm, runs in results.items()
        }
        for clock in clocks.CLOCKS
    }


def _against(curves, baseline):
    """{clock: {"pairs", "summary"}}"""
    found = {}
    for clock, arms in curves.items():
        pairs = [verdict.pair(*both) for both in zip(arms[OURS], arms[baseline], strict=True)]
        found[clock] = {"pairs": pairs, "summary": verdict.summary(pairs)}
    return found


def _facts(arm, settings, runs, measured, peaks):
    """What was run, and where it ended."""
    measured, peaks = (found["paper" if arm == "paper" else OURS] for found in (measured, peaks))
    networks = ("subnet", "subnets", "full") if arm == OURS else ("full",)
    rate = settings.learning_rate
    rate = RECIPES[settings.recipe].baseline.learning_rate if rate is None and arm != OURS else rate
    rate = RECIPES[settings.recipe].finetune.learning_rate if rate is None else rate
    stages = ("subnets", "compose", "recalibrate", "finetune", "baseline")
    return {
        "settings": _plain(settings),
        "epochs": timing.epochs_of(settings),
        "learning_rate": rate,
        "final_accuracy": [run["final_accuracy"] for run, _ in runs],
        "seconds": [sum(run["seconds"].get(stage, 0) for stage in stages) for run, _ in runs],
        "estimated_peak_bytes": {network: measured[network]["bytes"] for network in networks},
        "peak_bytes": {network: peaks[network] for network in networks if network in peaks},
    }


def _plain(settings):
    return dataclasses.asdict(settings)
