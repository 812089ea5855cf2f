"""Networks as jobs of Slurm, through submitit; with the address "local", as processes of this machine.

The machines share the folder of the run, as submitit wants it: snapshots lie in it, and what jobs say.
"""

import math
import os
import pickle
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from keras_dd import snapshot
from keras_dd.config import UserError
from keras_dd.engines import tasks
from keras_dd.engines.remote import Lost
from keras_dd.engines.tasks import label, work
from keras_dd.files import replacing

# Or it sets up logging for all of this process when it is imported, and closes every handler that was there.
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")
try:
    import submitit
except ImportError as error:
    raise UserError(
        f"engine slurm: submitit cannot be imported ({error}): pip install 'keras-dd[slurm]', or use the engine local"
    ) from None

FOLDER = "jobs"  # in the run directory
LETTER = ".letter"  # of what a job says, one file each, named by the time
MOMENT = 0.3  # seconds between two looks at what jobs have sent
# A job's limit, in minutes: SBATCH_TIMELIMIT, as all variables of sbatch, goes before what is asked for here.
MINUTES = 24 * 60


@contextmanager
def opened(settings):
    """The `Cluster` of the partition `settings.address`, or of the default one."""
    if settings.address != "local" and not shutil.which("sbatch"):
        raise UserError(
            "engine slurm: there is no sbatch on this machine: start the run on a login node of the cluster, or with "
            "address 'local', as processes here"
        )
    yield Cluster(settings)


class Cluster:
    """`remote.Cluster` on Slurm."""

    def __init__(self, settings):
        self.settings = settings

    def slots(self):
        return math.inf  # they wait in its queue

    def data_of(self, job):
        return tasks.own_data(job)

    def begin(self, run_dir, data):
        self.run_dir, self.data = Path(run_dir).resolve(), data
        shutil.rmtree(self.run_dir / FOLDER, ignore_errors=True)  # of the stage before, or of a run that was stopped

    def submit(self, task, whole, last):
        settings, folder = self.settings, self.run_dir / FOLDER
        letters = folder / label(task["name"])
        letters.mkdir(parents=True, exist_ok=True)
        executor = _executor(settings, folder, whole, f"keras-dd-{letters.name}")
        cpus = None if whole else settings.cpus
        snapshots = self.run_dir / snapshot.FOLDER
        try:
            return executor.submit(_work, task, self.data, cpus, settings.gpus or 0, snapshots, letters)
        except submitit.core.utils.FailedJobError as refusal:  # with what sbatch says
            raise UserError(
                f"engine slurm: sbatch refuses {task['name']} ({' '.join(str(refusal).split())[:200]}): ask for what a "
                "partition has with address, cpus and gpus, and for the rest with sbatch's own variables"
            ) from None

    def ended(self, handles):
        time.sleep(MOMENT)
        return [job for job in handles if job.done()]

    def messages(self):
        found = sorted((self.run_dir / FOLDER).glob(f"*/[0-9]*{LETTER}"), key=lambda path: path.name)
        messages = [pickle.loads(path.read_bytes()) for path in found]
        for path in found:
            path.unlink()
        return messages

    def result(self, handle):
        try:
            return handle.result()
        except submitit.core.utils.FailedJobError:  # an error in the job, with its traceback
            raise
        except submitit.core.utils.UncompletedJobError as error:
            raise Lost(str(error).partition("\n")[0]) from None

    def cancel(self, handle):
        handle.cancel(check=False)


def _work(task, data, cpus, gpus, snapshots, letters):
    """A task in a job.  One that Slurm queues again begins here again, and so goes on from its last snapshot."""

    def send(kind, content):
        with replacing(letters / f"{time.time_ns()}{LETTER}") as partial:
            partial.write_bytes(pickle.dumps((task["name"], kind, content)))

    return work(task, data, cpus, gpus, snapshots, send)


def _executor(settings, folder, whole, name):
    if settings.address == "local":
        executor = submitit.LocalExecutor(folder)
        executor.update_parameters(timeout_min=MINUTES, gpus_per_node=settings.gpus or 0)
        return executor
    asked = {"partition": settings.address, "cpus_per_task": settings.cpus, "gpus_per_node": settings.gpus}
    asked |= {"exclusive": True, "mem": "0"} if whole else {}
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(
        job_name=name,
        time=MINUTES,
        use_srun=False,  # its step would have one CPU of the node
        **{option: value for option, value in asked.items() if value is not None},
    )
    return executor
