"""How fast this machine trains: several ways of the same work in turn, and beside them what the machine could do.

Ways that want other settings of TensorFlow, or no TensorFlow at all, have a process of their own, which waits while
another works.
"""

import dataclasses
import os
import time

from keras_dd.bench import summary
from keras_dd.bench.task import Task
from keras_dd.bench.turns import PAUSE, TURN, in_turn, processes

__all__ = ["COMPARED", "DEFAULT", "NAMES", "SINGLE", "Task", "expected_seconds", "run"]

# {name: (what is compared, {way: (its process, its work)})}; the first way is set against each of the others.
COMPARED = {
    "full": (
        "training or fine-tuning {model}, width {width}",
        {
            "keras-dd": ("here", "works.fit"),
            "stock Keras": ("stock", "works.stock_fit"),
            "a bare training step": ("here", "works.bare_step"),
            "its convolutions alone": ("here", "works.convolutions"),
            "PyTorch, channels last": ("torch", "torch_works.full"),
        },
    ),
    "subnets": (
        "{parts} sub-networks of {model}, width {width}",
        {
            "at once, in workers": ("workers", "local_works.in_workers"),
            "at once, in one process": ("here", "works.at_once"),
            "in workers of Ray": ("ray", "ray_works.in_workers"),
            "one after another": ("here", "works.one_by_one"),
            "one after another, stock Keras": ("stock", "works.stock_one_by_one"),
            "one after another, PyTorch": ("torch", "torch_works.one_by_one"),
            "grouped convolutions, PyTorch": ("torch", "torch_works.grouped"),
        },
    ),
    "fused": (
        "fused kernels of {model}, width {width}",
        {"fused": ("here", "works.fit"), "Keras' own": ("here", "works.plain_fit")},
    ),
    "feed": (
        "images for {model}, width {width}",
        {"fed, flipped and cropped": ("here", "works.feed"), "trained on": ("here", "works.fit")},
    ),
    "settings": (
        "settings in training {model}, width {width}",
        {
            "as they are": ("default", "works.fit"),
            "8 steps a call": ("default", "works.fit_by_eights"),
            "1 thread an operation": ("one-thread", "works.fit"),
            "malloc keeps memory": ("malloc", "works.fit"),
            "TensorFlow keeps memory": ("bfc", "works.fit"),
            "oneDNN in the caller's thread": ("caller-thread", "works.fit"),
        },
    ),
    "settings-subnets": (
        "settings in training {parts} sub-networks of {model}, width {width}, at once",
        {
            "as they are": ("default", "works.at_once"),
            "a branch each": ("default", "works.branches"),
            "a branch each, 1 thread an operation": ("one-thread", "works.branches"),
            "1 step a call": ("default", "works.at_once_singly"),
            "1 thread an operation": ("one-thread", "works.at_once"),
            "malloc keeps memory": ("malloc", "works.at_once"),
            "TensorFlow keeps memory": ("bfc", "works.at_once"),
            "oneDNN in the caller's thread": ("caller-thread", "works.at_once"),
        },
    ),
}
# {name: (its process, what measures it)}, where there is one way only.
SINGLE = {
    "ceilings": ("here", "machine.ceilings"),
    "startup": ("here", "machine.startup"),
    "composition": ("alone", "machine.composition"),
}
# Ways that keras-dd does not go, most of them for want of a gain: docs/performance.md.
SETTINGS = ("settings", "settings-subnets")
NAMES = ("ceilings", "full", "fused", "feed", "startup", "composition", "subnets", *SETTINGS)
DEFAULT = NAMES[: -len(SETTINGS)]

# Seconds, on two cores: to start a process with TensorFlow, to make a work ready, and those of `SINGLE`.
START, MAKE, ONCE = 10, 12, {"ceilings": 10, "startup": 60, "composition": 60}


def expected_seconds(names, rounds, steps=None):
    """About how long `run` takes; with a number of `steps`, without the turns, whose time that leaves open."""
    ways = [way for name in names if name in COMPARED for way in COMPARED[name][1].values()]
    alone = {process for process, _ in [*ways, *(SINGLE[name] for name in names if name in SINGLE)]} - {"here"}
    turns = 0 if steps else rounds * len(ways) * (TURN + PAUSE)
    return START * len(alone) + MAKE * len(set(ways)) + turns + sum(ONCE.get(name, 0) for name in names)


def run(task, names=DEFAULT, rounds=5, steps=None, say=print):
    """Measure, and say each result as soon as it is there.

    Args:
        task: a `Task`, the networks that are trained.
        names: of `COMPARED` and `SINGLE`.
        rounds: turns of each way.
        steps: of training a turn; by default as many as take about `turns.TURN` seconds.
        say: takes a line of text: on what is being done, and what was found.

    Returns:
        Plain JSON.
        task, rounds: as they were given;
        results: two ways of each compared work a row, {name, what, unit, first, second, ratio, median_ratio}, with the
            images/s of both ways, and their ratio, in each round;
        ways: one way a row, {name, way, images, steps, images_per_second}: images a step, steps a turn, images/s in
            each round; of networks in TensorFlow, flops_per_image, of_ceiling, a share of the matrix multiplication's
            FLOP/s, and onednn, the value of TF_ENABLE_ONEDNN_OPTS;
        left_out: {way: reason};
        ceilings, startup, composition: see `machine`;
        load_average: of the minute before and of the last one; seconds: of all.

    Raises:
        UserError: a network that cannot be built, or taken apart into so many parts.
        ChildProcessError: a process that has ended by itself.
    """
    began, load = time.perf_counter(), os.getloadavg()[0]
    if "subnets" in names:
        from keras_dd.bench.works import parts_of  # not above: the process of PyTorch imports this package too

        parts_of(task)  # what cannot be taken apart is told before minutes have gone into the rest
    if load > os.cpu_count() / 2:
        say(f"this machine is busy, its load average is {load:.1f}: wait, or do not trust the times")
    measured = {"task": dataclasses.asdict(task), "rounds": rounds, "results": [], "ways": [], "left_out": {}}
    with processes(task) as ask:
        for name in names:
            if name in SINGLE:
                say(f"\n{name}")
                measured[name] = ask(*SINGLE[name])
                lines = summary.SINGLE[name](measured[name])
            else:
                lines = _compare(name, task, ask, rounds, steps, say, measured)
            for line in lines:
                say(f"  {line}")
    return measured | {"load_average": [load, os.getloadavg()[0]], "seconds": time.perf_counter() - began}


def _compare(name, task, ask, rounds, steps, say, measured):
    """Adds to `measured` what the ways of `name` make in turn, and gives it in lines."""
    title, ways = COMPARED[name]
    title = title.format(**dataclasses.asdict(task))
    say(f"\n{name}: {title}, {task.dtype}")
    found, left_out = in_turn(ways, ask, rounds, steps, lambda line: say(f"  {line}"))
    peak = summary.peak_flops(measured)
    for way, facts in found.items():
        if peak and "flops_per_image" in facts:
            facts["of_ceiling"] = [rate * facts["flops_per_image"] / peak for rate in facts["images_per_second"]]
        measured["ways"].append({"name": name, "way": way, **facts})
    measured["left_out"] |= left_out
    first, *others = found
    pairs = [summary.pair(name, title, first, other, found) for other in others]
    measured["results"] += pairs
    return summary.comparison(found, left_out, pairs)
