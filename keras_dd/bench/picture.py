"""The ways of each work as bars."""

import statistics

from keras_dd.bench.summary import times
from keras_dd.curves import COLOURS


def draw(measured, path):
    """Draw the images/s of all ways, the median as a bar and each round as a dot, as a PNG 1600 pixels wide."""
    from matplotlib.figure import Figure

    groups, pairs = {}, {}
    for row in measured["ways"]:
        groups.setdefault(row["name"], []).append(row)
    for pair in measured["results"]:
        pairs.setdefault(pair["name"], []).append(pair)
    heights = [1.2 + len(rows) for rows in groups.values()]
    figure = Figure(figsize=(10, 0.45 * sum(heights)), dpi=160, layout="constrained")
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, rows) in zip(panels, groups.items(), strict=True):
        _draw_ways(axes, rows, pairs.get(name, []))
    figure.savefig(path, format="png")


def _draw_ways(axes, rows, pairs):
    """Each way of one work, with how many times as fast the first one is; `pairs` are it and each of the others."""
    for place, (row, pair) in enumerate(zip(rows, [None, *pairs], strict=True)):
        rates = row["images_per_second"]
        median = statistics.median(rates)
        axes.barh(place, median, height=0.6, color=COLOURS[0] if place == 0 else COLOURS[4])
        axes.plot(rates, [place] * len(rates), linestyle="none", marker="o", markersize=3, color="black")
        label = f"  {median:,.0f}" + (f", the first is {times(pair['median_ratio'])}" if pair else "")
        axes.text(max(rates), place, label, va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["way"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(max(row["images_per_second"]) for row in rows))
    title = pairs[0]["what"].partition(":")[0] if pairs else rows[0]["name"]
    axes.set_title(f"{title}, images/s", loc="left", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
