"""Published experiments, run here at full scale or shrunk to a budget, with the published numbers beside ours."""

import dataclasses
import json
import re
import time

from keras_dd import campaign, drawing, featuremaps, html_campaign, reproduction_report, timing
from keras_dd.config import Settings, UserError, unknown
from keras_dd.files import replacing
from keras_dd.measures import MEASURES
from keras_dd.published import CITED, EXPERIMENTS

# A shrunk run has this many steps an epoch at least.
LEAST_STEPS = 5
# Settings that change where runs work, and nothing of what was published.
WHERE = ("data_dir", "devices")
# Settings that change nothing in how long a step takes.
PACELESS = {"off_diagonal": "zeros", "head_scale": 1.0, "reestimate": True, "subnet_epochs": None, "epochs": None}
SPARE = 0.95  # of a budget is planned for
# Of the test split, whose feature maps are drawn.
IMAGES = 4


def reproduce(name, scale, budget, seeds, run_dir, command, **common):
    """Make the runs of an experiment, as far as they are not made, and write reproduction.json, .md and .html.

    Args:
        name: of `published.EXPERIMENTS`.
        scale: "full", or "small": fewer arms, epochs and images, so that all takes `budget` seconds on this machine.
        seeds: runs of each arm; None: as published, but 3 at most at a small scale.
        run_dir: the campaign's folder, a new one or that of the same command before.
        command: the command line, for the reports.
        **common: fields of `Settings` for all runs, such as data_dir.

    Returns:
        What stands in reproduction.json.
    """
    experiment = EXPERIMENTS.get(name)
    if experiment is None:
        raise unknown("experiment", name, EXPERIMENTS)
    if (budget is None) is (scale == "small"):
        raise UserError("a budget is for --scale small, which needs one: add or leave out --budget 30min")
    seeds = seeds or (experiment.seeds if scale == "full" else min(experiment.seeds, 3))
    asked = {"experiment": name, "scale": scale, "budget": budget, "seeds": seeds} | common
    with campaign.folder(run_dir, asked, command) as folder:
        # Times are planned, and shares measured, for all sub-networks in one process.
        full = {arm: Settings(**{"workers": 1} | fields | common) for arm, fields in experiment.arms.items()}
        arms = {arm: dataclasses.replace(full[arm], **other) for arm, other in experiment.small.items()}
        arms = arms if scale == "small" else full
        started = time.perf_counter()
        measured = campaign.once(folder, "timing", lambda: _measured(arms))

        def fitting():
            return shrunk(arms, measured, seeds, SPARE * (budget - (time.perf_counter() - started)), experiment)

        arms = campaign.arms(folder, fitting) if scale == "small" else arms
        runs = {
            f"{re.sub('[^A-Za-z0-9.]+', '-', arm)}-seed{seed}": dataclasses.replace(settings, seed=seed)
            for seed in range(seeds)  # seed by seed: what the machine does in the meantime then meets all arms
            for arm, settings in arms.items()
        }
        kinds = {campaign.kind(settings): arm for arm, settings in arms.items()}

        def expected(settings):
            return timing.run_seconds(measured[kinds[campaign.kind(settings)]], settings)

        made = campaign.run(folder, runs, command, expected)
        done = list(made.values())
        results = {arm: done[place :: len(arms)] for place, arm in enumerate(arms)}
        results = {arm: [_timed_alone(*run, measured[arm]) for run in some] for arm, some in results.items()}
        found = {
            "experiment": name,
            "about": experiment.about,
            "scale": scale,
            "command": command,
            "seeds": seeds,
            "shrunk": differences({arm: Settings(**experiment.arms[arm]) for arm in arms}, arms),
            "left_out": [arm for arm in full if arm not in arms],
            "values": [_beside(value, results) for value in experiment.values if _is_there(value, results)],
            "environment": campaign.environment(done),
            "remarks": campaign.remarks(made),
            "timing": measured,
            "runs": list(runs),
            "pictures": [],
        }
        if experiment.feature_maps:
            networks = featuremaps.load(folder / campaign.RUNS / next(iter(runs)))
            drawn = featuremaps.draw(networks, folder / "feature-maps", range(IMAGES))
            found["pictures"] = [str(path.relative_to(folder)) for path in drawn]
        with replacing(folder / "reproduction.json") as partial:
            partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        with replacing(folder / "reproduction.md") as partial:
            partial.write_text(reproduction_report.markdown(found), encoding="utf-8")
        with replacing(folder / "curves.png") as partial:
            drawing.by_epoch(results, experiment.about, partial)
        with replacing(folder / "reproduction.html") as partial:
            partial.write_text(html_campaign.reproduction(found, folder), encoding="utf-8")
    return found


def _measured(arms):
    found, known = {}, {}
    for arm, settings in arms.items():
        pace = dataclasses.replace(campaign.kind(settings), **PACELESS)
        if pace not in known:
            print(f"Measuring a few steps of {arm}", flush=True)
            known[pace] = timing.measure(settings)
        found[arm] = known[pace]
    return found


def shrunk(arms, measured, seeds, budget, experiment):
    """The arms with as many epochs, in proportion, as fit into the budget (seconds); and if need be with fewer images.

    Raises:
        UserError: a budget that even the least is too much for.
    """
    longest = max(epochs for settings in arms.values() for epochs in timing.epochs_of(settings).values())
    images = min(each["train"] for each in measured.values())
    least = LEAST_STEPS * max(each["batch_size"] for each in measured.values())

    def fitted(epochs, count):
        return {
            arm: _shorter(settings, epochs / longest, count if count < images else settings.train_images)
            for arm, settings in arms.items()
        }

    def seconds(some):
        return seeds * sum(timing.run_seconds(measured[arm], settings) for arm, settings in some.items())

    shortest = min(experiment.shortest, longest)
    for epochs in range(longest, shortest - 1, -1):
        if seconds(fitted(epochs, images)) <= budget:
            return fitted(epochs, images)
    most, fewest = seconds(fitted(shortest, images)), seconds(fitted(shortest, least))
    count = int(least + (images - least) * (budget - fewest) / (most - fewest)) if most > fewest else 0
    if count < least:
        raise UserError(
            f"the budget is too small: {seeds} x {len(arms)} runs of {shortest} epochs of {least} images take about "
            f"{campaign.duration(fewest)} here, ask for more, or for fewer --seeds"
        )
    return fitted(shortest, count)


def _shorter(settings, share, images):
    epochs = {"full": "epochs", "subnets": "subnet_epochs"}
    found = {epochs[network]: max(1, round(share * n)) for network, n in timing.epochs_of(settings).items()}
    return dataclasses.replace(settings, train_images=images, **found)


def differences(full, used):
    """["epochs 5, 10 instead of 160", ...]: what is not as it was published, over all arms and settings."""
    found = {}
    for arm, settings in used.items():
        for field in dataclasses.fields(Settings):
            if field.name in WHERE:
                continue
            ours, theirs = getattr(settings, field.name), getattr(full[arm], field.name)
            if ours != theirs:
                found.setdefault(field.name, {})[ours, "all" if theirs is None else theirs] = None
    return [
        f"{name} {', '.join(f'{_count(a)} instead of {b}' for a, b in pairs)}".replace("_", " ")
        for name, pairs in found.items()
    ]


def _count(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def _timed_alone(report, history, measured):
    """A run's report with the share of the sub-networks' time that one of them takes alone, as it was measured."""
    if "subnet" in measured:
        report = report | {"alone_share": measured["subnet"]["step"] / measured["subnets"]["step"]}
    return report, history


def _is_there(value, results):
    return value.arm in results and (value.against is None or value.against in results)


def _beside(value, results):
    """A published value, and ours of each seed; none of what is cited only."""
    runs = results[value.arm]
    if value.measure == CITED:
        ours = []
    elif value.against is None:
        ours = [MEASURES[value.measure][1](*run) for run in runs]
    else:
        ours = [MEASURES[value.measure][1](*pair) for pair in zip(runs, results[value.against], strict=True)]
    return dataclasses.asdict(value) | {"ours": ours}
