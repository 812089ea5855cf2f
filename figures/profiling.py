"""Where the time of a training step goes: `python figures/profiling.py` writes figures/profiling.json.

TensorFlow's own profiler, on the full network as it is trained and on its sub-networks at once, in both types: half a
minute each.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

OUTPUT = Path(__file__).with_suffix(".json")
STEPS = 10
# {kind: what the names of its operations have in them}; the first kind that fits counts.
KINDS = {
    "convolution, forward": ("Conv2D", "FusedConv2D"),
    "convolution, gradient of the images": ("Conv2DBackpropInput",),
    "convolution, gradient of the kernels": ("Conv2DBackpropFilter",),
    "batch norm": ("FusedBatchNorm", "FusedBatchNormEx", "FusedBatchNormGrad"),
    "activations": ("Relu", "ReluGrad", "Gelu", "GeluGrad", "Erf"),
    "sums of tensors": ("Add", "AddN", "BiasAdd", "BiasAddGrad"),
    "optimizer": ("ResourceApplyAdam",),
}
REST = "all others"
# What operations run in, which is none of them.
AROUND = ("EagerLocalExecute", "MakeIterator", "StatefulPartitionedCall")


def is_around(operation):
    """Whether the name is that of a call in which operations run."""
    return operation.strip() in AROUND or operation.strip().startswith("__inference")


def kind_of(operation):
    """A kind of `KINDS` for the name of a TensorFlow operation, whoever has written its kernel."""
    plain = operation.removeprefix("_").removeprefix("MklNative").removeprefix("Mkl").rstrip("V23")
    return next((kind for kind, names in KINDS.items() if plain in names), REST)


def measure(work, task):
    """Milliseconds of a step, and of its operations kind by kind, with their number."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    from keras_dd.bench import works

    do, facts = getattr(works, work)(task)
    do(STEPS)
    seconds = do(STEPS)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=2)):
            do(STEPS)
        spaces = [XSpace.FromString(path.read_bytes()) for path in Path(folder).rglob("*.xplane.pb")]
    steps, names = STEPS + 1, Counter()  # `fit` has one more, which `works` does not time
    times, counts = Counter(), Counter()
    for event, name in events(spaces):
        times[kind_of(name)] += event.duration_ps / 1e9 / steps
        counts[kind_of(name)] += 1 / steps
        names[name] += event.duration_ps / 1e9 / steps
    return {
        "work": work.removesuffix("_singly"),
        "images a step": facts["images"],
        "step, ms": 1e3 * seconds / STEPS,
        "operations, ms": {kind: times[kind] for kind in (*KINDS, REST)},
        "operations": {kind: round(counts[kind]) for kind in (*KINDS, REST)},
        "longest, ms": dict(names.most_common(25)),
    }


def events(spaces):
    """Each operation that ran on the CPU, with its name: its trace is called "node:Operation"."""
    for plane in (plane for space in spaces for plane in space.planes if "CPU" in plane.name):
        for event in (event for line in plane.lines for event in line.events):
            title = plane.event_metadata[event.metadata_id].name
            name = title.rpartition(":")[2]
            if ":" in title and "::" not in title and not is_around(name):
                yield event, name


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    about = vars(parser.parse_args())

    from keras_dd import rundir
    from keras_dd.bench.task import Task

    found = {"command": " ".join(["python figures/profiling.py", *sys.argv[1:]]), "task": about}
    found |= {"environment": rundir.environment(), "results": []}
    for work, dtype in itertools.product(("fit_singly", "at_once_singly"), ("float32", "bfloat16")):
        row = measure(work, Task(**about, dtype=dtype)) | {"dtype": dtype}
        found["results"].append(row)
        print(f"{work}, {dtype}: {row['step, ms']:.1f} ms a step")
        for kind, ms in row["operations, ms"].items():
            print(f"  {ms:7.1f} ms in {row['operations'][kind]:5,} operations: {kind}")
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
