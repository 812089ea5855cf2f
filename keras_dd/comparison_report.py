"""A comparison as people look at it: tables, Markdown, and accuracy against four clocks.

What is shown is what stands in comparison.json, as `comparison.compare` has found it.
"""

import statistics

from keras_dd import clocks, cost, drawing, report, verdict
from keras_dd.reproduction_report import remark_lines


def arm_lines(found):
    """What was run, as lines of text, the first one the headings."""
    lines = [("arm", "epochs", "rate", "accuracy", "seconds", "peak memory")]
    for arm, facts in found["arms"].items():
        epochs = " + ".join(str(facts["epochs"][name]) for name in ("subnets", "full") if name in facts["epochs"])
        accuracy, seconds = verdict.spread(facts["final_accuracy"]), verdict.spread(facts["seconds"])
        stdev = "" if accuracy["stdev"] is None else f" ± {100 * accuracy['stdev']:.2f}"
        peaks = facts["peak_bytes"] or facts["estimated_peak_bytes"]
        memory = " / ".join(f"{peaks[name] / cost.MIB:,.0f}" for name in facts["estimated_peak_bytes"])
        cells = f"{100 * accuracy['mean']:.2f}{stdev} %", f"{seconds['mean']:,.0f}", f"{memory} MiB"
        lines.append((arm, epochs, f"{facts['learning_rate']:g}", *cells))
    return lines


def clock_lines(found, baseline):
    """What decomposition brings against a baseline, a line a clock."""
    lines = [(f"against {baseline}", "reached", "as fast", "points at equal time", "at the ends")]
    for clock, each in found["against"][baseline].items():
        s = each["summary"]
        ratio = "–" if s["ratio"] is None else times(s["ratio"])
        if verdict.is_between(s):
            ratio = "–" if s["as_fast"] is None else f"{s['as_fast']:.2f}x"
        reached = f"{s['reached']} of {s['seeds']}"
        gains = gain(s), verdict.points(s["final"])
        lines.append((clocks.CLOCKS[clock].name, reached, ratio, *gains))
    return lines


def times(found):
    """A spread of ratios: "1.73x ± 0.00"."""
    return f"{found['mean']:.2f}x" + ("" if found["stdev"] is None else f" ± {found['stdev']:.2f}")


def gain(summary):
    """Points at equal time, with a dagger where the longer arm is met in mid-schedule: "-1.20 ± 0.30 †"."""
    return verdict.points(summary["difference"]) + ("" if verdict.is_fair(summary) else " †")


def stage_lines(found):
    """Where the time went, as lines of text, the first one the headings: the mean over the seeds, in seconds."""
    arms = found["arms"].values()
    lines = [("seconds of", *found["arms"])]
    for stage in dict.fromkeys(stage for facts in arms for stage in facts["stages"]):
        each = (facts["stages"].get(stage) for facts in arms)
        cells = ("–" if seconds is None else f"{statistics.mean(seconds):,.1f}" for seconds in each)
        lines.append((report.STAGES[stage], *cells))
    return [*lines, ("of these, tracing", *(f"{facts['tracing']:,.1f}" for facts in arms))]


def variant_lines(found, other):
    """Variants of decomposition against another arm: points at equal time, a column a clock; no line without them."""
    variants = found.get("variants") or {}
    lines = [(f"against {other}", *SHORT)]
    for name, variant in variants.items():
        gains = (gain(each["summary"]) for each in variant["against"][other].values())
        lines.append((name, *gains))
    return lines if variants else []


def tables(found):
    """What was run, and what it brought, each as lines of text, the first one the headings."""
    against = [variant_lines(found, other) for other in ("decomposed", *found["against"])]
    brought = [clock_lines(found, baseline) for baseline in found["against"]]
    return [arm_lines(found), stage_lines(found), *brought, *filter(None, against)]


def seed_lines(found):
    """The accuracy that each run ends with, as lines of text, the first one the headings."""
    arms = {arm: facts["final_accuracy"] for arm, facts in found["arms"].items()}
    seeds = zip(*arms.values(), strict=True)
    return [("seed", *arms), *((str(n), *(f"{100 * a:.2f} %" for a in each)) for n, each in enumerate(seeds))]


def search_lines(found):
    """What the search has tried for each arm, a table each, as lines of text, the first one the headings."""
    return [
        [(f"rate, {arm}", "held-out"), *((rate, f"{100 * accuracy:.2f} %") for rate, accuracy in each["tried"].items())]
        for arm, each in found["search"].items()
    ]


# The clocks, where four of them stand side by side.
SHORT = ("one device", "linked", "no link", "FLOPs")
NOTES = (
    "reached: seeds in which decomposition reaches the accuracy that the baseline ends with; as fast: the baseline's "
    "time to it over ours; spread: standard deviation over seeds, which are paired.",
    "peak memory: of one sub-network / all at once / the full network, on top of Python, TensorFlow and the images: "
    "measured, as what a process grows by that trains it (where there is no /proc, estimated from the graph).",
    "tracing: what the first steps of training take longer, as measured beforehand; it does not grow with the run.",
    "K devices: one sub-network's share of the time as measured alone on this machine; data-parallel training scales "
    "ideally, for the baseline too.",
    "equal time: arms are planned to end together on one clock, that of one device if no other is asked for, and are "
    "compared at their ends where these differ by 5 % at most. Elsewhere (†) the longer one is met in the middle of "
    "its schedule, on a straight line between two epochs, at a high learning rate, where it is worse than a run of "
    "that length would be at its end.",
)

SHORTER = (
    "shorter baselines: where ours ends between tuned baselines of several lengths, equal time is at its end, on a "
    "straight line between the ends of theirs, and as fast is what a baseline on that line takes for the accuracy that "
    "ours ends with, over our time (a dash where it is beyond their ends)."
)


def notes(found):
    """What the numbers mean."""
    summaries = (each["summary"] for against in found["against"].values() for each in against.values())
    return (*NOTES, SHORTER) if any("between" in each for each in summaries) else NOTES


def markdown(found):
    """The verdict, the tables and the pictures, as Markdown."""
    search = [
        f"Search on held-out training images, {arm}: "
        + ", ".join(f"{rate}: {100 * accuracy:.2f} %" for rate, accuracy in chosen["tried"].items())
        + edge(chosen)
        for arm, chosen in found["search"].items()
    ]
    blocks = ["# Decomposition against conventional training", *found["verdict"], f"```\n{found['command']}\n```"]
    pictures = "![](comparison.png)", "![](curves.png)"
    blocks += [
        *map(report.markdown_table, tables(found)),
        *notes(found),
        pages(found),
        *search,
        *remark_lines(found),
        *pictures,
    ]
    return "\n\n".join(blocks) + "\n"


def pages(found):
    """Where in the campaign's folder the rest is told."""
    return (
        "boxes, the curve of each sub-network, confusion matrix and examples: on the page of each run, "
        f"runs/{found['runs'][0]}/report.html and so on, in the campaign's folder."
    )


def edge(chosen):
    """A warning, where the search of an arm has found its best rate at an edge of those that it tried; else ""."""
    rates = [float(rate) for rate in chosen["tried"]]
    at_an_edge = len(rates) > 1 and chosen["learning_rate"] in (min(rates), max(rates))
    return " (the best is at an edge: a wider --search may find a better one)" if at_an_edge else ""


def draw(found, path):
    """Accuracy against each of the four clocks, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), dpi=150, layout="constrained")
    for axes, (clock, arms) in zip(figure.subplots(2, 2).flat, found["curves"].items(), strict=True):
        end = max(x for runs in arms.values() for run in runs for x, _ in run)
        factor, unit = clocks.scale(clock, end)
        scaled = {arm: [[(x / factor, y) for x, y in run] for run in runs] for arm, runs in arms.items()}
        drawing.curves(axes, scaled, unit, "accuracy on the test split")
        axes.set_title(clocks.CLOCKS[clock].name, loc="left", fontsize=10)
    figure.savefig(path, format="png")
