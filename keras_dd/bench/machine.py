"""What the machine can do at most, and what keras-dd costs besides training; no way to compare, so (None, facts)."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    products = {"TensorFlow": lambda: product()[0, 0].numpy()}
    if task.dtype == "float32":
        products["numpy"] = lambda: left @ right
    source = np.ones(COPIED, np.uint8)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def copying(threads):
            pieces = [np.array_split(array, threads) for array in (target, source)]
            return lambda: list(pool.map(np.copyto, *pieces))

        copies = {str(threads): copying(threads) for threads in sorted({1, os.cpu_count()})}
        seconds = _in_turn(products | copies)
    return None, {
        "matmul_gflops": {name: [2 * SIDE**3 / each / 1e9 for each in seconds[name]] for name in products},
        "copy_gb_per_second": {name: [2 * COPIED / each / 1e9 for each in seconds[name]] for name in copies},
    }


def startup(task):
    """Seconds, a repeat each: of whole processes, and of importing all of keras-dd after TensorFlow and Keras."""

    def process(code):
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    commands = {"python": "pass", "import keras_dd": "import keras_dd", "keras-dd --help": CLI}
    seconds = _in_turn({name: partial(process, code) for name, code in commands.items()})
    return None, {"seconds": seconds, "seconds_after_tensorflow": [float(process(REST)) for _ in range(REPEATS)]}


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


def _in_turn(ways):
    """{name: seconds of each of `REPEATS` times} of {name: function}; one time before does not count."""
    seconds = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, do in ways.items():
            began = time.perf_counter()
            do()
            if repeat > 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _resident(key):
    """MiB of this process: "VmRSS" now, "VmHWM" at the peak; None on other systems than Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(key))
