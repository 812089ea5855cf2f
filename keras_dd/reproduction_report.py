"""A reproduction as people look at it: the published numbers beside ours, and what was shrunk.

What is shown is what stands in reproduction.json, as `reproduction.reproduce` has found it.
"""

import statistics

from keras_dd.measures import MEASURES
from keras_dd.published import OURS_ALONE
from keras_dd.report import markdown_table as tabulated


def lines(found):
    """The table of `reproduce` as text, the first line the headings.

    A line is a value; or an arm, where nothing was published.
    """
    if not _has_published(found):
        measures = dict.fromkeys(value["measure"] for value in found["values"])
        means = {(value["arm"], value["measure"]): _mean(value) for value in found["values"]}
        arms = dict.fromkeys(arm for arm, _ in means)
        return [("arm", *measures), *((arm, *(means[arm, measure] for measure in measures)) for arm in arms)]
    return [
        ("value", "published", f"here, {found['scale']} scale"),
        *((value["name"], value["published"], _mean(value)) for value in found["values"]),
    ]


def _has_published(found):
    return any(value["published"] != OURS_ALONE for value in found["values"])


def _mean(value):
    if not value["ours"]:
        return "–"
    text, _ = MEASURES[value["measure"]]
    number, _, unit = text.partition("}")
    mean = (number + "}").format(statistics.mean(value["ours"]))
    spread = f" ± {(number + '}').format(statistics.stdev(value['ours']))}" if len(value["ours"]) > 1 else ""
    return mean + spread + unit


def head(found):
    """What has to be known of the table, a sentence a line."""
    seeds = found["seeds"]
    not_comparable = ", so that the two columns are not to be compared number by number" * _has_published(found)
    return [
        found["about"],
        f"shrunk{not_comparable}: " + "; ".join(found["shrunk"]) if found["shrunk"] else "at full scale",
        *([f"left out: {', '.join(found['left_out'])}"] if found["left_out"] else []),
        f"here: mean ± standard deviation of {seeds} seeds" if seeds > 1 else "here: one seed",
        *remark_lines(found),
    ]


def remark_lines(found):
    """What went wrong with single networks of a campaign's runs, a line each."""
    return [f"{name}: {line}" for name, lines in found.get("remarks", {}).items() for line in lines]


def markdown(found):
    """The table with its head, the command and the curves, as Markdown."""
    first, *rest = head(found)
    notes = "\n".join(f"- {line}" for line in rest)
    tables = [tabulated(lines(found))] if found["values"] else []
    pictures = (f"![]({picture})" for picture in ("curves.png", *found["pictures"]))
    return "\n\n".join([f"# {first}", f"```\n{found['command']}\n```", notes, *tables, *pictures]) + "\n"
