"""Sub-networks in workers of a Ray on this machine, where that is installed."""

import os

import tensorflow as tf

from keras_dd.bench import works
from keras_dd.config import Settings, UserError


def in_workers(task):
    """The sub-networks in workers with the CPUs that `--engine ray` gives a task, which share them if they must.

    It is the training that is timed: what the engine adds, starting tasks and hearing of epochs, is not in it.
    """
    try:
        from keras_dd.engines import ray as engine
        from keras_dd.engines.remote import dealt
    except UserError:
        return None, {"left_out": "Ray is not installed"}
    if tf.config.list_physical_devices("GPU"):
        return None, {"left_out": "it is measured on CPUs only"}
    ray = engine.ray
    ray.init("local", num_cpus=os.cpu_count(), num_gpus=0, include_dashboard=False, log_to_driver=False)
    (cpus, _), _ = engine.shares([node["Resources"] for node in ray.nodes()], Settings(parts=task.parts, gpus=0))
    count = min(os.cpu_count() // cpus, task.parts)
    shares = dealt(range(task.parts), count)
    workers = [ray.remote(num_cpus=cpus)(Worker).remote(task, share, cpus) for share in shares]
    facts = ray.get([worker.facts.remote() for worker in workers])

    def do(steps):
        return max(ray.get([worker.do.remote(steps) for worker in workers]))

    return do, facts[0] | {"images": sum(each["images"] for each in facts), "workers": count}


class Worker:
    """Some of the sub-networks, in a process of its own."""

    def __init__(self, task, numbers, cpus):
        tf.config.threading.set_intra_op_parallelism_threads(cpus)
        tf.config.threading.set_inter_op_parallelism_threads(cpus)
        self.made = works.at_once(task, numbers)

    def facts(self):
        return self.made[1]

    def do(self, steps):
        return self.made[0](steps)
