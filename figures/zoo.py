"""The models of the zoo, and published ones: `python figures/zoo.py` draws figures/zoo.png.

Accuracy on the test split against multiply-adds and parameters, a row for each data set that the zoo has a model of.
Published accuracies are as their sources print them; multiply-adds and parameters of their networks are counted on our
builders of the same depth and width (16 channels first), with the shortcuts that they have.
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from keras_dd import cost, models, zoo
from keras_dd.curves import COLOURS

PATH = Path(__file__).with_name("zoo.png")
# {source: (shortcut, {data set: {depth: test accuracy, %}})}: ResNets of width 16.
PUBLISHED = {
    "chenyaofo/pytorch-cifar-models": (
        "projection",
        {"cifar10": {20: 92.60, 32: 93.53, 56: 94.37}, "cifar100": {20: 68.83, 32: 70.16, 56: 72.63}},
    ),
    "akamaster/pytorch_resnet_cifar10": ("identity", {"cifar10": {20: 91.73, 32: 92.63, 44: 93.10, 56: 93.39}}),
    "osmr/imgclsmob": ("projection", {"cifar10": {20: 94.03, 56: 95.48, 110: 96.31}}),
}
CLASSES = {"cifar10": 10, "cifar100": 100}
MARKERS = ("s", "^", "v")
AXES = ("multiply-adds an image", "parameters")


def published(dataset):
    """{source: [((multiply-adds, parameters), accuracy, name)]} of a data set."""
    found = {}
    for source, (shortcut, accuracies) in PUBLISHED.items():
        for depth, percent in accuracies.get(dataset, {}).items():
            network = models.resnet(depth, 16, CLASSES[dataset], shortcut=shortcut)
            point = (cost.macs(network), network.count_params()), percent / 100, f"ResNet-{depth}"
            found.setdefault(source, []).append(point)
    return found


def draw(cards, path):
    """Our models as full points, published ones as hollow points."""
    datasets = list(dict.fromkeys(card.data.name for card in cards))
    figure = Figure(figsize=(10, 3.6 * len(datasets)), dpi=160, layout="constrained")
    for row, dataset in zip(figure.subplots(len(datasets), 2, squeeze=False), datasets, strict=True):
        theirs = published(dataset)
        for place, axes in enumerate(row):
            for marker, (source, points) in zip(MARKERS, theirs.items(), strict=False):
                sizes, accuracies = [sizes[place] for sizes, *_ in points], [accuracy for _, accuracy, _ in points]
                hollow = {"markerfacecolor": "none", "color": "#777777", "linestyle": "none"}
                axes.plot(sizes, accuracies, marker=marker, label=source, **hollow)
            for colour, card in zip(COLOURS * len(cards), (c for c in cards if c.data.name == dataset), strict=False):
                size = (card.macs, card.parameters)[place]
                axes.plot(size, card.scores.top1, "o", color=colour, markersize=8, label=card.name)
            _name_networks(axes, [(sizes[place], a, name) for each in theirs.values() for sizes, a, name in each])
            axes.set(xscale="log", xlabel=AXES[place], ylabel=f"accuracy, {dataset} test split")
            axes.margins(x=0.2, y=0.15)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(EngFormatter())
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
            axes.spines[["top", "right"]].set_visible(False)
        row[0].legend(frameon=False, fontsize=7, loc="best")
    figure.savefig(path, format="png")


def _name_networks(axes, points):
    """The name of each published network above the best of its points."""
    best = {}
    for size, accuracy, name in points:
        best[name] = max(best.get(name, (0, 0)), (accuracy, size))
    for name, (accuracy, size) in best.items():
        beside = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 7}
        axes.annotate(name, (size, accuracy), color="#555555", **beside)


if __name__ == "__main__":
    draw([zoo.card(name) for name in zoo.models()], PATH)
