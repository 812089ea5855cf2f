"""The same networks in PyTorch, where that is installed: channels last, on a batch that is in memory."""

import time

from keras_dd.bench.task import IMAGE_SHAPE
from keras_dd.boxes import boxes

# {model: depth} of those that are written in PyTorch; `models` is not imported here: this process has no TensorFlow.
DEPTHS = {"speednet": None} | {f"resnet{depth}": depth for depth in (8, 14, 20, 32, 44, 56, 110)}


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
    if task.model not in DEPTHS or (task.width != width and task.width % task.parts):
        return None, {"left_out": f"{task.model} of width {task.width} is not written in PyTorch here"}
    try:
        from keras_dd.bench import torch_networks
    except ImportError:
        return None, {"left_out": "PyTorch is not installed"}
    depth, steps_of = DEPTHS[task.model], []
    for _ in range(networks):
        network = torch_networks.ResNet(depth, width, groups) if depth else torch_networks.Speednet(width, groups)
        steps_of.append(torch_networks.training_step(network, size, task.batch_size, groups, task.dtype))

    def do(steps):
        began = time.perf_counter()
        for step in steps_of:
            for _ in range(steps):
                step()
        return time.perf_counter() - began

    return do, {"images": task.batch_size * networks * groups}
