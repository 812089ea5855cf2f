"""What a run is refused for before it starts: each function raises `UserError`, or does nothing."""

import inspect

from keras_dd.config import Settings, UserError, shown, unknown
from keras_dd.data import Split
from keras_dd.graph import image_of
from keras_dd.models import MODELS

# Settings that say how a model or a data set asked for by name is made.
MODEL_FIELDS = ("width", "shortcut", "block", "dtype")
# Of these, those that not every network has, and the networks that have them.
KINDS = {"shortcut": "resnets", "block": "fastresnets"}
DATASET_FIELDS = ("data_dir", "split", "image_size", "skip_bad_images", "validation_split")
# Those of every stage of training, whatever the recipe has for each of them.
STAGE_FIELDS = ("optimizer", "schedule", "weight_decay", "bias_rate", "lookahead", "label_smoothing", "boxes")
# Those that say how a network is trained by decomposition.
DECOMPOSITION_FIELDS = ("grid", "parts", "overlap", "boxes", "off_diagonal", "head_scale", "reestimate")
DECOMPOSITION_FIELDS += ("subnet_epochs", "subnet_learning_rate")
# Those that say what a task gets of a cluster, and where that is.
CLUSTER_FIELDS = ("address", "cpus", "gpus")


def what_would_be_ignored(settings, model, dataset):
    """Settings that would change nothing, before anything is built; own objects or None are `model` and `dataset`."""
    if model is None and settings.model not in MODELS:
        raise unknown("model", settings.model, MODELS)
    for name in KINDS.keys() - options(settings.model) if model is None else ():
        value = getattr(settings, name)
        if value != getattr(Settings, name):
            raise UserError(f"{name} {value!r} is for {KINDS[name]}, and {settings.model!r} has none: leave it out")
    for name in CLUSTER_FIELDS:
        value = getattr(settings, name)
        if settings.engine == "local" and value is not None:
            raise UserError(f"{name} {shown(value)} is for the engines ray and slurm: leave it out, or choose one")
    if settings.engine != "local" and settings.devices != "auto":
        raise UserError(
            f"devices {settings.devices!r} is for the engine local: with {settings.engine}, say what each task gets, "
            "with cpus and gpus"
        )
    if (settings.workers or 1) > 1 and (settings.engine, settings.method) != ("local", "decomposition"):
        raise UserError(
            f"workers {settings.workers} are for training by decomposition with the engine local: leave it out"
        )
    for name in DECOMPOSITION_FIELDS:
        value = getattr(settings, name)
        if settings.method == "conventional" and value != getattr(Settings, name):
            raise UserError(
                f"{name} {shown(value)} is for training by decomposition: leave it out, or choose that method"
            )
    for given, what, fields in (model, "model", MODEL_FIELDS), (dataset, "dataset", DATASET_FIELDS):
        for name in fields:
            if given is not None and getattr(settings, name) != getattr(Settings, name):
                raise UserError(
                    f"{name} is for a {what} that is asked for by name: yours is built already, leave it out"
                )


def what_does_not_fit(settings, model, dataset, names):
    """A network, a data set, settings that are resolved and devices that do not go together."""
    if tuple(image_of(model).shape[1:]) != dataset.image_shape:
        raise UserError(
            f"model {model.name!r} takes images {tuple(image_of(model).shape[1:])} but those of {dataset.name!r} are "
            f"{dataset.image_shape}: build it for them"
        )
    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    if shapes != [(len(dataset.classes),)]:
        raise UserError(
            f"model {model.name!r} gives {', '.join(map(str, shapes))} but {dataset.name!r} has "
            f"{len(dataset.classes)} classes: end it in one score a class"
        )
    if settings.views > 1 and not settings.flip:
        raise UserError(
            f"views is {settings.views}: that mirrors test images, and the network is trained on none that are: leave "
            "it out, or train with flip"
        )
    for name, idle, needed in ("alternate", False, "flip"), ("padding", "black", "crop"):
        value = getattr(settings, name)
        if value != idle and not getattr(settings, needed):
            raise UserError(f"{name} {value} changes nothing without {needed}: leave it out, or set {needed} too")
    if (settings.workers or 1) > 1 and names != ("CPU:0",):
        raise UserError(
            f"workers {settings.workers} share the cores of the CPU, and the devices are {', '.join(names)}: leave it "
            "out, or ask for devices CPU:0"
        )
    if (settings.workers or 1) > 1 and not isinstance(dataset.train, Split):
        raise UserError(
            f"workers {settings.workers} want images in memory, and those of {dataset.name!r} are decoded as they are "
            "drawn: leave it out"
        )
    if settings.batch_size % len(names):
        fits = settings.batch_size // len(names) * len(names)
        raise UserError(
            f"batch_size {settings.batch_size} cannot be shared equally by {len(names)} devices: "
            f"try {' or '.join(str(size) for size in (fits, fits + len(names)) if size)}"
        )


def options(model):
    """The arguments of a named network's builder."""
    return inspect.signature(MODELS[model]).parameters.keys()
