"""Charts as SVG that takes any width: what is drawn stretches, what is written (HTML beside it) does not."""

import math
from dataclasses import dataclass

from keras_dd.markup import tag


@dataclass(frozen=True)
class Line:
    """`points`: [(x, y), ...]; `names`: a text for each, which a pointer on it shows; `style`: a class of the page."""

    points: list
    names: list
    style: str


def chart(lines, end, top, label, x_ticks=(), y_ticks=(), dots=True, notes=(), shade=0, level=None):
    """A chart of lines over x from 0 to `end` and y from 0 to `top`.

    Args:
        lines: of `Line`, the last one on top.
        label: what the chart shows, for those who do not see it.
        x_ticks, y_ticks: [(value, text), ...].
        dots: whether points are marked.
        notes: [(x, y, text, class), ...], text beside points.
        shade: x up to which the ground is shaded.
        level: y of a dotted line.
    """
    end, top = end or 1, top or 1

    def place(x, y):
        return f"{1000 * x / end:.2f} {1000 * (1 - y / top):.2f}"

    drawn = [
        shade and tag("rect", class_="shade", x=0, y=0, height=1000, width=f"{1000 * shade / end:.2f}"),
        [tag("path", class_="grid", d=f"M{place(0, value)} H1000") for value, _ in y_ticks],
        level is not None and tag("path", class_="level", d=f"M{place(0, level)} H1000"),
        [tag("path", class_=f"line {line.style}", d="M" + " L".join(place(*p) for p in line.points)) for line in lines],
    ]
    if dots:  # a line of no length with round ends is a dot, which does not stretch
        drawn += [
            tag("path", tag("title", name), class_=f"dot {line.style}", d=f"M{place(*point)} h.01")
            for line in lines
            for point, name in zip(line.points, line.names, strict=True)
        ]
    drawing = tag(
        "svg",
        [part for part in drawn if part],
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    written = [
        *(tag("span", text, class_="y", style=f"bottom:{100 * value / top:.2f}%") for value, text in y_ticks),
        *(
            tag("span", text, class_="x" if value else "x first", style=f"left:{100 * value / end:.2f}%")
            for value, text in x_ticks
        ),
        *(
            tag("span", text, class_=f"note {style}", style=f"left:{100 * x / end:.2f}%;bottom:{100 * y / top:.2f}%")
            for x, y, text, style in notes
        ),
    ]
    return tag("div", drawing, tag("div", written, aria_hidden="true"), class_="plot")


def ticks(end, most=6):
    """Up to `most` + 1 round numbers from 0 to `end`: 0, 5, 10, ..."""
    if not end > 0:
        return [0]
    least = end / most
    power = 10 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return [number * step for number in range(int(end / step + 1e-9) + 1)]
