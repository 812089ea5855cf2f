"""What the trials of trials.json tell: ideas and scales in epochs of the full network, as tables and pictures."""

import json
import statistics
from collections import Counter
from dataclasses import dataclass

from matplotlib.figure import Figure
from tables import FIGURES, spread
from trial_ideas import BASELINES, CASES, IDEAS, SCALED

from keras_dd import verdict
from keras_dd.curves import COLOURS

TRIALS = FIGURES / "trials.json"
PLAIN, SUBNET_EPOCHS = "as it is", 2  # decomposition as it is in the trials
# The machines of docs/performance.md.
PROCESSORS = {
    "Intel(R) Xeon(R) Processor (avx2 avx512f avx512_vnni avx512_bf16 amx_bf16)": "D",
    "AMD EPYC, family 25 model 17 (avx2 avx512f avx512_vnni avx512_bf16)": "E",
}


@dataclass(frozen=True)
class Outcome:
    """An idea: means over runs, in epochs of the full network.

    `worth` is what a baseline that ends with the same accuracy is trained longer than the fine-tuning; `price` and
    `price_no_link` are what the sub-networks, and what else the idea does, take on one device and on K without a link,
    by times of the machine `priced_on`.
    """

    rows: list[dict]
    points: list[float]
    worth: float
    price: float
    price_no_link: float
    priced_on: str


def _outcomes(case, on=None):
    """({epochs: accuracies} of the baseline, {idea: `Outcome`}) of a case, by times `on` a machine that has some."""
    found, (_, tuned) = json.loads(TRIALS.read_text(encoding="utf-8"))["rows"], CASES[case]
    rows, machines = {}, Counter()
    for row in found:
        if row["case"] == case:
            rows.setdefault(row["idea"], {})[row["processor"], row["seed"]] = row
            machines[row["processor"]] += 1
    if PLAIN not in rows:
        return {}, {}
    baseline = {
        tuned + more: [row["accuracy"] for row in rows[name].values()]
        for name, more in BASELINES.items()
        if name in rows
    }
    reached = [statistics.mean(accuracies) for accuracies in baseline.values()]
    outcomes = {}
    for idea, each in rows.items():
        if idea in BASELINES:
            continue
        ends = statistics.mean(row["accuracy"] for row in each.values())
        common = [machine for machine, _ in machines.most_common() if _of(machine, each)]
        common.sort(key=lambda machine: PROCESSORS.get(machine) != on)
        machine = next((machine for machine in common if _of(machine, rows[PLAIN])), None)
        if machine is None:
            raise SystemExit(
                f"{case}, {idea}: {PLAIN!r} is to be tried on the same machine, {common[0]}, for its times"
            )
        outcomes[idea] = Outcome(
            list(each.values()),
            [row["accuracy"] - rows[PLAIN][key]["accuracy"] for key, row in each.items() if key in rows[PLAIN]],
            _epochs_to(ends, list(baseline), reached) - tuned,
            *_prices(idea, machine, rows, tuned),
            PROCESSORS.get(machine, machine),
        )
    return baseline, outcomes


def _of(machine, each):
    return [row for (processor, _), row in each.items() if processor == machine]


def _prices(idea, machine, rows, tuned):
    """What an idea takes, in epochs of the full network on this machine: on one device, on K without a link.

    Of times the least one counts: what else the machine did can only add to them.
    """
    here = {name: _of(machine, each) for name, each in rows.items()}
    epoch = min(row["seconds"]["full"] / (tuned + BASELINES.get(name, 0)) for name in here for row in here[name])
    plain = here[PLAIN]
    alone = min(row["alone_step"] * row["steps_per_epoch"] for row in plain) * SUBNET_EPOCHS
    alone /= min(row["seconds"]["subnets"] for row in plain)
    alone = here[idea][0].get("alone_share") or alone
    subnets, other = (min(row["seconds"][kind] for row in here[idea]) for kind in ("subnets", "other"))
    return (subnets + other) / epoch, (alone * subnets + other) / epoch


def _epochs_to(accuracy, epochs, reached):
    """Epochs of the baseline to an accuracy, on straight lines between its lengths, and an epoch beyond them."""
    at = next((n for n, each in enumerate(reached[1:-1], start=1) if accuracy <= each), len(reached) - 1)
    slope = (epochs[at] - epochs[at - 1]) / (reached[at] - reached[at - 1])
    found = epochs[at] + slope * (accuracy - reached[at])
    return min(max(found, epochs[0] - 1), epochs[-1] + 1)


def trials():
    """One row an idea of `figures/trials.py`."""
    baseline, outcomes = _outcomes("w32")
    ends = ", ".join(f"{n} epochs {spread(accuracies)} %" for n, accuracies in baseline.items())
    lines = [
        f"Baseline: {ends}.",
        "",
        "| idea | expected | start, % | end, % | points | worth, epochs | price, one device | no link | on | runs |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, idea in IDEAS.items():
        if name in outcomes:
            one = outcomes[name]
            points = "–" if name == PLAIN else verdict.points(verdict.spread(one.points))
            cells = [f"{idea.about} (`{name}`)", idea.expected]
            cells += [spread([row[key] for row in one.rows]) for key in ("start", "accuracy")]
            cells += [points, f"{one.worth:+.2f}", f"{one.price:.2f}", f"{one.price_no_link:.2f}"]
            cells += [one.priced_on, str(len(one.rows))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scales():
    """What decomposition is worth, and costs, at each scale, and how much sooner its accuracy is there for it."""
    lines = [
        "| scale | tried | the baseline, % | end, % | worth, epochs | price, one device | no link "
        "| as fast, one device | no link | on | runs |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, (_, tuned) in CASES.items():
        baseline, outcomes = _outcomes(case, SCALES_ON)
        for idea in (idea for idea in SCALED if idea in outcomes):
            one = outcomes[idea]
            cells = [f"`{case}`", f"`{idea}`", spread(baseline[tuned]), spread([row["accuracy"] for row in one.rows])]
            cells += [f"{one.worth:+.2f}", f"{one.price:.2f}", f"{one.price_no_link:.2f}"]
            cells += [f"{(tuned + one.worth) / (tuned + price):.2f}x" for price in (one.price, one.price_no_link)]
            lines.append("| " + " | ".join([*cells, one.priced_on, str(len(one.rows))]) + " |")
    return "\n".join(lines)


SCALES_ON = "E"  # of which most of their times are
# What grows from left to right in a panel of the picture of scales: {its name: {its value: case}}.
TRENDS = {
    "width of the full network": {16: "w16", 32: "w32", 64: "w64"},
    "sub-networks": {2: "2 parts", 4: "w32", 8: "8 parts"},
    "training images": {10_000: "10,000 images", 20_000: "w32", 40_000: "40,000 images"},
    "epochs of fine-tuning": {1: "1 epoch", 3: "w32", 6: "6 epochs"},
}


def draw_scales(path, idea="overlap 0"):
    """Worth and price of boxes without overlap, against width, parts, images and length."""
    figure = Figure(figsize=(10, 3.4), dpi=160, layout="constrained")
    tried = {
        what: cases for what, cases in TRENDS.items() if sum(idea in _outcomes(case)[1] for case in cases.values()) > 1
    }
    panels = figure.subplots(1, len(tried), sharey=True)
    for axes, (what, cases) in zip(panels, tried.items(), strict=True):
        found = {
            value: outcomes[idea]
            for value, case in cases.items()
            if idea in (outcomes := _outcomes(case, SCALES_ON)[1])
        }
        lines = {
            "worth": ([one.worth for one in found.values()], "o-", COLOURS[0]),
            "price on one device": ([one.price for one in found.values()], "s--", COLOURS[3]),
            "price without a link": ([one.price_no_link for one in found.values()], "^:", COLOURS[2]),
        }
        for name, (values, style, colour) in lines.items():
            axes.plot(list(found), values, style, color=colour, label=name, linewidth=1.2, markersize=5)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(found), [f"{value:,}" for value in found])
        axes.minorticks_off()
        axes.margins(x=0.15)
        axes.set(xlabel=what)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="epochs of the full network")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png")


def draw(path):
    """What each idea is worth more than it costs, in epochs of the full network, on one device and without a link."""
    figure = Figure(figsize=(10, 7), dpi=160, layout="constrained")
    axes = figure.subplots()
    _, outcomes = _outcomes("w32")
    rows = sorted(outcomes.items(), key=lambda each: each[1].worth - each[1].price_no_link)
    for y, (name, one) in enumerate(rows):
        ends = one.worth - one.price, one.worth - one.price_no_link
        style = {"color": COLOURS[0] if name == PLAIN else "#777777", "markersize": 6}
        first = {"label": "on one device"} if y == 0 else {}
        axes.plot(ends, [y, y], linewidth=0.7, color=style["color"], zorder=1)
        axes.plot(ends[0], y, "o", **style, **first)
        axes.plot(ends[1], y, "o", markerfacecolor="white", **style, **first and {"label": "on K devices, no link"})
    axes.axvline(0, color="#bbbbbb", linestyle="--", linewidth=1, zorder=0)
    axes.set_yticks(range(len(rows)), [f"{name} ({len(one.rows)})" for name, one in rows], fontsize=8)
    axes.set(xlabel="worth less price, epochs of the full network", ylim=(-0.7, len(rows) - 0.3))
    axes.set_title("what ideas are worth more than they cost (number of runs)", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")
