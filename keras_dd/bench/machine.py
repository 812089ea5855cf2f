"""What the machine can do at most, and what keras-dd costs besides training; no way to compare, so (None, facts)."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_dd.composition import compose
from keras_dd.decomposition import decompose
from keras_dd.models import resnet

REPEATS = 5
SIDE = 2048  # of the matrices
COPIED = 256 * 2**20  # bytes, far above all caches
# The network that is composed: the largest of the paper.
DEPTH, WIDTH, PARTS = 110, 64, 4

CLI = "from keras_dd.apps.main import main; main(['--help'])"
REST = """
import tensorflow, keras, time
began = time.perf_counter()
import keras_dd.pipeline, keras_dd.apps.main
print(time.perf_counter() - began)
"""


def ceilings(task):
    """The most that the machine multiplies and copies.

    {"matmul_gflops": {library: GFLOP/s, a repeat each}, "copy_gb_per_second": {threads: GB/s read and written}}
    """
    left, right = np.random.default_rng(0).normal(0, 1, (2, SIDE, SIDE)).astype("float32")
    tensors = [tf.cast(matrix, task.dtype) for matrix in (left, right)]
    product = tf.function(lambda: tf.linalg.matmul(*tensors))
    ways = {"TensorFlow": lambda: product()[0, 0].numpy()}
    if task.dtype == "float32":
        ways["numpy"] = lambda: left @ right
    flops = {name: [2 * SIDE**3 / seconds / 1e9 for seconds in _seconds(do)] for name, do in ways.items()}
    source = np.ones(COPIED, np.uint8)
    target = np.zeros_like(source)
    copies = {}
    for threads in sorted({1, os.cpu_count()}):
        with ThreadPoolExecutor(threads) as pool:
            pieces = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
            seconds = _seconds(lambda pool=pool, pieces=pieces: list(pool.map(lambda piece: np.copyto(*piece), pieces)))
        copies[str(threads)] = [2 * COPIED / each / 1e9 for each in seconds]
    return None, {"matmul_gflops": flops, "copy_gb_per_second": copies}


def startup(task):
    """Seconds of whole processes, a repeat each; and of importing all of keras-dd after TensorFlow and Keras."""
    commands = {"python": "pass", "import keras_dd": "import keras_dd", "keras-dd --help": CLI}
    seconds = {
        name: _seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True))
        for name, code in commands.items()
    }
    done = subprocess.run([sys.executable, "-c", REST], check=True, capture_output=True, text=True)
    return None, {"seconds": seconds, "seconds_after_tensorflow": float(done.stdout)}


def composition(task):
    """Seconds to build, take apart and compose ResNet-110 of width 64, and the memory of this process (Linux only).

    {"seconds": {...}, "mib": {"before": without a network, "built": with it and its parts, "peak": of all}}
    """
    mib = {"before": _resident("VmRSS")}
    began = time.perf_counter()
    model = resnet(DEPTH, WIDTH)
    built = time.perf_counter()
    parts = decompose(model, PARTS)
    apart = time.perf_counter()
    mib["built"] = _resident("VmRSS")
    compose(parts, model)
    seconds = {"build": built - began, "decompose": apart - built, "compose": time.perf_counter() - apart}
    mib["peak"] = _resident("VmHWM")
    facts = {"depth": DEPTH, "width": WIDTH, "parts": PARTS, "parameters": model.count_params()}
    return None, facts | {"seconds": seconds, "mib": mib}


def _seconds(do):
    """Of each of `REPEATS` times; one before does not count."""
    do()
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        do()
        found.append(time.perf_counter() - began)
    return found


def _resident(key):
    """MiB of this process: "VmRSS" now, "VmHWM" at the peak; None on other systems than Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(key))
