"""What a network takes for what: per class, per pair of classes, and the images that show it."""

import numpy as np

# A matrix of more classes is one that nobody reads, and a large file.
MATRIX_CLASSES = 200
# Up to here it is a table, above it is a picture.
NUMBERED_CLASSES = 25
WORST, EXAMPLES = 10, 12


def summary(predictions, classes):
    """The answers of a network in numbers, as plain JSON.

    Args:
        predictions: `evaluation.Predictions` of N images.
        classes: the names of the C classes.

    Returns:
        A dict of
        classes: the names;
        matrix: C rows of C counts, images of a row's class that were taken for a column's; None for many classes;
        worst: up to 10 classes that have images, the least accuracy first: {label, images, accuracy};
        confused: up to 10 pairs of classes, the most frequent first: {label, predicted, images};
        right, wrong: up to 12 images each: {index, label, predicted, confidence}, with the index in the split.  Right
            are some of different classes, as far as there are; wrong are those that the network was most sure of.
    """
    count, labels, guesses = len(classes), predictions.labels.astype(int), predictions.ranked[:, 0].astype(int)
    confidences = np.nan_to_num(predictions.confidences)  # of a network whose weights are not finite
    hits = guesses == labels
    images, right = np.bincount(labels, minlength=count), np.bincount(labels[hits], minlength=count)
    accuracy = right / np.maximum(images, 1)
    worst = sorted(np.flatnonzero(images), key=lambda label: accuracy[label])[:WORST]
    pairs, times = np.unique(np.stack([labels, guesses])[:, ~hits], axis=1, return_counts=True)
    confused = np.argsort(-times, kind="stable")[:WORST]

    def example(index):
        shown = {"index": index, "label": labels[index], "predicted": guesses[index]}
        return {name: int(value) for name, value in shown.items()} | {"confidence": float(confidences[index])}

    misses = np.flatnonzero(~hits)
    return {
        "classes": list(classes),
        "matrix": _matrix(labels, guesses, count) if count <= MATRIX_CLASSES else None,
        "worst": [
            {"label": int(label), "images": int(images[label]), "accuracy": float(accuracy[label])} for label in worst
        ],
        "confused": [
            {"label": int(pairs[0, i]), "predicted": int(pairs[1, i]), "images": int(times[i])} for i in confused
        ],
        "right": [example(index) for index in _of_different_classes(np.flatnonzero(hits), labels)],
        "wrong": [example(index) for index in misses[np.argsort(-confidences[misses], kind="stable")][:EXAMPLES]],
    }


def tables(summary):
    """The numbers of a `summary` by name, in lines of text, the first one the headings; the matrix of a few classes."""
    names = summary["classes"]
    found = {
        "worst": [("worst classes", "images", "accuracy")],
        "confused": [("most confused", "taken for", "images")],
    }
    found["worst"] += [
        (names[each["label"]], f"{each['images']:,}", f"{100 * each['accuracy']:.1f} %") for each in summary["worst"]
    ]
    found["confused"] += [
        (names[each["label"]], names[each["predicted"]], f"{each['images']:,}") for each in summary["confused"]
    ]
    if summary["matrix"] is not None and len(names) <= NUMBERED_CLASSES:
        rows = zip(names, summary["matrix"], strict=True)
        found["matrix"] = [("is, taken for", *names), *((name, *map(str, counts)) for name, counts in rows)]
    return {name: lines for name, lines in found.items() if len(lines) > 1}


def _matrix(labels, guesses, count):
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (labels, guesses), 1)
    return matrix.tolist()


def _of_different_classes(indices, labels):
    """Up to EXAMPLES of these indices, in their order: the first of each class, then the second of each, ..."""
    seen, turns = {}, []
    for index in indices:
        turns.append(seen.get(labels[index], 0))
        seen[labels[index]] = turns[-1] + 1
    return sorted(indices[np.argsort(turns, kind="stable")[:EXAMPLES]]) if turns else []
