"""Training in this process: a stage of a job, watched, and gone on with from its last snapshot."""

from keras_dd import rundir, snapshot, train
from keras_dd.decomposition import Decomposition
from keras_dd.divergence import Guard
from keras_dd.scalars import Scalars


def ready(job, stage, recorder, run_dir, stop):
    """`engines.ready` where this process does it all."""
    logs = [Scalars(recorder, run_dir)] if job.settings.tensorboard else []
    return trainer(job, stage, stage, recorder, stop, run_dir / snapshot.FOLDER, rundir.seal(run_dir), logs)


def trainer(job, stage, name, recorder, stop, folder, mark, callbacks=(), taken=None):
    """`trained(networks)`: the body of a stage of training, wherever it runs.

    Args:
        job, stage, recorder, stop: as for `engines.ready`.
        name: of its snapshots, which lie in `folder` and carry the run's `mark`.
        callbacks: others, which are called behind the recorder.
        taken: of `snapshot.Snapshots`.
    """
    settings, schedule = job.settings, job.stages[stage]
    watchers = [recorder, Guard(recorder, settings.on_divergence, schedule.epochs)]
    snapshots = snapshot.Snapshots(folder, name, schedule.epochs, watchers, mark, settings.snapshot_every, stop, taken)

    def trained(networks):
        fit = train.fit_subnets if isinstance(networks, Decomposition) else train.fit_full
        return fit(
            networks,
            schedule,
            job.feed(stage),
            job.steps_per_epoch,
            job.evaluation(),
            job.devices,
            [*watchers, *callbacks, snapshots],
            snapshots.start,
        )

    return trained
