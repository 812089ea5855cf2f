"""Experiments of the two papers as data: what was run, what it gave, and how much of it a small machine can run.

Sources: "A fast learning strategy for convolutional neural networks based on domain decomposition" (2020), tables 1 to
4 and figures 4, 5 and 7; "Simplified residual structure and fast deep residual networks" (2021), tables 1 and 2.
"""

from dataclasses import dataclass, field

# The measure of a published number of a network that is not run here; its arm is what stands beside it there.
CITED = "cited"
# What stands for the published value of an experiment of our own.
OURS_ALONE = "–"


@dataclass(frozen=True)
class Value:
    """A published number, as it was printed, and the `measure` of our runs (see `measures.MEASURES`) beside it.

    `arm` names the runs; a measure of two arms takes the other one from `against`.
    """

    name: str
    published: str
    measure: str
    arm: str
    against: str | None = None


@dataclass(frozen=True)
class Experiment:
    """Arms, {name: fields of Settings} at full scale, and the published values.

    At a small scale only the arms in `small` are run, {name: what is otherwise}, with as many epochs and images as the
    budget allows; the longest stage of training keeps `shortest` epochs.  `seeds` are the runs of an arm as published.
    `feature_maps` asks for pictures of the first layer of the first run.
    """

    about: str
    arms: dict[str, dict]
    values: tuple[Value, ...]
    small: dict[str, dict] = field(default_factory=dict)
    seeds: int = 1
    shortest: int = 8
    feature_maps: bool = False


NETS = {"R32": "resnet32", "R56": "resnet56", "R110": "resnet110"}
SETS = {"C10": "cifar10", "C100": "cifar100"}
RANDOM = {"recipe": "paper", "method": "conventional", "epochs": 160}
DECOMPOSED = {"recipe": "paper", "subnet_epochs": 120, "epochs": 80}
# The paper's networks have 64 channels in their first layer.
CIFAR = {
    f"{data} {net} {name}": how | {"dataset": SETS[data], "model": NETS[net], "width": 64}
    for data in SETS
    for net in NETS
    for name, how in (("decomposed", DECOMPOSED), ("random", RANDOM))
}
FOOD = {
    f"R{depth} {name}": how
    | {"dataset": "food101", "split": "paper", "image_size": 224, "model": f"resnet{depth}", "width": 64}
    for depth in (50, 101)
    for name, how in (
        ("random", RANDOM),
        ("K=4", DECOMPOSED | {"parts": 4}),
        ("K=8", DECOMPOSED | {"parts": 8}),
    )
}
SMALL_CIFAR = {"model": "resnet8", "width": 16}
SMALL_FOOD = {"image_size": 64, "width": 16}

# Hours of training, of the decomposed and of the random network.
HOURS = {"R32": ("5.65", "8.53", "1.51x"), "R56": ("9.61", "13.98", "1.45x"), "R110": ("18.78", "26.74", "1.42x")}
ACCURACIES = {  # table 2, in percent: C10 R32, R56, R110, C100 R32, R56, R110
    "sub_net_1": ("81.25", "81.18", "81.15", "52.30", "53.57", "51.60"),
    "sub_net_2": ("81.40", "80.78", "81.53", "52.28", "53.34", "49.33"),
    "sub_net_3": ("79.99", "80.26", "80.10", "52.88", "53.04", "51.80"),
    "sub_net_4": ("79.92", "79.97", "79.81", "52.94", "52.44", "51.44"),
    "transfer": ("88.63", "89.03", "88.86", "60.85", "61.54", "59.14"),
    "transfer_T": ("94.09", "94.34", "94.14", "73.14", "73.20", "73.75"),
    "random_T": ("92.82", "93.09", "92.80", "68.91", "72.84", "73.48"),
}
MEASURE_OF = {f"sub_net_{k}": f"accuracy of sub-network {k}" for k in (1, 2, 3, 4)}
MEASURE_OF |= {"transfer": "accuracy as composed", "transfer_T": "accuracy", "random_T": "accuracy"}
# The same networks in He et al. (2016), which the paper cites as ResNet_paper.
CITED_ACCURACIES = {"R32": "92.49", "R56": "93.03", "R110": "93.57"}
COLUMNS = [(data, net) for data in SETS for net in NETS]

# Food-101, top-1 and top-5; the random R101's top-5 looks like a misprint, and stands as it was published.
FOOD_ACCURACIES = {
    ("R50", "random"): ("70.49", "89.53"),
    ("R50", "K=4"): ("71.69", "90.26"),
    ("R50", "K=8"): ("72.92", "90.73"),
    ("R101", "random"): ("72.37", "53.04"),
    ("R101", "K=4"): ("73.70", "90.49"),
    ("R101", "K=8"): ("74.53", "91.30"),
}
FOOD_COMPOSED = {
    ("R50", "K=4"): ("45.25", "71.84"),
    ("R50", "K=8"): ("12.00", "32.09"),
    ("R101", "K=4"): ("59.95", "82.48"),
    ("R101", "K=8"): ("29.09", "55.14"),
}
FOOD_SPEEDUPS = {("R50", "K=4"): "1.61x", ("R50", "K=8"): "1.64x", ("R101", "K=4"): "1.57x", ("R101", "K=8"): "1.58x"}

# The paper has 3x3 kernels only, and names its networks by 6n+2 layers: there are no projections.
FASTRESNET = {"method": "conventional", "recipe": "fastresnet", "epochs": 160, "width": 16, "shortcut": "identity"}
BLOCKS = {"basic": ("7.62 ± 0.15", "30.07"), "type1": ("7.68 ± 0.20", "22.08"), "type2": ("10.04 ± 0.18", "22.10")}
DEEP = {  # (depth, block): error on C10, on C100, seconds an epoch
    (56, "basic"): ("6.31", "27.93", "84.22"),
    (56, "type1"): ("5.81", "26.91", "58.84"),
    (110, "basic"): ("5.75", "26.02", "208.26"),
    (110, "type1"): ("5.29", "24.80", "133.47"),
    (668, "basic"): ("6.03", None, "3953.02"),
    (668, "type1"): ("5.09", None, "2020.92"),
}
DEEP_ARMS = {
    f"{data} {depth} {block}": FASTRESNET | {"dataset": SETS[data], "model": f"fastresnet{depth}", "block": block}
    for data in SETS
    for depth, block in DEEP
    if data == "C10" or depth < 668
}


# What a small machine trains; one choice at a time is another than in the first arm.
ABLATED = {"dataset": "cifar10", "model": "resnet8", "width": 32, "overlap": 8, "subnet_epochs": 4, "epochs": 6}
ABLATIONS = {
    "zeros, overlap 8": {},
    "noise:0.3": {"off_diagonal": "noise:0.3"},
    "noise:1": {"off_diagonal": "noise:1"},
    "orthogonal:1": {"off_diagonal": "orthogonal:1"},
    "BN not re-estimated": {"reestimate": False},
    "overlap 0": {"overlap": 0},
    "overlap 4": {"overlap": 4},
    "head x 2": {"head_scale": 2.0},
    "head x 4": {"head_scale": 4.0},
}


def _of(arms, *starts):
    return {name: how for name, how in arms.items() if name.startswith(starts)}


def _hours(net):
    ours, theirs, ratio = HOURS[net]
    arm, other = f"C10 {net} decomposed", f"C10 {net} random"
    return (
        Value(f"{net} decomposed", ours, "hours on K devices without a link", arm),
        Value(f"{net} random", theirs, "hours on K devices without a link", other),
        Value(f"{net} speed-up", ratio, "speed-up on K devices without a link", arm, other),
    )


def _cifar_accuracies():
    for place, (data, net) in enumerate(COLUMNS):
        for row, published in ACCURACIES.items():
            arm = f"{data} {net} {'random' if row == 'random_T' else 'decomposed'}"
            yield Value(f"{data} {net} {row}", published[place], MEASURE_OF[row], arm)
    for net, published in CITED_ACCURACIES.items():
        yield Value(f"C10 {net} ResNet_paper", published, CITED, f"C10 {net} random")


def _food_accuracies():
    for (net, how), published in FOOD_COMPOSED.items():
        for kind, text in zip(("accuracy", "top-5 accuracy"), published, strict=True):
            yield Value(f"{net} {how} {kind}, not fine-tuned", text, f"{kind} as composed", f"{net} {how}")
    for (net, how), published in FOOD_ACCURACIES.items():
        for kind, text in zip(("accuracy", "top-5 accuracy"), published, strict=True):
            yield Value(f"{net} {how} {kind}", text, kind, f"{net} {how}")
    yield Value("R50 CNN_Food101 accuracy", "70.41", CITED, "R50 random")


def _blocks():
    for block, (error, _) in BLOCKS.items():
        yield Value(f"{block} error", error, "error", block)
    for block, (_, seconds) in BLOCKS.items():
        yield Value(f"{block} seconds an epoch", seconds, "seconds an epoch", block)
    yield Value("type1 time saved", "26.7 %", "time saved", "type1", "basic")
    yield Value("type2 time saved", "26.5 % (from the seconds)", "time saved", "type2", "basic")


def _deep():
    for (depth, block), (error10, error100, seconds) in DEEP.items():
        yield Value(f"{depth} {block} C10 error", error10, "error", f"C10 {depth} {block}")
        if error100:
            yield Value(f"{depth} {block} C100 error", error100, "error", f"C100 {depth} {block}")
        yield Value(f"{depth} {block} seconds an epoch", seconds, "seconds an epoch", f"C10 {depth} {block}")
    for depth, saved in (56, "30.0 %"), (110, "35.9 %"), (668, "48.9 % (from the seconds)"):
        yield Value(f"{depth} time saved", saved, "time saved", f"C10 {depth} type1", f"C10 {depth} basic")


def _convergence(arms):
    return tuple(Value(f"{arm} converged", f"{epochs} epochs", "epochs to converge", arm) for arm, epochs in arms)


EXPERIMENTS = {
    "table1": Experiment(
        "Table 1: hours of training on CIFAR-10",
        _of(CIFAR, "C10"),
        tuple(value for net in NETS for value in _hours(net)),
        dict.fromkeys(("C10 R32 decomposed", "C10 R32 random"), SMALL_CIFAR),
    ),
    "table2": Experiment(
        "Table 2: accuracy on CIFAR-10 and CIFAR-100",
        CIFAR,
        tuple(_cifar_accuracies()),
        dict.fromkeys(_of(CIFAR, "C10 R32", "C100 R32"), SMALL_CIFAR),
    ),
    "table3": Experiment(
        "Table 3: accuracy on Food-101",
        FOOD,
        tuple(_food_accuracies()),
        dict.fromkeys(_of(FOOD, "R50"), SMALL_FOOD),
    ),
    "table4": Experiment(
        "Table 4: speed-up on Food-101",
        FOOD,
        tuple(
            Value(f"{net} {how}", text, "speed-up on K devices without a link", f"{net} {how}", f"{net} random")
            for (net, how), text in FOOD_SPEEDUPS.items()
        ),
        dict.fromkeys(_of(FOOD, "R50"), SMALL_FOOD),
    ),
    "fig4": Experiment(
        "Fig. 4: fine-tuned against random, ResNet-32 on CIFAR-10",
        _of(CIFAR, "C10 R32"),
        _convergence((("C10 R32 decomposed", "some 10"), ("C10 R32 random", "some 80"))),
        dict.fromkeys(_of(CIFAR, "C10 R32"), SMALL_CIFAR),
    ),
    "fig5": Experiment(
        "Fig. 5: feature maps of the first layer, ResNet-32 on CIFAR-10",
        _of(CIFAR, "C10 R32 decomposed"),
        (),
        dict.fromkeys(_of(CIFAR, "C10 R32 decomposed"), SMALL_CIFAR),
        feature_maps=True,
    ),
    "fig7": Experiment(
        "Fig. 7: fine-tuned against random, Food-101",
        FOOD,
        (),
        dict.fromkeys(_of(FOOD, "R50"), SMALL_FOOD),
    ),
    "fastresnet-table1": Experiment(
        "FastResNet, table 1: three residual blocks at depth 20, CIFAR-10",
        {block: FASTRESNET | {"dataset": "cifar10", "model": "fastresnet20", "block": block} for block in BLOCKS},
        tuple(_blocks()),
        dict.fromkeys(BLOCKS, {}),
        seeds=5,
        shortest=5,
    ),
    "fastresnet-table2": Experiment(
        "FastResNet, table 2: ResNet (basic) against FastResNet (type1)",
        DEEP_ARMS,
        tuple(_deep()),
        dict.fromkeys(_of(DEEP_ARMS, "C10 56", "C10 110"), {"width": 8}),
        shortest=5,
    ),
    "ablation": Experiment(
        "Ablation (ours): one choice at a time, ResNet-8 on CIFAR-10",
        {name: ABLATED | other for name, other in ABLATIONS.items()},
        tuple(
            Value(f"{name}: {kind}", OURS_ALONE, measure, name)
            for kind, measure in (("before fine-tuning", "accuracy as composed"), ("at the end", "accuracy"))
            for name in ABLATIONS
        ),
        dict.fromkeys(ABLATIONS, {}),
        seeds=3,
        shortest=4,
    ),
}
