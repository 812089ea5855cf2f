"""How fast the images of a data set come, and how much memory that takes."""

import math
import os
import resource
import time

from keras_dd import data
from keras_dd.data.splits import check_int


def measure(dataset, batch_size, steps, rounds):
    """Draw training batches as a run does, and train nothing.

    Args:
        dataset: a `data.Dataset`.
        batch_size, steps, rounds: `rounds` times `steps` batches are timed, after one that is not.

    Returns:
        What was measured: "images_per_second", one a round; "peak_rss_mib", the peak memory of this process when the
        data set was "loaded" and after it was "fed"; and what was fed.
    """
    for name, value in {"steps": steps, "rounds": rounds}.items():
        check_int(name, value, low=1)
    loaded = _peak()
    batches = iter(data.training_batches(dataset.train, batch_size))
    rates = []
    for count in [1] + [steps] * rounds:
        start = time.perf_counter()
        for _ in range(count):
            next(batches)
        rates.append(count * batch_size / (time.perf_counter() - start))
    return {
        "dataset": dataset.name,
        "images": len(dataset.train),
        "image_shape": list(dataset.image_shape),
        "is_streamed": isinstance(dataset.train, data.Stream),
        "decoded_mib": len(dataset.train) * math.prod(dataset.image_shape) / 2**20,
        "batch_size": batch_size,
        "images_a_round": steps * batch_size,
        "images_per_second": rates[1:],
        "load_average": os.getloadavg()[0],  # of more than 1, others were at work
        "peak_rss_mib": {"loaded": loaded, "fed": _peak()},
    }


def _peak():
    """Of this process, from its start until now, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
