"""The picture of a run: accuracy against training time, and the boxes of its sub-networks in the same colours."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

# Okabe and Ito's colour-blind safe palette without its yellow and black; parts 7 to 12 are dashed, 13 to 18 dotted.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
DASHES = ("-", "--", ":")


def curves(report: dict, history: list[dict], path: Path) -> None:
    """Draw accuracy against training time, and any boxes in the same colours, as a PNG of 1600 x 700 pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.375), dpi=160, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    if report["boxes"]:
        left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
        _draw_boxes(right, report)
    else:
        left = figure.subplots()
    _draw_accuracy(left, report, history)
    figure.savefig(path, format="png")


def _draw_accuracy(axes, report: dict, history: list[dict]) -> None:
    """Sub-networks from second 0, the hand-over, and the fine-tuned network, on one clock; or the full one alone."""
    seconds, measured = report["seconds"], f"{report['evaluated_on']}_accuracy"
    runs = {}
    for row in history:
        runs.setdefault(row["stage"], []).append((row["seconds"], row.get(measured)))
    tuned, whole = runs.pop("finetune", []), runs.pop("baseline", [])
    handover = seconds.get("subnets") or max((time for run in runs.values() for time, _ in run), default=0)
    composed = handover + (seconds.get("compose") or 0), report.get("composed_accuracy")
    restarted = composed[0] + (seconds.get("recalibrate") or 0), report.get("recalibrated_accuracy")
    tuned = tuned and [composed, restarted, *((restarted[0] + time, accuracy) for time, accuracy in tuned)]
    tuned = tuned or whole
    end = (tuned[-1][0] if tuned else restarted[0]) or 1
    scale, unit = next((pair for pair in ((3600, "hours"), (60, "minutes")) if end > 5 * pair[0]), (1, "seconds"))

    def draw(run, **style):
        run = [(time / scale, accuracy) for time, accuracy in run if accuracy is not None]
        return axes.plot(*zip(*run, strict=True), **style) if run else []

    for part in range(len(report["boxes"])):
        draw(runs.get(f"subnet {part + 1}", []), linewidth=1.5, marker=".", markersize=4, **_style(part))
    draw(tuned, color="black", linewidth=2, marker=".", markersize=5)
    diamond = {"marker": "D", "linestyle": "none", "color": "black", "zorder": 5, "clip_on": False}
    handles = draw([composed], label="composed " + percent(composed[1], 1), markerfacecolor="white", **diamond)
    handles += draw([restarted], label="batch norm re-estimated " + percent(restarted[1], 1), **diamond)
    if handles:
        axes.legend(handles=handles, frameon=False)

    chance, final = report["dataset"]["chance"], report.get("final_accuracy")
    everything = [accuracy or 0 for run in (*runs.values(), tuned, [composed, restarted]) for _, accuracy in run]
    top = min(max(chance, *everything) + 0.1, 1.03)
    beside = {"xycoords": ("axes fraction", "data"), "xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    axes.axhline(chance, color="#777777", linewidth=1, linestyle=":")
    axes.annotate("chance\n" + percent(chance, 1), (1, chance), color="#555555", **beside)
    if report["boxes"]:
        axes.set_title(f"{len(report['boxes'])} sub-networks, at the same time", loc="left", fontsize=10)
        axes.axvspan(0, handover / scale, color="#f2f2f2", linewidth=0, zorder=0)
    if tuned:
        title = "the composed network, fine-tuned" if report["boxes"] else "the full network"
        axes.set_title(title, loc="right", fontsize=10)
    if tuned and final is not None:  # beside the end of its curve, but never on top of the label of chance
        height = max(final, chance + 0.12 * top)
        axes.annotate(f"{trained(report)}\n" + percent(final, 1), (1, height), weight="bold", **beside)
    axes.yaxis.set_major_formatter(lambda value, _: percent(value, 0))
    axes.set(xlim=(0, 1.02 * end / scale), ylim=(0, top))
    axes.set(xlabel=f"training time, {unit}", ylabel=f"accuracy on the {report['evaluated_on']} split")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_boxes(axes, report: dict) -> None:
    """One small image for each part, laid out as the grid is, with the part's box, number and accuracy.

    Not all boxes on one image: they overlap, and from nine parts on nobody could tell them apart.
    """
    from matplotlib.patches import Rectangle

    rows, columns = report["dataset"]["image_shape"][:2]
    tops, lefts = (sorted({corner[axis] for corner in report["boxes"]}) for axis in (0, 1))
    for part, ((top, left, height, width), accuracy) in enumerate(parts(report)):
        y, x = 1.4 * rows * tops.index(top), 1.15 * columns * lefts.index(left)
        style = _style(part)
        axes.add_patch(Rectangle((x, y), columns, rows, facecolor="#f2f2f2", edgecolor="#999999", linewidth=0.8))
        axes.add_patch(Rectangle((x + left, y + top), width, height, alpha=0.3, linewidth=0, color=style["color"]))
        axes.add_patch(Rectangle((x + left, y + top), width, height, fill=False, linewidth=1.8, **style))
        label = str(part + 1) if accuracy is None else f"{part + 1}: {percent(accuracy, 1)}"
        axes.text(x + columns / 2, y - 0.06 * rows, label, ha="center", fontsize=9 if len(lefts) <= 2 else 6.5)
    axes.set(aspect="equal", xlim=(-0.03 * columns, (1.15 * len(lefts) - 0.12) * columns))
    axes.set_ylim((1.4 * len(tops) - 0.37) * rows, -0.37 * rows)
    axes.set_title("what each sub-network sees", fontsize=10)
    axes.axis("off")


def _style(part: int) -> dict:
    return {"color": COLOURS[part % len(COLOURS)], "linestyle": DASHES[part // len(COLOURS) % len(DASHES)]}


def trained(report: dict) -> str:
    """What the network that the run ends with is called."""
    return "fine-tuned" if report["boxes"] else "full network"


def parts(report: dict) -> Iterator[tuple[list[int], float | None]]:
    """(box, accuracy or None) of every part."""
    return zip_longest(report["boxes"], report.get("subnet_accuracy") or [])


def percent(fraction: float | None, digits: int = 2) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"
