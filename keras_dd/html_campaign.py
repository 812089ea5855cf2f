"""A campaign as one page: comparison.html, reproduction.html."""

import base64
from pathlib import Path

from keras_dd import clocks, comparison_report, reproduction_report
from keras_dd.html_charts import Line, chart, ticks
from keras_dd.html_page import by_clock, document, origin, style
from keras_dd.markup import table, tag
from keras_dd.reproduction_report import remark_lines


def comparison(found):
    """The page of a comparison, from what stands in comparison.json, as text."""
    settings = found["arms"]["decomposed"]["settings"]
    title = f"Decomposition against conventional training: {settings['model']} on {settings['dataset']}"
    head = [tag("p", sentence, class_="verdict") for sentence in found["verdict"]]
    first, stages, *rest = comparison_report.tables(found)
    wide = [table(first, "What was run"), table(stages, "Where the time went")]
    wide += [table(lines, "What it brought") for lines in rest]
    tables = [table(comparison_report.seed_lines(found), "Accuracy at the end, seed by seed")]
    searched = zip(comparison_report.search_lines(found), found["search"].values(), strict=True)
    tables += [table(lines, f"Search{comparison_report.edge(chosen)}") for lines, chosen in searched]
    numbers = tag(
        "section",
        tag("h2", "Numbers"),
        tag("div", wide, class_="wide"),
        tag("div", tables, class_="tables"),
        [tag("p", note, class_="quiet") for note in (*comparison_report.notes(found), comparison_report.pages(found))],
        [tag("p", line) for line in remark_lines(found)],
    )
    sections = _against_time(found), numbers, _origin(found, settings)
    return document("campaign", title, head, sections, "comparison.md, comparison.json")


def reproduction(found, folder):
    """The page of a reproduction, from what stands in reproduction.json and its pictures in `folder`, as text."""
    first, *rest = reproduction_report.head(found)
    head = tag("ul", [tag("li", line) for line in rest], class_="notices")
    lines = reproduction_report.lines(found)
    numbers = [tag("h2", "Numbers"), table(lines)] if found["values"] else None
    pictures = [
        tag("figure", tag("img", src=_inlined(Path(folder) / name), alt=Path(name).stem, class_="drawn"))
        for name in ("curves.png", *found["pictures"])
    ]
    sections = (
        tag("section", tag("h2", "Pictures"), pictures),
        numbers and tag("section", numbers),
        _origin(found),
    )
    return document("campaign", first, [head], sections, "reproduction.md, reproduction.json")


def _inlined(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _against_time(found):
    names = [
        tag("li", tag("svg", tag("path", class_=f"line {style(k)}", d="M0 4 H28"), viewBox="0 0 28 8"), arm)
        for k, arm in enumerate(found["arms"], start=1)
    ]
    charts = {clock: (_chart(arms, clock), clocks.CLOCKS[clock].about) for clock, arms in found["curves"].items()}
    about = "Each line is one seed, the full network from where it begins: composed, or after its first epoch."
    return by_clock(charts, tag("ul", names, class_="arms"), tag("p", about, class_="about"))


def _chart(arms, clock):
    """All seeds of all arms on one clock."""
    end = max(x for curves in arms.values() for curve in curves for x, _ in curve)
    top = min(1.0, 1.1 * max(y for curves in arms.values() for curve in curves for _, y in curve))
    factor, unit = clocks.scale(clock, end)
    end = 1.02 * end / factor
    lines = [
        Line(
            [(x / factor, y) for x, y in curve],
            [f"{arm}, seed {seed}, {clocks.shown(clock, x)}: {100 * y:.2f} %" for x, y in curve],
            f"{style(k)} seed",
        )
        for k, (arm, curves) in enumerate(arms.items(), start=1)
        for seed, curve in enumerate(curves)
    ]
    return chart(
        lines,
        end,
        top,
        f"Accuracy on the test split against {clocks.CLOCKS[clock].name}: {', '.join(arms)}",
        x_ticks=[(x, f"{x:g}" + (f" {unit}" if x == 0 else "")) for x in ticks(end)],
        y_ticks=[(y, f"{100 * y:.0f} %") for y in ticks(top)],
    )


def _origin(found, settings=None):
    """The command; then what is told of the machine, and of the settings."""
    tables = {"Environment": [("environment", "value"), *((k, str(v)) for k, v in found["environment"].items())]}
    if settings:
        tables = {"Settings": [("setting", "value"), *((k, str(v)) for k, v in settings.items())]} | tables
    return origin(found["command"], tables)
