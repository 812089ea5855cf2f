"""Cards as people read them: lines of text for tables, and the README's table in Markdown."""

from keras_dd import clocks
from keras_dd.report import markdown_table

BAR = 24  # characters of a probability of 1
EIGHTHS = " ▏▎▍▌▋▊▉█"


def list_lines(found):
    """The cards as lines of text, the first one the headings; at most 80 columns."""
    lines = [("model", "data", "top-1", "parameters", "MB", "trained")]
    for card in found:
        size = f"{card.weights.bytes / 1e6:.1f}"
        lines.append((card.name, card.data.name, percent(card.scores.top1), f"{card.parameters:,}", size, _how(card)))
    return lines


def card_lines(card):
    """What a card says, as lines of (what, value)."""
    data, training, scores, weights = card.data, card.training, card.scores, card.weights
    shape = "x".join(map(str, data.image_shape))
    images = f"{data.train_images:,} + {data.test_images:,} images {shape}"
    arguments = ", ".join(f"{name}={value}" for name, value in card.arguments.items())
    known = (name for name in ("machine", "processor", "cores", "keras", "tensorflow") if training.machine.get(name))
    machine = ", ".join(f"{name} {training.machine[name]}" for name in known)
    seeds = ", ".join(map(str, training.seeds))
    worst = sorted((each, name) for each, name in zip(scores.per_class, data.classes, strict=True) if each is not None)
    confused = [f"{each.label} taken for {each.predicted} {each.images}x" for each in scores.confused[:5]]
    lines = [
        (card.name, ""),
        ("network", f"{card.architecture}({arguments})"),
        ("data", f"{data.name}, {images}, {len(data.classes)} classes"),
        *(("", note) for note in data.notes),
        ("licence", f"weights {card.licence}; data: {data.licence}"),
        ("citation", data.citation),
        ("trained", f"{_how(card)}, seed {seeds}, {_duration(training.seconds)} on {machine}"),
        ("command", training.command),
        ("commit", training.commit or "none: not from a checkout"),
        ("parameters", f"{card.parameters:,}"),
        ("multiply-adds", f"{card.macs:,} an image"),
        ("weights", f"{weights.bytes:,} bytes, {weights.dtype}, sha256 {weights.sha256}"),
        *((("url", weights.url),) if weights.url else ()),
        ("top-1", f"{percent(scores.top1)} of {scores.images:,} test images"),
        *((("top-5", percent(scores.top5)),) if scores.top5 is not None else ()),
        *(((f"by {scores.views} views", percent(scores.by_views)),) if scores.by_views is not None else ()),
        ("calibration error", f"{percent(scores.calibration_error)} ({scores.calibration_bins} bins)"),
        ("worst classes", ", ".join(f"{name} {percent(each)}" for each, name in worst[:5])),
        ("most confused", ", ".join(confused) or "none"),
    ]
    if card.twin:
        lines.append(("random-init twin", f"{percent(card.twin.accuracy)} in {_duration(card.twin.seconds)}"))
        lines.append(("", card.twin.command))
    return lines


def markdown(found):
    """The README's table of the zoo, a row a card."""
    lines = [("model", "data", "top-1", "by views", "twin", "parameters", "MACs", "weights", "trained in")]
    for card in found:
        top1 = percent(card.scores.top1)
        if card.scores.top5 is not None and len(card.data.classes) > 10:
            top1 += f" (top-5 {percent(card.scores.top5)})"
        cells = (
            top1,
            "–" if card.scores.by_views is None else f"{percent(card.scores.by_views)} ({card.scores.views})",
            percent(card.twin.accuracy) if card.twin else "–",
            f"{card.parameters:,}",
            f"{card.macs / 1e6:,.1f} M",
            f"{card.weights.bytes / 1e6:.1f} MB",
            f"{_duration(card.training.seconds)}, {_how(card)}",
        )
        lines.append((card.name, card.data.name, *cells))
    return markdown_table(lines)


def guesses(classes, probabilities, count=5):
    """Lines of the `count` most likely classes, each with its probability and a bar."""
    best = sorted(range(len(classes)), key=lambda label: -probabilities[label])[:count]
    width = max(len(classes[label]) for label in best)
    return [
        f"{classes[label]:{width}}  {percent(probabilities[label]):>8}  {bar(probabilities[label])}" for label in best
    ]


def bar(fraction):
    """A fraction as a bar of up to 24 characters, to an eighth of one."""
    whole, rest = divmod(round(min(max(fraction, 0), 1) * BAR * 8), 8)
    return (EIGHTHS[8] * whole + EIGHTHS[rest]).rstrip()


def percent(fraction):
    return f"{100 * fraction:.2f} %"


def _how(card):
    return f"{card.training.parts} parts" if card.training.parts else "conventionally"


def _duration(seconds):
    return clocks.shown("one-device", seconds)
