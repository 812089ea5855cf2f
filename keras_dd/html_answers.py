"""The sections of a run's page that show what its network takes for what."""

from keras_dd import confusion
from keras_dd.html_pictures import images_of, matrix_picture, picture
from keras_dd.markup import table, tag

SIDE = 96  # pixels of an example, at most


def mistakes(report):
    """The confusion matrix, the worst classes and the most confused pairs; None where nothing was predicted."""
    found = report.get("predictions")
    if not found:
        return None
    names, matrix = found["classes"], found["matrix"]
    shown = None
    if matrix is not None and len(names) <= confusion.NUMBERED_CLASSES:
        shown = _matrix_table(names, matrix)
    elif matrix is not None:
        label = f"Confusion matrix of {len(names)} classes: a row is a class, a column what it was taken for"
        caption = f"{label}, in the order of the data set. The fuller the colour, the more of a class."
        shown = tag("figure", tag("img", src=matrix_picture(matrix), alt=label), tag("figcaption", caption))
        shown = tag("div", shown, class_="matrix-picture")
    tables = [table(lines) for name, lines in confusion.tables(found).items() if name != "matrix"]
    return tag("section", tag("h2", "What is taken for what"), shown, tag("div", tables, class_="tables"))


def _matrix_table(names, matrix):
    """Numbers on ground that is coloured by their share of the row."""
    head = tag("tr", tag("td", "is ↓ said →"), [tag("th", tag("span", name), scope="col") for name in names])
    rows = []
    for label, counts in enumerate(matrix):
        total = sum(counts) or 1
        cells = [
            tag(
                "td",
                count or "",
                class_="hit" if guess == label else "miss",
                style=f"--share:{(count / total) ** 0.5:.2f}",
                title=f"{names[label]}, taken for {names[guess]}: {count} of {sum(counts)}",
            )
            for guess, count in enumerate(counts)
        ]
        rows.append(tag("tr", tag("th", names[label], scope="row"), cells))
    caption = tag("caption", "Confusion matrix: images of the class of a row, and what they were taken for")
    content = tag("table", caption, tag("thead", head), tag("tbody", rows), class_="matrix")
    return tag("div", content, class_="scroll", tabindex=0, role="region", aria_label="Confusion matrix")


def examples(report, split):
    """Images with what the network took them for: mistakes that it was most sure of, and some that it got right."""
    found = report.get("predictions")
    if not found:
        return None
    names, parts = found["classes"], []
    for kind, heading in (
        ("wrong", "The mistakes that it was most sure of"),
        ("right", "Some that it got right"),
    ):
        chosen = found[kind]
        if not chosen:
            continue
        images = images_of(split, [each["index"] for each in chosen]) if split is not None else [None] * len(chosen)
        cards = []
        for each, image in zip(chosen, images, strict=True):
            label, said = names[each["label"]], names[each["predicted"]]
            sure = f"{100 * each['confidence']:.0f} % sure"
            words = [tag("b", f"said {said}"), tag("span", f"is {label}")] if kind == "wrong" else [tag("b", label)]
            words += [tag("span", sure), tag("span", f"image {each['index']}", class_="quiet")]
            drawn = picture(image, SIDE) if image is not None else None
            alt = f"{label}, taken for {said}" if kind == "wrong" else label
            drawn = tag("img", src=drawn, alt=alt) if drawn else None
            cards.append(tag("li", tag("figure", drawn, tag("figcaption", words))))
        parts += [tag("h3", heading), tag("ul", cards, class_="examples")]
    rows = report["dataset"]["image_shape"][0]
    section_class = "coarse" if rows < 100 else None
    return tag("section", tag("h2", "Examples"), parts, class_=section_class) if parts else None
