"""Pictures of several runs: each of them thin, and the mean of an arm thick."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_dd.curves import COLOURS, DASHES


def curves(axes, arms, xlabel, ylabel):
    """Draw {name of an arm: [[(x, fraction), ...], a list a run]}; the mean is over the points of the same number."""
    for place, (name, runs) in enumerate(arms.items()):
        style = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}
        for run in runs if len(runs) > 1 else ():
            axes.plot(*zip(*run, strict=True), linewidth=0.7, alpha=0.6, **style)
        mean = np.mean([run[: min(map(len, runs))] for run in runs], axis=0)
        axes.plot(*mean.T, linewidth=2, marker=".", label=name, **style)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xlim(0, None)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="best")


def by_epoch(results, title, path):
    """Draw test accuracy against epochs of the full network as a PNG: {arm: [(report, history), a pair a run]}."""
    figure = Figure(figsize=(8, 5), dpi=160, layout="constrained")
    axes = figure.subplots()
    arms = {}
    for arm, runs in results.items():
        for report, history in runs:
            rows = [row for row in history if row["stage"] in ("finetune", "baseline")]
            points = [(row["epoch"], row[f"{report['evaluated_on']}_accuracy"]) for row in rows]
            composed = report.get("recalibrated_accuracy", report.get("composed_accuracy"))
            arms.setdefault(arm, []).append(([(0, composed)] if composed is not None else []) + points)
    curves(axes, arms, "epochs of the full network", "accuracy on the test split")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, loc="left", fontsize=10)
    figure.savefig(path, format="png")
