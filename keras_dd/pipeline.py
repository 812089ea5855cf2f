"""The main job, top to bottom: from the name of a data set and of a network to a trained network and its report."""

import dataclasses
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_dd import confusion, engines, outcome, owndata, report, rundir, snapshot
from keras_dd.batchnorm import reestimate
from keras_dd.composition import compose
from keras_dd.config import Settings, UserError, shown, unknown
from keras_dd.decomposition import Decomposition
from keras_dd.evaluation import accuracies, predictions, subnet_accuracies
from keras_dd.files import replacing
from keras_dd.job import prepare
from keras_dd.recorder import Recorder
from keras_dd.signals import Stop
from keras_dd.weights_files import save_weights


@dataclass(frozen=True)
class Result:
    """What a run gives: the trained model, the sub-networks (if there are any), the numbers, and where they lie."""

    model: keras.Model
    parts: Decomposition | None
    report: dict
    history: list[dict]
    run_dir: Path


def fit(model=Settings.model, data=Settings.dataset, **settings):
    """Train a network by domain decomposition: sub-networks, composition, batch-norm re-estimation, fine-tuning.

    With method="conventional" the full network is trained as it is, from random initialisation.

    Args:
        model: a name from `keras_dd.models.MODELS`, a .keras file (see `userfiles.load_model`), or a functional
            `keras.Model` from images 0..255 to class scores.
        data: a name or a folder, as `keras_dd.data.load` takes it, or a `keras_dd.data.Dataset`.
        **settings: fields of `keras_dd.Settings`: parts=4, overlap=8, recipe="quick", epochs=10, run_dir="runs/a", ...

    Returns:
        A `Result`; `result.model` takes raw images (N, H, W, C), 0..255, and gives logits (N, classes).

    Raises:
        UserError: names the value, the rule and the way out.
    """
    if not isinstance(model, keras.Model | str | Path):
        raise UserError(f"model is {shown(model)}: it must be the name of a network, or a functional keras.Model")
    own_model = model if isinstance(model, keras.Model) else None
    own_data = None if isinstance(data, str | Path) else data
    if own_data is not None:
        owndata.check(own_data)
    named = {"model": own_model.name if own_model else str(model), "dataset": str(own_data.name if own_data else data)}
    if "dataset" in settings:
        raise UserError(f"dataset is {shown(settings['dataset'])}: say data=... instead")
    known = {field.name for field in dataclasses.fields(Settings)}
    for name in set(settings) - known:
        raise unknown("setting", name, known)
    call = ", ".join([repr(named["model"]), repr(named["dataset"]), *(f"{k}={v!r}" for k, v in settings.items())])
    return run(Settings(**named, **settings), f"keras_dd.fit({call})", own_model, own_data)


def run(settings, command, model=None, dataset=None):
    """The method, as `keras-dd fit` calls it: `fit` with its settings in one `Settings`."""
    with Stop() as stop, engines.opened(settings) as cluster:
        started = time.perf_counter()
        job = prepare(settings, model, dataset)
        own = [name for name, given in (("model", model), ("dataset", dataset)) if given is not None]
        run_dir = rundir.create(job.settings, command, job.made_of | {"own": own})
        with rundir.locked(run_dir):
            return _run(job, command, run_dir, stop, started, cluster)


def resume(run_dir, model=None, data=None, **settings):
    """Go on with a run that was killed, or stopped by Ctrl-C or SIGTERM, from its last snapshot.

    It ends as the run would have that was never interrupted: with `deterministic`, bit for bit.

    Args:
        run_dir: its directory.
        model, data: the model and the data set handed to `fit`, where they were objects of your own.
        **settings: need not be given again; those that are must be the run's.

    Returns:
        A `Result`, as `fit` does.

    Raises:
        UserError: a directory without a run, a finished one, one that another process is at, or another model or data.
    """
    with Stop() as stop, rundir.locked(run_dir):
        started = time.perf_counter()
        resumed, command, made_of = rundir.reopen(run_dir, settings)
        for name, given in ("model", model), ("dataset", data):
            if (given is not None) != (name in made_of["own"]):
                way_out = "leave yours out" if given is not None else f"hand it to keras_dd.resume(run_dir, {name}=...)"
                whose = "your own" if given is None else "asked for by name"
                raise UserError(
                    f"the {name} of the run in {str(run_dir)!r}, {getattr(resumed, name)!r}, was {whose}: {way_out}"
                )
        job = prepare(resumed, model, data)
        for name, mark in job.made_of.items():
            if mark != made_of[name]:
                raise UserError(
                    f"this {name} is not that of the run in {str(run_dir)!r}: it goes on only with the same"
                )
        with engines.opened(resumed) as cluster:
            return _run(job, command, Path(run_dir), stop, started, cluster)


def _run(job, command, run_dir, stop, started, cluster):
    """The method.  A stage of training goes on from its last snapshot; all between is done again, in seconds."""
    evaluation, tops = job.evaluation(), tuple(job.accuracies.values())
    recorders = {stage: Recorder(_networks(job, stage), job.evaluated_on) for stage in job.stages}

    def ready(stage):
        return engines.ready(job, stage, recorders[stage], run_dir, stop, cluster)

    first, last = list(job.stages)[0], list(job.stages)[-1]
    trained = ready(first)  # refuses here, before a report is written, the snapshots of another run
    results = outcome.opening(job, command, run_dir)
    for note in job.dataset.notes:
        print(note)
    with outcome.reported(results, recorders, run_dir, started, getattr(job.dataset, job.evaluated_on)):
        model, parts = job.model, None
        if job.parts:
            parts, model = _decomposed(job, results, run_dir, trained)
            trained = ready(last)
        with outcome.stage(results, last):
            what = "Fine-tuning the composed network" if parts else "Training the full network"
            print(f"{what}, {job.stages[last].epochs} epochs")
            model = trained(model)
            with replacing(run_dir / "model.keras") as partial:
                model.save(partial)
            save_weights(model, run_dir / "model.weights.h5")
            rundir.write_card(run_dir, job.dataset, job.settings)
        with outcome.stage(results, "evaluate"):
            answers = predictions(model, evaluation, max(tops))
            results |= _named("final", job, answers.accuracies(tops))
            results["predictions"] = confusion.summary(answers, job.dataset.classes)
            if job.settings.views > 1:
                results |= _named("views", job, accuracies(model, evaluation, tops, job.settings.views))
    shutil.rmtree(run_dir / snapshot.FOLDER, ignore_errors=True)  # the run is finished: there is nothing to go on with
    return Result(model, parts, results, outcome.history(recorders), run_dir)


def _decomposed(job, results, run_dir, trained):
    """(the trained sub-networks, the full network composed of them), with what each of them reaches in `results`."""
    settings, evaluation, tops = job.settings, job.evaluation(), tuple(job.accuracies.values())
    with outcome.stage(results, "subnets"):
        print(f"Training {len(job.parts)} sub-networks at once, {job.stages['subnets'].epochs} epochs")
        parts = trained(job.parts)
        for k, subnet in enumerate(parts, start=1):
            save_weights(subnet, run_dir / f"subnet{k}.weights.h5")
    with outcome.stage(results, "evaluate"):
        results |= _named("subnet", job, subnet_accuracies(parts, evaluation, job.devices, tops))
        results["dead_subnets"] = _dead(results["subnet_accuracy"], job)
        for remark in report.remarks(results):
            print(remark)
    with outcome.stage(results, "compose"):
        print("Composing the full network")
        composed = compose(parts, job.model, settings.off_diagonal, settings.seed, head_scale=settings.head_scale)
    with outcome.stage(results, "evaluate"):
        results |= _named("composed", job, accuracies(composed, evaluation, tops))
    if not settings.reestimate:
        return parts, composed
    with outcome.stage(results, "recalibrate"):
        print("Re-estimating its batch-norm statistics")
        recalibrated = reestimate(composed, job.whole_images())
    with outcome.stage(results, "evaluate"):
        results |= _named("recalibrated", job, accuracies(recalibrated, evaluation, tops))
    return parts, recalibrated


def _networks(job, stage):
    """Names of the rows of a stage of training in history.csv."""
    return [f"subnet {k}" for k in range(1, len(job.parts) + 1)] if stage == "subnets" else [stage]


def _dead(fractions, job):
    """The sub-networks, from 1, that do no better than the best constant answer, by two standard errors."""
    labels = np.asarray(getattr(job.dataset, job.evaluated_on).labels)
    chance = np.bincount(labels).max() / len(labels)
    least = chance + 2 * math.sqrt(chance * (1 - chance) / len(labels))
    return (
        [k for k, fraction in enumerate(fractions, start=1) if fraction <= least]
        if job.stages["subnets"].epochs
        else []
    )


def _named(network, job, fractions):
    """{"final_accuracy": 0.7, "final_top5_accuracy": 0.9}"""
    return dict(zip([f"{network}_{key}" for key in job.accuracies], fractions, strict=True))
