"""A finished run as it was when it started: its job, prepared again from its config.json."""

import dataclasses
from pathlib import Path

from keras_dd import rundir
from keras_dd.config import Settings, UserError
from keras_dd.job import prepare


def job(run_dir, **changes):
    """The `Job` of a finished run, built again: its network is not trained.

    Args:
        run_dir: its directory.
        **changes: settings that are otherwise now, as the place of the data.

    Raises:
        UserError: a directory without a run, a run that is not finished, or whose network or images were objects of the
            user's own, and data that are not the run's any more.
    """
    settings, _, made_of = rundir.read(run_dir)
    if made_of["own"]:
        name = made_of["own"][0]
        raise UserError(
            f"the {name} of the run in {str(run_dir)!r} was an object of your own, which cannot be made again: name "
            f"the {name} when you start a run, or save yours to a file"
        )
    if not rundir.finished(run_dir):
        raise UserError(f"the run in {str(run_dir)!r} is not finished: go on with keras-dd fit --resume {run_dir}")
    where = settings.data_dir
    if "data_dir" not in changes and where and not Path(where).is_dir():
        raise UserError(
            f"the data of the run in {str(run_dir)!r} were in {where!r}, seen from where it was started: that is no "
            "folder here, say where they are now with --data-dir"
        )
    here = {"devices": Settings.devices, "workers": 1, "tensorboard": False}  # nothing is trained
    found = prepare(dataclasses.replace(settings, **here | changes))
    for name, mark in found.made_of.items():
        if mark != made_of[name]:
            raise UserError(f"this {name} is not that of the run in {str(run_dir)!r}: it was changed since")
    return found
