"""What all pages have in common: no script, no network, nothing beside them; they open from the disk.

The four clocks and the light and dark colours are radio buttons, between which the style sheet of report.html switches.
"""

from importlib import resources
from string import Template

from keras_dd import clocks
from keras_dd.markup import join, table, tag


def document(kind, title, head, sections, same):
    """A whole page as text.

    Args:
        kind: of what it reports: "run".
        title: of the page, in words.
        head: what stands below the title.
        sections: of the page; None is left out.
        same: the files that have the same numbers.
    """
    template = resources.files("keras_dd").joinpath("report.html").read_text(encoding="utf-8")
    texts = {"kind": kind, "title": title, "same": same, "head": [tag("h1", title), *head], "sections": sections}
    return Template(template).substitute({name: join(text) for name, text in texts.items()})


def by_clock(charts, *rest):
    """A section with one of four charts at a time: {clock: (chart, what it says, in a sentence or two)}."""
    choices, figures = [], []
    for number, (key, (drawn, about)) in enumerate(charts.items()):
        name = clocks.CLOCKS[key].name
        choice = tag("input", type="radio", name="clock", id=f"clock-{key}", checked=True if number == 0 else None)
        choices.append(tag("label", choice, tag("span", name), class_="choice"))
        caption = tag("figcaption", tag("strong", name), ". ", about)
        figures.append(tag("figure", drawn, caption, class_=f"clock {key}"))
    choices = tag("fieldset", tag("legend", "Clock"), tag("div", choices, class_="choices"))
    return tag("section", tag("h2", "Accuracy against time"), choices, figures, *rest, class_="by-clock")


def origin(command, tables):
    """The section that ends a page: the command, and {name: lines of a table} to unfold."""
    return tag(
        "section",
        tag("h2", "How to get it again"),
        tag("pre", tag("code", [(tag("span", word), " ") for word in command.split(" ")])),
        [tag("details", tag("summary", name), table(lines)) for name, lines in tables.items()],
    )


def style(part):
    """Six colours, then the same ones dashed, then dotted, as in curves.png."""
    return f"part-{(part - 1) % 6 + 1} dash-{(part - 1) // 6 % 3}"
