"""From a finished run to a card and a file of weights."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from keras_dd import cost, finished, job, report, rundir
from keras_dd.config import UserError
from keras_dd.files import replacing
from keras_dd.models import MODELS
from keras_dd.weights_files import load_weights
from keras_dd.zoo import arrays, cards, loading, measures
from keras_dd.zoo.rights import rights

STAGES = ("subnets", "compose", "recalibrate", "finetune", "baseline")
# Settings that tell of a machine's folders, or change nothing in what is learnt.
LOCAL = (
    "data_dir",
    "run_dir",
    "devices",
    "engine",
    "address",
    "cpus",
    "gpus",
    "snapshot_every",
    "tensorboard",
    "views",
)
# What the network of the file may reach otherwise than the run's report says: a run in bfloat16 rounds.
SAME = 0.005
SAME_TWIN = ("dataset", "train_images", "split", "image_size", "model", "width", "shortcut", "block")


def release(
    run_dir,
    name=None,
    to=None,
    twin=None,
    url=None,
    data_dir=None,
    licence="Apache-2.0",
    data_licence=None,
    citation=None,
):
    """Write the card and the weights of a finished run, measured on the whole test split.

    Weights are stored in half precision where that changes the accuracy by no more than 0.05 points.  What is measured
    is the network that `keras_dd.zoo.load` gives.

    Args:
        run_dir: of `keras_dd.fit`, of a network and a data set asked for by name.
        name: of the model; by default as "resnet20-w16-cifar10-dd4".
        to: the folder, by default "zoo" in `run_dir`.
        twin: directory of the run that trained the same network conventionally.
        url: where you will put the weights, if they do not stay beside the card.
        data_dir: of TensorFlow Datasets, where the data are elsewhere now.
        licence: of the weights.
        data_licence, citation: of the data set, where it is not one of `rights.DATA`.

    Returns:
        The path of the card.

    Raises:
        UserError: a run that is not finished or cannot be built by name, one of other accuracy than its report says,
            another twin, a model that is there already, a data set of unknown licence.
    """
    ready = finished.job(run_dir, **({"data_dir": data_dir} if data_dir else {}))
    settings, dataset = ready.settings, ready.dataset
    if settings.model not in MODELS:
        raise UserError(
            f"model {settings.model!r} of the run in {str(run_dir)!r} is a file: only networks of keras_dd.models can "
            "be released, because a card builds its network by name"
        )
    name = name or _name(settings, dataset)
    folder = Path(to) if to else Path(run_dir) / "zoo"
    path = folder / f"{name}{cards.SUFFIX}"
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or choose another --name")
    for rule, holds in cards.naming(name, url).items():
        if not holds:
            raise UserError(f"{name if 'name' in rule else url}: {rule}")
    data_licence, citation = rights(dataset.name, data_licence, citation)
    found, _ = report.read(run_dir)
    other = twin and _twin(twin, settings, dataset.train.mark)

    load_weights(ready.model, Path(run_dir) / "model.weights.h5")
    arguments = json.loads(json.dumps(job.arguments(settings, dataset)))  # as the card will have them
    model = MODELS[settings.model](**arguments)
    exact = {weight.path: weight.numpy() for weight in ready.model.weights}
    content, dtype, scores = smallest(model, exact, dataset)
    loading.assign(model, arrays.unpack(content, dtype, "the weights"))
    scores = measures.with_views(scores, model, dataset.test, settings.views)
    if ready.evaluated_on == "test" and abs(scores.top1 - found["final_accuracy"]) > SAME:
        raise UserError(
            f"the network in {str(run_dir)!r} reaches {100 * scores.top1:.2f} % and its report says "
            f"{100 * found['final_accuracy']:.2f} %: the files are not of one run"
        )
    card = cards.Card(
        name=name,
        architecture=settings.model,
        arguments=arguments,
        parameters=model.count_params(),
        macs=cost.macs(model),
        weights=cards.Weights(len(content), hashlib.sha256(content).hexdigest(), dtype, url),
        data=cards.Data(
            name=dataset.name,
            classes=tuple(dataset.classes),
            image_shape=tuple(dataset.image_shape),
            train_images=len(dataset.train),
            test_images=len(dataset.test),
            mark=dataset.test.mark,
            notes=tuple(dataset.notes),
            licence=data_licence,
            citation=citation,
        ),
        training=cards.Training(
            parts=settings.parts if ready.parts else None,
            command=found["command"],
            commit=found["environment"]["git"],
            seeds=(settings.seed,),
            seconds=round(_seconds(found), 1),
            machine=found["environment"],
            settings={k: v for k, v in dataclasses.asdict(settings).items() if k not in LOCAL},
        ),
        scores=scores,
        twin=other,
        licence=licence,
    )
    cards.checked(json.loads(cards.text(card)), f"card of {str(run_dir)!r}")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial_card, replacing(cards.weights_path(path)) as partial:
        partial.write_bytes(content)
        partial_card.write_text(cards.text(card), encoding="utf-8")
    return path


def smallest(model, exact, dataset):
    """(bytes, dtype, Scores) of the weights {path: array}: in half precision if the network is as good with them.

    `model` is given them.  UserError: weights that are not all finite.
    """
    found = {}
    for dtype in cards.DTYPES:
        content = arrays.pack(exact, dtype)
        restored = arrays.unpack(content, dtype, "the weights")
        if not all(np.isfinite(array).all() for array in restored.values()):
            continue  # larger than half precision can say
        loading.assign(model, restored)
        found[dtype] = content, dtype, measures.measure(model, dataset.test, dataset.classes)
    if not found:
        raise UserError(f"the weights of {model.name!r} are not all finite: this run has diverged, start another one")
    half, whole = found.get("float16"), found["float32"]
    images = whole[2].images
    is_as_good = half and round(images * abs(half[2].top1 - whole[2].top1)) <= measures.AGREEMENT * images
    return half if is_as_good else whole


def _name(settings, dataset):
    how = f"-dd{settings.parts}" if settings.method == "decomposition" else ""
    return f"{settings.model}-w{settings.width}-{dataset.name.replace('/', '-').lower()}{how}"


def _seconds(found):
    return sum(found["seconds"].get(stage) or 0 for stage in STAGES)


def _twin(run_dir, settings, mark):
    """The `Twin` in a directory: a finished run of the same network on the same data, trained conventionally."""
    theirs, command, made_of = rundir.read(run_dir)
    if not rundir.finished(run_dir):
        raise UserError(f"the twin in {str(run_dir)!r} is not finished: go on with keras-dd fit --resume {run_dir}")
    odd = [name for name in SAME_TWIN if getattr(theirs, name) != getattr(settings, name)]
    if odd or theirs.method != "conventional" or theirs.validation_split:
        name = [*odd, "method" if theirs.method != "conventional" else "validation_split"][0]
        wanted = {"method": "conventional", "validation_split": 0.0}.get(name, getattr(settings, name))
        raise UserError(
            f"{name} of the twin in {str(run_dir)!r} is {getattr(theirs, name)!r}: it must be {wanted!r}, so that only "
            "the way of training differs"
        )
    if settings.train_images is None and made_of["dataset"] != mark:  # some of them are drawn by the seed
        raise UserError(
            f"the training images of the twin in {str(run_dir)!r} are others, under the same name: train it on the same"
        )
    found, _ = report.read(run_dir)
    return cards.Twin(accuracy=found["final_accuracy"], seconds=round(_seconds(found), 1), command=command)
