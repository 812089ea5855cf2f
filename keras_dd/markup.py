"""HTML and SVG from functions: what is text is escaped, wherever it comes from."""

from html import escape

EMPTY = {"img", "input", "br", "meta"}


class Markup(str):
    """Text that is HTML already, as `tag` gives it."""


def tag(name, /, *children, **attributes):
    """<name attribute="...">children</name>.

    Children that are no `Markup` are shown as text, lists of children are flattened, and None is left out, among the
    attributes too.  An attribute is written as in Python: class_="wide", aria_label="...", stroke_width=2; True is one
    without a value.
    """
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None]
    written = "".join(f" {key}" if value is True else f' {key}="{escape(str(value))}"' for key, value in given)
    return Markup(f"<{name}{written}>" if name in EMPTY else f"<{name}{written}>{join(*children)}</{name}>")


def join(*children):
    """The children one after another."""
    texts = []
    for child in children:
        if isinstance(child, list | tuple):
            texts.append(join(*child))
        elif child is not None:
            texts.append(child if isinstance(child, Markup) else escape(str(child)))
    return Markup("".join(texts))


def table(lines, caption=None, **attributes):
    """Lines of text, the first one the headings and the first cell of each its heading, as a table that scrolls."""
    head, *body = lines
    rows = [tag("tr", tag("th", line[0], scope="row"), [tag("td", cell) for cell in line[1:]]) for line in body]
    headings = tag("tr", [tag("th", cell, scope="col") for cell in head])
    content = caption and tag("caption", caption), tag("thead", headings), tag("tbody", rows)
    return tag("div", tag("table", *content, **attributes), class_="scroll")
