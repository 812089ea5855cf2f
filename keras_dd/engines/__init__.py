"""Where networks are trained: here, as tasks of a Ray cluster, or as jobs of Slurm.

A stage of training has one body, `local.trainer`, which all engines run: `local` on all networks of the stage in this
process, the others on one or some in a process of their own.  `tasks` is what travels there, as plain data; `remote`
starts the tasks of a stage, hears what they say, and starts a lost one again from its last snapshot; `workers` (of this
machine), `ray` and `slurm` are what a cluster needs for that.
"""

from contextlib import contextmanager
from importlib import import_module

from keras_dd import snapshot
from keras_dd.engines import local, remote, workers


@contextmanager
def opened(settings):
    """The cluster that `settings.engine` trains on; None for this process.

    Raises:
        UserError: an engine that is not installed or not there, or tasks that ask for more than it has.
    """
    if settings.engine == "local":
        yield None
        return
    with import_module(f"keras_dd.engines.{settings.engine}").opened(settings) as cluster:
        yield cluster


def ready(job, stage, recorder, run_dir, stop, cluster=None):
    """Make a stage of training ready, from its last snapshots if there are any.

    Args:
        job: a `job.Job`.
        stage: a key of `job.stages`.
        recorder: a `recorder.Recorder`, which will know what the stage did.
        run_dir: of the run, with its config.json.
        stop: a `signals.Stop`.
        cluster: of `opened`.

    Returns:
        `trained(networks)`, which trains a `Decomposition` or a full network, and gives a new one.

    Raises:
        UserError: snapshots of another run.
    """
    if cluster is None and stage == "subnets" and _in_workers(job, recorder, run_dir / snapshot.FOLDER):
        cluster = workers.Cluster(min(job.settings.workers, len(job.parts)))
    if cluster is None or not job.stages[stage].epochs:  # no machine is needed where there is nothing to train
        return local.ready(job, stage, recorder, run_dir, stop)
    return remote.ready(job, stage, recorder, run_dir, cluster)


def _in_workers(job, recorder, folder):
    """Whether this stage has processes of its own: as it began, however many workers it may have now."""
    if snapshot.files(folder, "subnets"):
        return False
    return job.settings.workers > 1 or bool(remote.begun(recorder.networks, folder))
