"""Networks as tasks of a Ray cluster: each in a process of its own, on one machine or many.

The machines need no folder in common: what a task says, and its snapshots, come back through a queue of Ray.
"""

import os
import signal
import socket
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_dd import snapshot
from keras_dd.config import UserError
from keras_dd.engines import tasks
from keras_dd.engines.remote import GivenUp, Lost
from keras_dd.engines.tasks import label, work

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of its future
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise UserError(
        f"engine ray: Ray cannot be imported ({error}): pip install 'keras-dd[ray]', or use the engine local"
    ) from None

MOMENT = 0.3  # seconds between two looks at what tasks have sent
PATIENCE = 10  # seconds for a machine to answer
LOSSES = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
)


@contextmanager
def opened(settings):
    """The `Cluster` at `settings.address`, or a Ray of this machine alone, which ends with the run.

    A Ray that this process is connected to already is used as it is, and left running.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect(settings.address)
    try:
        yield Cluster(settings)
    except ray.exceptions.RayError as error:
        raise GivenUp(f"engine ray: {str(error).strip().partition(chr(10))[0]}") from error
    finally:
        if ours:
            ray.shutdown()


class Cluster:
    """`remote.Cluster` on the Ray that this process is connected to."""

    def __init__(self, settings):
        self.nodes = nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.share, self.whole = shares(nodes, settings)
        some, all_ = ("{} CPUs and {} GPUs".format(*each) for each in (self.share, self.whole))
        print(f"Nodes of the Ray cluster: {len(nodes)}; a task of sub-networks gets {some}, the full network {all_}")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        # A process for each task: it sets TensorFlow's threads, and leaves no memory of a GPU taken.
        self.work = ray.remote(max_calls=1, max_retries=0)(_work)

    def slots(self):
        cpus, gpus = self.share
        free = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in self.nodes]
        return sum(min(cores // cpus, its // gpus if gpus else cores // cpus) for cores, its in free)

    def data_of(self, job):
        return tasks.own_data(job)

    def begin(self, run_dir, data):
        self.data = ray.put(data)

    def submit(self, task, whole, last):
        cpus, gpus = self.whole if whole else self.share
        content = last and last.read_bytes()
        options = {"num_cpus": cpus, "num_gpus": gpus, "name": task["name"]}
        return self.work.options(**options).remote(task, self.data, cpus, gpus, content, self.queue)

    def ended(self, handles):
        ended, _ = ray.wait(handles, timeout=MOMENT)
        return ended

    def messages(self):
        count = self.queue.qsize()
        return self.queue.get_nowait_batch(count) if count else []

    def result(self, handle):
        try:
            return ray.get(handle)
        except LOSSES as error:
            raise Lost(type(error).__name__) from None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error  # which has the traceback of the worker

    def cancel(self, handle):
        with suppress(ray.exceptions.RayError):
            ray.cancel(handle, force=True)


def shares(nodes, settings):
    """((CPUs, GPUs) of a sub-network's task, (CPUs, GPUs) of the task that holds a node).

    Unless the settings say it: a GPU each, and its share of the CPUs, where there are GPUs; otherwise as many CPUs as
    let all sub-networks train at once, and one at least.

    Args:
        nodes: the resources of each, as `ray.nodes()` has them.
        settings: `parts`, and what was asked for with `cpus` and `gpus`.

    Raises:
        UserError: a task that fits on no node.
    """
    sizes = sorted(((int(node.get("GPU", 0)), int(node.get("CPU", 0))) for node in nodes), reverse=True)
    gpus = min(1, sizes[0][0]) if settings.gpus is None else settings.gpus
    if settings.cpus:
        cpus = settings.cpus
    elif gpus:
        cpus = max(1, min((cpus * gpus // has for has, cpus in sizes if has), default=1))
    else:
        most = max(cpus for _, cpus in sizes)
        cpus = next((n for n in range(most, 1, -1) if sum(cpus // n for _, cpus in sizes) >= settings.parts), 1)
    if not any(has >= gpus and some >= cpus for has, some in sizes):
        there = ", ".join(f"{some} CPUs and {has} GPUs" for has, some in sizes[:4])
        raise UserError(
            f"a task of {cpus} CPUs and {gpus} GPUs fits on no node of the Ray cluster ({there}): ask for less with "
            "cpus and gpus, or add nodes"
        )
    most_gpus, its_cpus = sizes[0] if gpus else max(sizes, key=lambda size: size[1])
    return (cpus, gpus), (its_cpus, most_gpus if gpus else 0)


def _connect(address):
    if address and address != "auto":
        _knock(address)
    alone = {} if address else {"include_dashboard": False}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="error", **alone)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(
            f"engine ray: no connection to {address or 'a Ray of this machine'} "
            f"({' '.join(str(error).split())[:200]}): start one with ray start --head, and name its address, HOST:PORT"
        ) from None
    with suppress(ValueError):  # outside of the main thread
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has its own for SIGTERM, and a run ends by ours


def _knock(address):
    """UserError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"address {address!r} is no address of a Ray cluster: it must be HOST:PORT, or auto")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"address {address!r}: nothing answers there ({error}): start Ray with ray start --head --port {port}, or "
            "name the address that it printed"
        ) from None


def _work(task, data, cpus, gpus, content, queue):
    """A task in a worker of Ray, which keeps its snapshots for itself and sends a copy of each."""

    def send(kind, what):
        queue.put((task["name"], kind, what))

    with tempfile.TemporaryDirectory() as folder:
        if content:
            snapshot.keep(Path(folder), label(task["name"]), content)
        return work(task, data, cpus, gpus, folder, send, taken=lambda path: send("snapshot", path.read_bytes()))
