"""A run as one page, report.html."""

from pathlib import Path

from keras_dd import clocks, curves, html_answers
from keras_dd import report as reporting
from keras_dd.files import replacing
from keras_dd.html_charts import Line, chart, ticks
from keras_dd.html_page import by_clock, document, origin, style
from keras_dd.html_pictures import images_of, picture
from keras_dd.markup import table, tag

COMPARE = "What this gains over conventional training one run cannot tell: keras-dd compare measures it."
SIDE = 256  # pixels of the image with the boxes, at most


def write(run_dir, report, history, split):
    """Write report.html into a run directory.

    Args:
        report, history: as `keras_dd.report.write` takes them; what is missing is left out of the page.
        split: the split that was evaluated, for its images; None leaves the images out.
    """
    with replacing(Path(run_dir) / "report.html") as partial:
        partial.write_text(page(report, history, split), encoding="utf-8")


def page(report, history, split=None):
    """The page as text."""
    sections = (
        _against_time(report, history),
        _subnetworks(report, history, split),
        _numbers(report, history),
        html_answers.mistakes(report),
        html_answers.examples(report, split),
        _origin(report, history),
    )
    notices = [*reporting.remarks(report), *report["dataset"].get("notes", ())]
    said = tag("p", verdict(report, history), class_="verdict")
    notices = tag("ul", [tag("li", notice) for notice in notices], class_="notices") if notices else None
    same = "report.md, report.json, history.csv"
    return document("run", reporting.headline(report), [said, notices], sections, same)


def verdict(report, history):
    """What came out, in a sentence or two."""
    split = report["evaluated_on"]
    images = f"{report['dataset'][split]:,} {split} images"
    final, composed = report.get("final_accuracy"), report.get("composed_accuracy")
    subnets = report.get("subnet_accuracy")
    spent = sum(value or 0 for stage, value in report["seconds"].items() if stage not in ("evaluate", "total"))
    spent = f"{_duration(spent)} of training"
    if report.get("interrupted"):
        stage = reporting.STAGES.get(report["interrupted"], report["interrupted"])
        said = f"Interrupted in the stage {stage!r}, after {_duration(report['seconds'].get('total') or 0)}."
        last = {row["stage"]: row[f"{split}_accuracy"] for row in history if f"{split}_accuracy" in row}
        subnets = [last.pop(f"subnet {k}") for k in range(1, len(report["boxes"]) + 1) if f"subnet {k}" in last]
        if last:
            return f"{said} The full network had reached {_percent(*last.values())} on {images}."
        if composed is not None:
            return (
                f"{said} Sub-networks of {_span(subnets)} had composed a network of {_percent(composed)} on {images}."
            )
        return f"{said} Its sub-networks had reached {_span(subnets)} on {images}." if subnets else said
    if final is None:
        return "Nothing was measured."
    if not subnets or composed is None:
        return f"Trained the conventional way, the network reaches {_percent(final)} on {images}, after {spent}."
    said = f"{len(subnets)} sub-networks of {_span(subnets)}, each on its own box, composed a network of "
    said += _percent(composed)
    if any(row["stage"] == "finetune" for row in history):
        said += f"; fine-tuning brought it to {_percent(final)} on {images}, after {spent}."
    else:
        said += f" on {images}, which was not fine-tuned."
    if final < max(subnets):
        said += " That is less than the best of its sub-networks reaches alone."
    return said


def _against_time(report, history):
    """Accuracy against each of the four clocks."""
    if not history:
        return None
    charts = {}
    for key, clock in clocks.CLOCKS.items():
        about = f"{clock.about} {_arrival(report, history, key)}"
        about += f" K is {report['settings']['parts']}." if "K" in clock.name else ""
        charts[key] = _clock_chart(report, history, key), about
    return by_clock(charts, tag("p", COMPARE, class_="about") if report["boxes"] else None)


def _clock_chart(report, history, clock):
    full, split = clocks.curve(report, history, clock), report["evaluated_on"]
    places = clocks.positions(report, history, clock)
    composed, restarted = clocks.handover(report, history, clock)
    end = max([*places, *(x for x, _ in full)])
    factor, unit = clocks.scale(clock, end)
    end = 1.02 * end / factor
    runs = {}
    for x, row in zip(places, history, strict=True):
        if f"{split}_accuracy" in row:
            runs.setdefault(row["stage"], []).append((x / factor, row[f"{split}_accuracy"], row["epoch"]))
    lines = [
        Line(
            [point[:2] for point in runs[f"subnet {k}"]],
            [f"sub-network {k}, epoch {epoch}: {_percent(accuracy)}" for _, accuracy, epoch in runs[f"subnet {k}"]],
            style(k),
        )
        for k in range(1, len(report["boxes"]) + 1)
        if f"subnet {k}" in runs
    ]
    if full:
        points = [(x / factor, accuracy) for x, accuracy in full]
        lines.append(Line(points, [f"{x:.3g} {unit}: {_percent(accuracy)}" for x, accuracy in points], "full"))
    chance = report["dataset"]["chance"]
    top = min(1.0, 1.15 * max([chance, *(y for line in lines for _, y in line.points)]) + 0.02)
    notes = [(0, chance, f"chance {_percent(chance, 1)}", "right-of")]
    if report.get("composed_accuracy") is not None:
        x, y = composed / factor, report["composed_accuracy"]
        notes.append((x, y, f"composed {_percent(y, 1)}", "below right-of" if x < 0.6 * end else "below left-of"))
    if report.get("final_accuracy") is not None and full:
        notes.append((*lines[-1].points[-1], _percent(report["final_accuracy"], 1), "left-of final"))
    return chart(
        lines,
        end,
        top,
        f"Accuracy on the {split} split against {clocks.CLOCKS[clock].name}: {_arrival(report, history, clock)}",
        x_ticks=[(x, f"{x:g}" + (f" {unit}" if x == 0 else "")) for x in ticks(end)],
        y_ticks=[(y, f"{100 * y:.0f} %") for y in ticks(top)],
        notes=notes,
        shade=restarted / factor,
        level=chance,
    )


def _arrival(report, history, clock):
    """Where the curve begins and ends, in words."""
    reached = clocks.summary(report, history)[clock]
    said = [
        f"{what} after {clocks.shown(clock, reached[key])}"
        for key, what in (("composed", "composed"), ("end", "trained"))
        if key in reached
    ]
    return (", ".join(said).capitalize() + ".") if said else ""


def _subnetworks(report, history, split):
    """A card for each sub-network: its box on a real image, and its curve; then one for the full network."""
    rows, columns = report["dataset"]["image_shape"][:2]
    measured, stages = f"{report['evaluated_on']}_accuracy", {}
    for row in history:
        stages.setdefault(row["stage"], []).append(row)
    if not any(stage.startswith("subnet ") for stage in stages) and not report.get("subnet_accuracy"):
        return None
    values = [row.get(key) or 0 for row in history for key in (measured, "accuracy")]
    top = min(1.0, 1.1 * max(values, default=1))

    def card(name, box, accuracy, own, style):
        top_, left, height, width = box
        hole = f"M0 0H{columns}V{rows}H0ZM{left} {top_}h{width}v{height}h{-width}Z"
        where = f"rows {top_}–{top_ + height - 1}", f"columns {left}–{left + width - 1}"
        frame = tag("rect", class_=f"frame {style}", x=left, y=top_, width=width, height=height)
        drawing = tag("path", class_="outside", d=hole, fill_rule="evenodd"), frame
        drawing = tag(
            "svg", *drawing, viewBox=f"0 0 {columns} {rows}", role="img", aria_label=f"{name} sees {', '.join(where)}"
        )
        last = own[-1] if own else None
        said = [tag("strong", name), *(tag("span", axis) for axis in where)]
        if accuracy is not None:
            said.append(tag("span", tag("b", _percent(accuracy)), f" {report['evaluated_on']}"))
        if last:
            said.append(tag("span", f"{_percent(last['accuracy'])} training"))
            said.append(tag("span", f"loss {last['loss']:.3f}"))
        return tag(
            "li",
            tag("div", drawing, class_="seen", style=f"aspect-ratio:{columns}/{rows}"),
            tag("p", said),
            curve(name, own, style) if len(own) > 1 else None,
        )

    def curve(name, own, style):
        kinds = (("accuracy", "training"), (measured, report["evaluated_on"]))
        lines = [
            Line(
                [(row["epoch"], row[key]) for row in own if row.get(key) is not None],
                [f"epoch {row['epoch']}, {kind}: {_percent(row[key])}" for row in own if row.get(key) is not None],
                style + (" training" if kind == "training" else ""),
            )
            for key, kind in kinds
        ]
        epochs, lines = own[-1]["epoch"], [line for line in lines if line.points]
        label = f"Accuracy of {name} by epoch"
        x_ticks = [(1, "epoch 1"), (epochs, str(epochs))]
        y_ticks = [(y, f"{100 * y:.0f} %") for y in (0, ticks(top, 3)[-1])]
        return chart(lines, epochs + 0.3, top, label, x_ticks, y_ticks)

    found = [
        card(f"sub-network {k}", box, accuracy, stages.get(f"subnet {k}", []), style(k))
        for k, (box, accuracy) in enumerate(curves.parts(report), start=1)
    ]
    if "finetune" in stages:
        found.append(
            card("fine-tuned", (0, 0, rows, columns), report.get("final_accuracy"), stages["finetune"], "full")
        )
    shown = picture(images_of(split, [0])[0], SIDE) if split is not None else None
    about = f"The box of each on image 0 of the {report['evaluated_on']} split. " if shown else ""
    about += f"Solid: {report['evaluated_on']} accuracy by epoch; dashed: accuracy on the training images."
    return tag(
        "section",
        tag("h2", "What each sub-network sees, and learns"),
        tag("p", about, class_="about"),
        tag("ul", found, class_="cards" + (" coarse" if rows < 100 else "")),
        style=f"--picture:url({shown})" if shown else None,
    )


def _numbers(report, history):
    tables = reporting.tables(report, history)
    captions = {
        "accuracies": "Networks",
        "times": "Stages, measured here",
        "clocks": "Clocks",
        "sizes": "Sizes",
        "epochs": "Last epochs",
    }
    found = [table(tables[name], caption) for name, caption in captions.items() if name in tables]
    return tag("section", tag("h2", "Numbers"), tag("div", found, class_="tables"))


def _origin(report, history):
    tables = reporting.tables(report, history)
    return origin(report["command"], {name: tables[name.lower()] for name in ("Settings", "Environment")})


def _duration(seconds):
    return clocks.shown("one-device", seconds)


def _span(fractions):
    return " to ".join(_percent(end) for end in sorted({min(fractions), max(fractions)}))


def _percent(fraction, digits=2):
    return f"{100 * fraction:.{digits}f} %"
