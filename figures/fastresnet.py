"""FastResNet's three blocks against one another, on CIFAR-10: `python figures/fastresnet.py --data-dir DIR`.

Writes fastresnet.json and fastresnet.png beside this file: seconds a training step, interleaved in one run, with Keras'
batch norm and with the fused one; the memory of training; and inference with batch norm folded.  The recipe is the
paper's.  Linux only.  Some 15 minutes; let nothing else run.
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

OUTPUT = Path(__file__).with_suffix(".json")
BLOCKS, NORMS = ("basic", "type1", "type2"), ("stock", "fused")
BATCH_SIZE, WIDTH, STEPS_OF_AN_EPOCH = 128, 16, 390
DEPTHS = (20, 56, 110)
# Share of the time of an epoch that a block saves against "basic", as printed; type2's follows from table 1's seconds.
PUBLISHED = {"type1": {20: 0.2668, 56: 0.3004, 110: 0.3591}, "type2": {20: 1 - 22.10 / 30.07}}


def network(depth, block, norm, moments):
    """The network to the letter of the paper, with 3x3 kernels only, ready to train by its recipe."""
    from keras_dd import accelerate, optimizer, train
    from keras_dd.models import fastresnet
    from keras_dd.recipes import FASTRESNET

    model = fastresnet(depth, WIDTH, shortcut="identity", block=block, moments=moments)
    if norm == "fused":
        model = accelerate(model)
    train.compile_full(model, optimizer.make(FASTRESNET, STEPS_OF_AN_EPOCH))
    return model


def in_turn(works, rounds):
    """{name: seconds of each round} of several ways of the same work, A B C A B C ..., after one more at first."""
    seconds = {name: [] for name in works}
    for counted in [False] + [True] * rounds:
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def saved(seconds, reference):
    """Quartiles over the rounds, pair by pair, of the share of time that one way saves against another."""
    return statistics.quantiles(1 - a / b for a, b in zip(seconds, reference, strict=True))


def training(depth, split, moments, rounds):
    """Seconds of a step of all blocks, with both batch norms, in turn: what else the machine does meets them alike."""
    from keras_dd import data

    [batch] = data.training_batches(split, BATCH_SIZE, flip=True, crop=4).take(1)

    def trained(model):
        return lambda: model.train_on_batch(*batch)

    works = {(block, norm): trained(network(depth, block, norm, moments)) for norm in NORMS for block in BLOCKS}
    seconds = in_turn(works, rounds)
    return [
        {
            "depth": depth,
            "block": block,
            "norm": norm,
            "seconds a step": taken,
            "median": statistics.median(taken),
            "saved": saved(taken, seconds["basic", norm])[1],
            "published": PUBLISHED.get(block, {}).get(depth),
        }
        for (block, norm), taken in seconds.items()
    ]


def memory(case):
    """MiB by which the process grows in two training steps on images of noise; `case` is (depth, block, norm)."""
    import numpy as np

    from keras_dd import cost, peak

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH_SIZE, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, BATCH_SIZE, dtype=np.int32)
    depth, block, norm = case
    model = network(depth, block, norm, ([128] * 3, [4000] * 3))
    grown = peak.growth(lambda: [model.train_on_batch(images, labels) for _ in range(2)])
    return {"depth": depth, "block": block, "norm": norm, "MiB": round(grown / cost.MIB)}


def folded_against_plain(depth, block, images, moments, rounds):
    """Inference of one batch: batch norm folded, against the plain network, in turn."""
    import keras
    import tensorflow as tf

    from keras_dd import fold_batchnorm

    model = network(depth, block, "stock", moments)
    nets = {"plain": model, "folded": fold_batchnorm(model)}
    norms = {
        name: sum(isinstance(layer, keras.layers.BatchNormalization) for layer in net.layers)
        for name, net in nets.items()
    }
    images = tf.constant(images)

    def infer(net):
        forward = tf.function(lambda: net(images, training=False))
        return lambda: forward().numpy()

    seconds = in_turn({name: infer(net) for name, net in nets.items()}, rounds)
    ratios = [a / b for a, b in zip(seconds["plain"], seconds["folded"], strict=True)]
    return {
        "depth": depth,
        "block": block,
        "batch norms": norms,
        f"seconds a batch of {len(images)}": seconds,
        "speed-up": statistics.median(ratios),
    }


def draw(results, path):
    """Time saved beside what was published, memory saved, and inference's speed-up."""
    from matplotlib.figure import Figure

    depths = sorted({row["depth"] for row in results["training"]})
    figure = Figure(figsize=(12, 4), dpi=160, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    looks = {
        "published": {"color": "#777777", "label": "published"},
        "stock": {"color": "#E69F00", "label": "Keras' batch norm"},
        "fused": {"color": "#0072B2", "label": "fused batch norm"},
        "folded": {"color": "#009E73"},
    }

    def bars(axes, series, labels, show, quartiles=None):
        for number, (name, values) in enumerate(series.items()):
            places = [place + 0.27 * (number - (len(series) - 1) / 2) for place in range(len(labels))]
            drawn = [(x, y) for x, y in zip(places, values, strict=True) if y is not None]
            shown = axes.bar(*zip(*drawn, strict=True), width=0.25, **looks[name])
            texts = [show.format(y) for _, y in drawn]
            axes.bar_label(shown, texts, fontsize=7, label_type="center", color="white", rotation=90)
            for x, (low, _, high) in zip(places, (quartiles or {}).get(name, ()), strict=False):
                axes.plot([x + 0.09, x + 0.09], [low, high], color="black", linewidth=0.8)
        axes.set_xticks(range(len(labels)), labels, fontsize=8)
        axes.yaxis.set_major_formatter(lambda value, _: show.format(value))
        axes.axhline(0, color="black", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            axes.legend(
                frameon=False,
                fontsize=8,
                ncols=3,
                columnspacing=1,
                handlelength=1,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.12),
            )

    cases = [("type1", depth) for depth in depths] + [("type2", depth) for depth in depths]
    labels = [f"{block}\n{depth}" for block, depth in cases]
    taken = {(row["block"], row["depth"], row["norm"]): row["saved"] for row in results["training"]}
    series = {"published": [PUBLISHED.get(block, {}).get(depth) for block, depth in cases]}
    if not any(series["published"]):
        series = {}
    steps = {(row["block"], row["depth"], row["norm"]): row["seconds a step"] for row in results["training"]}
    quartiles = {norm: [saved(steps[b, d, norm], steps["basic", d, norm]) for b, d in cases] for norm in NORMS}
    medians = {norm: [taken[(*case, norm)] for case in cases] for norm in NORMS}
    bars(left, series | medians, labels, "{:.0%}", quartiles)
    left.set_title("time of a training step saved against basic; lines: quartiles", loc="left", fontsize=9)
    held = {(row["block"], row["depth"], row["norm"]): row["MiB"] for row in results["memory"]}
    less = {
        norm: [1 - held[block, depth, norm] / held["basic", depth, norm] for block, depth in cases] for norm in NORMS
    }
    bars(middle, less, labels, "{:.0%}")
    middle.set_title("memory of training saved against basic", loc="left", fontsize=9)
    cases = [(row["block"], row["depth"]) for row in results["inference"]]
    bars(
        right, {"folded": [row["speed-up"] for row in results["inference"]]}, [f"{b}\n{d}" for b, d in cases], "{:.2f}"
    )
    right.set_title("inference: batch norm folded, times as fast", loc="left", fontsize=9)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--data-dir", help="of TFDS")
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--draw", action="store_true", help="the picture only, from fastresnet.json")
    parser.add_argument("--rounds", type=int, default=12, help="steps, and batches of inference, of each network")
    asked = parser.parse_args()
    if asked.draw:
        draw(json.loads(OUTPUT.read_text(encoding="utf-8")), OUTPUT.with_suffix(".png"))
        return

    from keras_dd import data, rundir

    results = {"training": [], "inference": [], "memory": []}

    def note(kind, row):
        results[kind].append(row)
        print(kind, json.dumps(row), flush=True)

    dataset = data.load("cifar10", asked.data_dir)
    moments, images = data.moments(dataset.train), dataset.test.images[: 2 * BATCH_SIZE]
    for depth in asked.depths:
        for row in training(depth, dataset.train, moments, asked.rounds):
            note("training", row)
        for block in BLOCKS:
            note("inference", folded_against_plain(depth, block, images, moments, asked.rounds))
    cases = itertools.product(asked.depths, BLOCKS, NORMS)
    # Two at once, each in a new process: that takes less time, and what a process grows by is its own.
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as processes:
        for row in processes.imap(memory, cases):
            note("memory", row)
    about = {
        "command": " ".join(["python figures/fastresnet.py", *sys.argv[1:]]),
        "batch_size": BATCH_SIZE,
        "width": WIDTH,
        "environment": rundir.environment(),
    }
    OUTPUT.write_text(json.dumps(about | results, indent=2) + "\n", encoding="utf-8")
    draw(results, OUTPUT.with_suffix(".png"))


if __name__ == "__main__":
    main()
