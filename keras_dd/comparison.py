"""Training by decomposition against conventional training: seeds in pairs, on four clocks, from one campaign."""

import dataclasses
import json

from keras_dd import campaign, clocks, comparison_report, drawing, html_campaign, peak, timing, verdict
from keras_dd.arms import (
    BEYOND,
    OURS,
    TIMED,
    arms_of,
    beyond,
    check,
    choice,
    conventional,
    finals_of,
    name_of,
    rates_of,
    rates_of_search,
    search_of,
    shorter_than_tuned,
    trials_of,
    with_rates,
)
from keras_dd.files import replacing
from keras_dd.recipes import RECIPES

# Of a run, those that its clock counts.
STAGES = ("subnets", "compose", "recalibrate", "finetune", "baseline")


def compare(settings, baselines, seeds, budget, search, run_dir, command, also=(), clock="one-device", shorter=0):
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
            decomposition alike; none: those of the recipe; None: half, once and twice that of the recipe's baseline,
            and up to two more where the best is at the edge of those.
        run_dir: the campaign's folder, a new one or that of the same command before.
        command: the command line, for the reports.
        also: variants of the run by decomposition, {name: {field of `arms.VARIED`: value}}; they take the same time,
            and have the learning rate that is chosen for ours.
        clock: the one of `clocks.CLOCKS` on which all arms end together; the budget is the baseline's on one device.
        shorter: how many tuned baselines of an epoch less each to train too, at the rate that is chosen for the
            longest: where ours ends between two, on whatever clock, it is compared there (`verdict.compared`).

    Returns:
        What stands in comparison.json.
    """
    also = dict(also)
    check(settings, baselines, seeds, budget, also, shorter)
    further = BEYOND if search is None else 0
    search = search_of(settings) if search is None else search
    asked = {"settings": _plain(settings), "baselines": list(baselines), "seeds": seeds, "budget": budget}
    asked |= {"also": [[name, changed] for name, changed in also.items()] or None}
    asked |= {"clock": None if clock == "one-device" else clock, "shorter": shorter or None}
    settings = dataclasses.replace(settings, workers=1)  # as they are measured for the plan
    with campaign.folder(run_dir, asked | {"search": list(search)}, command) as folder:
        measured = campaign.once(folder, "timing", lambda: measure(settings, baselines, also))
        arms = campaign.arms(folder, lambda: arms_of(settings, baselines, budget, measured, also, clock, shorter))
        peaks = campaign.once(folder, "memory", lambda: _peaks(arms, measured))
        expected, finals = _expected(arms, measured), finals_of(arms, seeds)

        def searched():
            rates, found = rates_of_search(arms, search), {}
            for _ in range(1 + further):
                trials = trials_of(arms, rates)
                found = choice(rates, campaign.run(folder, trials, command, expected, later=finals.values()))
                rates = beyond(rates, found)
            return found

        chosen = campaign.once(folder, "search", searched)
        arms = with_rates(arms, chosen, also)
        finals = finals_of(arms, seeds)
        done = campaign.run(folder, finals, command, expected)
        results = {arm: [done[name_of(arm, seed)] for seed in range(seeds)] for arm in arms}
        curves, fewer = curves_of(results, arms, measured), {"tuned": shorter_than_tuned(arms)}
        found = {
            "command": command,
            "verdict": [],
            "seeds": seeds,
            "budget": budget,
            "clock": clock,
            "arms": {
                arm: _facts(arm, arms[arm], results[arm], measured, peaks)
                | {"seconds": [run[-1][0] for run in curves["one-device"][arm]]}
                for arm in arms
            },
            "search": chosen,
            "against": {baseline: _against(curves, OURS, baseline, fewer.get(baseline, ())) for baseline in baselines},
            "variants": {
                name: {
                    "changed": changed,
                    "against": {
                        other: _against(curves, name, other, fewer.get(other, ())) for other in (OURS, *baselines)
                    },
                }
                for name, changed in also.items()
            },
            "curves": curves,
            "timing": measured,
            "environment": campaign.environment(done.values()),
            "remarks": campaign.remarks(done),
            "runs": list(finals),
        }
        found["verdict"] = [
            verdict.sentence(baseline, clocks.CLOCKS[clock].where, found["against"][baseline][clock]["summary"])
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


def measure(settings, baselines, also=()):
    """`timing.measure` of ours, of the paper's recipe if it is asked for, and of variants whose steps take longer."""
    print("Measuring a few steps of each kind of training", flush=True)
    found = {OURS: timing.measure(settings)}
    if "paper" in baselines:
        found["paper"] = timing.measure(conventional(settings, "paper"))
    for name, changed in dict(also).items():
        if not changed.keys().isdisjoint(TIMED):
            found[name] = timing.measure(dataclasses.replace(settings, **changed))
    return found


def _peaks(arms, measured):
    """{arm: what `peak.of_training` gives} for those arms whose training was timed."""
    print("Measuring the memory of each kind of training", flush=True)
    about = measured[OURS]
    return {arm: peak.of_training(arms[arm], about["image_shape"], about["classes"]) for arm in arms if arm in measured}


def plan(settings, baselines, seeds, budget, search, also=(), clock="one-device", shorter=0):
    """What `compare` would run, in words.  A few steps are trained for the times, and nothing is written."""
    also = dict(also)
    check(settings, baselines, seeds, budget, also, shorter)
    search = search_of(settings) if search is None else search
    settings = dataclasses.replace(settings, workers=1)
    measured = measure(settings, baselines, also)
    arms = arms_of(settings, baselines, budget, measured, also, clock, shorter)
    runs = trials_of(arms, rates_of_search(arms, search)) | finals_of(arms, seeds)
    seconds = list(map(_expected(arms, measured), runs.values()))
    lines = [f"  {name:24}{campaign.duration(each):>12}" for name, each in zip(runs, seconds, strict=True)]
    for arm, one in arms.items():
        training = campaign.duration(timing.training_seconds(rates_of(measured, arm), one))
        epochs = " + ".join(f"{count} epochs of {network}" for network, count in timing.epochs_of(one).items())
        lines.append(f"{arm}: {epochs}, {training} of training")
    return "\n".join(
        [*lines, f"{len(runs)} runs, about {campaign.duration(sum(seconds))}: leave out --dry-run to start"]
    )


def _expected(arms, measured):
    """`expected(settings)`, the seconds of a run of one of the arms."""

    def kind(settings):
        return campaign.kind(dataclasses.replace(settings, train_images=None))  # a search has fewer

    rates = {kind(settings): rates_of(measured, arm) for arm, settings in arms.items()}
    return lambda settings: timing.run_seconds(rates[kind(settings)], settings)


def curves_of(results, arms, measured):
    """{clock: {arm: [curve, a list a seed]}}; the baselines get as many devices as there are parts of ours."""
    curves = {clock: {} for clock in clocks.CLOCKS}
    for arm, runs in results.items():
        steps = {
            name: rates_of(measured, arm).get(name, measured[OURS][name])["step"] for name in ("subnet", "subnets")
        }
        parts = arms[arm if arms[arm].method == "decomposition" else OURS].parts
        for report, history in runs:
            settings = report["settings"] | {"parts": parts}
            report = report | {"alone_share": steps["subnet"] / steps["subnets"], "settings": settings}
            for clock, found in curves.items():
                found.setdefault(arm, []).append(clocks.curve(report, history, clock))
    return curves


def _against(curves, ours, other, shorter=()):
    """{clock: `verdict.compared`} of one arm, `ours`, and another, of which there may be `shorter` ones."""
    return {
        clock: verdict.compared(arms[ours], arms[other], [arms[each] for each in shorter])
        for clock, arms in curves.items()
    }


def _facts(arm, settings, runs, measured, peaks):
    """What was run, and where it ended."""
    measured, peaks = rates_of(measured, arm), peaks.get(arm, peaks[OURS])
    ours = settings.method == "decomposition"
    networks = ("subnet", "subnets", "full") if ours else ("full",)
    rate = settings.learning_rate
    recipe = RECIPES[settings.recipe]
    rate = (recipe.finetune if ours else recipe.baseline).learning_rate if rate is None else rate
    stages = {stage: [run["seconds"][stage] for run, _ in runs] for stage in STAGES if stage in runs[0][0]["seconds"]}
    return {
        "settings": _plain(settings),
        "epochs": timing.epochs_of(settings),
        "learning_rate": rate,
        "final_accuracy": [run["final_accuracy"] for run, _ in runs],
        "stages": stages,
        "tracing": sum(measured[network]["tracing"] for network in timing.epochs_of(settings)),
        "estimated_peak_bytes": {network: measured[network]["bytes"] for network in networks},
        "peak_bytes": {network: peaks[network] for network in networks if network in peaks},
    }


def _plain(settings):
    return dataclasses.asdict(settings)
