"""The same networks in PyTorch, where that is installed: channels last, on a batch that is in memory."""

import time

from keras_dd.bench.task import IMAGE_SHAPE
from keras_dd.boxes import boxes

# Those of `models.resnet`, which is not imported here: this process has no TensorFlow.
DEPTHS = (8, 14, 20, 32, 44, 56, 110)


def full(task):
    return _steps(task, task.width, IMAGE_SHAPE[:2])


def one_by_one(task):
    """The sub-networks, each on its box, one after another."""
    return _steps(task, *_part(task), networks=task.parts)


def grouped(task):
    """The sub-networks side by side in one network of grouped convolutions."""
    return _steps(task, *_part(task), groups=task.parts)


def _part(task):
    box = boxes(IMAGE_SHAPE, task.parts)[0]
    return task.width // task.parts, (box.height, box.width)


def _steps(task, width, size, networks=1, groups=1):
    depth = int(task.model.removeprefix("resnet")) if task.model.removeprefix("resnet").isdecimal() else 0
    if depth not in DEPTHS or (task.width != width and task.width % task.parts):
        return None, {"left_out": f"{task.model} of width {task.width} is not written in PyTorch here"}
    try:
        from keras_dd.bench import torch_resnet
    except ImportError:
        return None, {"left_out": "PyTorch is not installed"}
    steps_of = [
        torch_resnet.training_step(depth, width, size, task.batch_size, groups, task.dtype) for _ in range(networks)
    ]

    def do(steps):
        began = time.perf_counter()
        for step in steps_of:
            for _ in range(steps):
                step()
        return time.perf_counter() - began

    return do, {"images": task.batch_size * networks * groups}
