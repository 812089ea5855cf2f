"""What `keras-dd bench` trains, and how a process is asked to do it."""

import importlib
from dataclasses import dataclass

IMAGE_SHAPE, CLASSES = (32, 32, 3), 10


@dataclass(frozen=True)
class Task:
    """The full network `model` of this width and its `parts` sub-networks, on random images of the size of CIFAR's."""

    model: str = "resnet20"
    width: int = 16
    parts: int = 4
    batch_size: int = 64
    dtype: str = "float32"


def answer(made, task, work, steps=None):
    """Make a work ready, or let it do some steps.

    Args:
        made: {work: what was made ready}, which this call may add to.
        task: a `Task`.
        work: "module.function", of a module beside this one; `function(task)` gives (do, facts), of which `do(steps)`
            works for some steps and gives their seconds, and facts are plain JSON.  "module.function:0,1" calls
            `function(task, [0, 1])`, for the sub-networks of these numbers.
        steps: None for the facts.

    Returns:
        The facts, or {"seconds": those of the steps}.
    """
    if work not in made:
        name, _, numbers = work.partition(":")
        module, function = name.split(".")
        given = [list(map(int, numbers.split(",")))] if numbers else []
        made[work] = getattr(importlib.import_module(f"keras_dd.bench.{module}"), function)(task, *given)
    do, facts = made[work]
    return facts if steps is None else {"seconds": do(steps)}
