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
    """The sub-networks, dealt to processes of as many threads as there are cores for each.

    It is the training that is timed: what the engine adds, starting processes and hearing of epochs, is not in it.
    """
    cores = devices.cores()
    count = min(cores, task.parts)
    if tf.config.list_physical_devices("GPU") or count < 2:
        return None, {"left_out": "it is measured on several cores, and no GPU, only"}
    asks, works, stack = [], [], ExitStack()
    atexit.register(stack.close)  # or they would end with this function
    for numbers in dealt(range(task.parts), count):
        variables = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(cores // count))
        asks.append(stack.enter_context(turns.worker(**variables)))
        works.append("works.at_once:" + ",".join(map(str, numbers)))

    def all_of_them(steps):
        with ThreadPoolExecutor(count) as pool:
            given = {"task": asdict(task), "steps": steps}
            return list(pool.map(lambda ask, work: ask(work=work, **given), asks, works))

    facts = all_of_them(None)
    all_images = {"images": sum(each["images"] for each in facts), "workers": count}
    return lambda steps: max(each["seconds"] for each in all_of_them(steps)), facts[0] | all_images
