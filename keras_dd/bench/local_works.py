"""Sub-networks in processes of this machine, as `engines.workers` has them."""

import atexit
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict

import tensorflow as tf

from keras_dd import devices
from keras_dd.bench import turns
from keras_dd.engines.remote import dealt


def in_workers(task):
    """The sub-networks, dealt to processes among which the cores are dealt.

    It is the training that is timed: what the engine adds, starting processes and hearing of epochs, is not in it.
    """
    cores = devices.cores()
    count = min(len(cores), task.parts)
    if tf.config.list_physical_devices("GPU") or count < 2:
        return None, {"left_out": "it is measured on several cores, and no GPU, only"}
    asks, works, stack = [], [], ExitStack()
    atexit.register(stack.close)
    for numbers, its_cores in zip(dealt(range(task.parts), count), dealt(cores, count), strict=True):
        threads = str(len(its_cores))
        variables = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
        asks.append(stack.enter_context(turns.worker(cores=its_cores, **variables)))
        works.append("works.at_once:" + ",".join(map(str, numbers)))

    def all_of_them(steps):
        with ThreadPoolExecutor(count) as pool:
            given = {"task": asdict(task), "steps": steps}
            return list(pool.map(lambda ask, work: ask(work=work, **given), asks, works))

    facts = all_of_them(None)
    all_images = {"images": sum(each["images"] for each in facts), "workers": count}
    return lambda steps: max(each["seconds"] for each in all_of_them(steps)), facts[0] | all_images
