"""The main job, top to bottom: from the name of a data set and of a network to a trained network and its report."""

import dataclasses
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_dd import cost, owndata, report, rundir, train
from keras_dd.batchnorm import reestimate
from keras_dd.composition import compose
from keras_dd.config import Settings, UserError, shown, unknown
from keras_dd.decomposition import Decomposition
from keras_dd.job import prepare


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; the message says where what was finished lies."""


@dataclass(frozen=True)
class Result:
    """What a run gives: the fine-tuned model, the trained sub-networks, the numbers, and where they lie."""

    model: keras.Model
    parts: Decomposition
    report: dict
    history: list[dict]
    run_dir: Path


def fit(model=Settings.model, data=Settings.dataset, **settings):
    """Train a network by domain decomposition: sub-networks, composition, batch-norm re-estimation, fine-tuning.

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
    known = {field.name for field in dataclasses.fields(Settings)}
    for name in set(settings) - known:
        raise unknown("setting", name, known)
    call = ", ".join([repr(named["model"]), repr(named["dataset"]), *(f"{k}={v!r}" for k, v in settings.items())])
    return run(Settings(**named, **settings), f"keras_dd.fit({call})", own_model, own_data)


def run(settings, command, model=None, dataset=None):
    """The method, as `keras-dd fit` calls it: `fit` with its settings in one `Settings`."""
    started = time.perf_counter()
    job = prepare(settings, model, dataset)
    run_dir = rundir.create(job.settings, command)
    subnets, finetune = job.stages
    tops = tuple(job.accuracies.values())
    networks = [f"subnet {k}" for k in range(1, len(job.parts) + 1)]
    recorders = train.Recorder(networks, job.evaluated_on), train.Recorder(["finetune"], job.evaluated_on)
    evaluation = job.evaluation()
    results = _opening(job, command, run_dir)
    for note in job.dataset.notes:
        print(note)
    with _reported(results, recorders, run_dir, started):
        with _stage(results, "subnets"):
            print(f"Training {len(job.parts)} sub-networks at once, {subnets.epochs} epochs")
            parts = train.fit_subnets(
                job.parts, subnets, job.batches(0), job.steps_per_epoch, evaluation, job.devices, recorders[0]
            )
            for k, subnet in enumerate(parts, start=1):
                subnet.save_weights(run_dir / f"subnet{k}.weights.h5")
        with _stage(results, "evaluate"):
            results |= _named("subnet", job, train.subnet_top_accuracies(parts, evaluation, job.devices, tops))
        with _stage(results, "compose"):
            composed = compose(parts, job.model, settings.off_diagonal, settings.seed)
        with _stage(results, "evaluate"):
            results |= _named("composed", job, train.top_accuracies(composed, evaluation, tops))
        with _stage(results, "recalibrate"):
            recalibrated = reestimate(composed, job.whole_images())
        with _stage(results, "evaluate"):
            results |= _named("recalibrated", job, train.top_accuracies(recalibrated, evaluation, tops))
        with _stage(results, "finetune"):
            print(f"Fine-tuning the composed network, {finetune.epochs} epochs")
            trained = train.fit_full(
                recalibrated,
                finetune,
                job.batches(subnets.epochs),
                job.steps_per_epoch,
                evaluation,
                job.devices,
                recorders[1],
            )
            trained.save(run_dir / "model.keras")
            trained.save_weights(run_dir / "model.weights.h5")
            rundir.write_card(run_dir, job.dataset, job.settings)
        with _stage(results, "evaluate"):
            results |= _named("final", job, train.top_accuracies(trained, evaluation, tops))
    return Result(trained, parts, results, _history(recorders), run_dir)


@contextmanager
def _reported(results, recorders, run_dir, started):
    """Writes the report however the run ends.  If that fails too, as on a full disk, what ended the run is told."""

    def write():
        seconds = results["seconds"]
        for stage, recorder in zip(("subnets", "finetune"), recorders, strict=True):
            if recorder.evaluation_seconds:  # the clock of a training stage stands still while it is evaluated
                seconds[stage] -= recorder.evaluation_seconds
                seconds["evaluate"] = seconds.get("evaluate", 0) + recorder.evaluation_seconds
        seconds["total"] = time.perf_counter() - started
        report.write(run_dir, results, _history(recorders))

    try:
        yield
    except BaseException as ending:
        where = f"what was finished, with the report, is in {run_dir}"
        try:
            write()
        except (Exception, KeyboardInterrupt) as failure:
            where = f"what was finished is in {run_dir}, without a report ({failure!r})"
        if isinstance(ending, KeyboardInterrupt):
            raise Interrupted(f"interrupted in stage {results['interrupted']!r}; {where}") from None
        ending.add_note(where)
        raise
    results["interrupted"] = None
    write()


def _named(network, job, accuracies):
    """{"final_accuracy": 0.7, "final_top5_accuracy": 0.9}"""
    return dict(zip([f"{network}_{key}" for key in job.accuracies], accuracies, strict=True))


def _history(recorders):
    return [row for recorder in recorders for row in recorder.rows]


@contextmanager
def _stage(results, stage):
    """Times a stage, and names it in the report if the run ends in it or behind it."""
    start = time.perf_counter()
    results["interrupted"] = stage
    try:
        yield
    finally:
        results["seconds"][stage] = results["seconds"].get(stage, 0) + time.perf_counter() - start


def _opening(job, command, run_dir):
    """What can be said of a run before it starts; the keys of the accuracies follow as they are measured."""
    dataset, settings = job.dataset, dataclasses.asdict(job.settings)
    return {
        "command": command,
        "run_dir": str(run_dir),
        "settings": settings | {"grid": list(job.settings.grid)},  # as JSON has it
        "environment": rundir.environment() | {"devices": list(job.devices)},
        "dataset": {
            "name": dataset.name,
            "train": len(dataset.train),
            "validation": len(dataset.validation or ()),
            "test": len(dataset.test),
            "classes": len(dataset.classes),
            "image_shape": list(dataset.image_shape),
            "chance": 1 / len(dataset.classes),
            "notes": list(dataset.notes),
        },
        "boxes": [[box.top, box.left, box.height, box.width] for box in job.parts.boxes],
        "parameters": {"full": job.model.count_params(), "subnet": job.parts[0].count_params()},
        "macs": {"full": cost.macs(job.model), "subnet": cost.macs(job.parts[0])},
        "evaluated_on": job.evaluated_on,
        "seconds": {},
    }
