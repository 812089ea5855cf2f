"""A run that is ready to start: what was left to defaults is settled, everything is built, nothing is trained."""

import dataclasses
import hashlib
import inspect
import json
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_dd import data, devices, scalars
from keras_dd.boxes import grid_of, overlap_of
from keras_dd.config import (
    EVALUATION_BATCH,
    REESTIMATION_IMAGES,
    TOP5_CLASSES,
    UNMIRRORED,
    WIDTH,
    WORKERS_PAY,
    Settings,
    UserError,
    shown,
    unknown,
)
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.graph import image_of, operations
from keras_dd.models import MODELS
from keras_dd.recipes import RECIPES
from keras_dd.stacking import are_narrow
from keras_dd.userfiles import load_model

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


@dataclass(frozen=True)
class Job:
    """The settings, the data, the full network, its parts (None: it is trained as a whole) and their devices.

    `own_data` says that the data set was handed over as an object.  A task of an engine knows no networks but its own.
    """

    settings: Settings
    dataset: data.Dataset
    model: keras.Model | None
    parts: Decomposition | None
    devices: tuple[str, ...]
    own_data: bool = False

    @property
    def evaluated_on(self):
        """The split whose accuracy is reported: while training images are held out, the test split is not looked at."""
        return "validation" if self.dataset.validation else "test"

    @property
    def accuracies(self):
        """{key: n} of what is measured: the right class is among the n highest scores."""
        return {"accuracy": 1} | ({"top5_accuracy": 5} if len(self.dataset.classes) >= TOP5_CLASSES else {})

    @property
    def stages(self):
        """{name: Stage} of what is trained, in this order."""
        s, recipe = self.settings, RECIPES[self.settings.recipe]
        if s.method == "conventional":
            return {"baseline": _stage(recipe.baseline, s, s.epochs, s.learning_rate)}
        return {
            "subnets": _stage(recipe.subnets, s, s.subnet_epochs, s.subnet_learning_rate),
            "finetune": _stage(recipe.finetune, s, s.epochs, s.learning_rate),
        }

    @property
    def made_of(self):
        """Marks of the model and of the images, by which others are told from them when a run goes on.

        Constants of a network that is built by name follow from the settings and the images, and may do so with other
        last digits on another machine.
        """
        layers = [
            [type(o).__name__, [list(w.shape) for w in getattr(o, "weights", ())]]
            for o in operations(self.model).values()
        ]
        frozen = () if self.settings.model in MODELS else self.model.non_trainable_weights
        constants = [weight.numpy().tobytes() for weight in frozen]
        return {"model": _mark(json.dumps(layers).encode(), *constants), "dataset": self.dataset.train.mark}

    @property
    def steps_per_epoch(self):
        return data.steps_per_epoch(self.dataset.train, self.settings.batch_size)

    def batches(self, epoch, step=0):
        s = self.settings
        augmentation = {name: getattr(s, name) for name in ("flip", "alternate", "crop", "padding")}
        return data.training_batches(self.dataset.train, s.batch_size, s.seed, epoch, first_step=step, **augmentation)

    def feed(self, stage):
        """`batches(epoch, step)` of a stage of training: each epoch of a run has its own order of images."""
        names = list(self.stages)
        before = sum(self.stages[name].epochs for name in names[: names.index(stage)])
        return lambda epoch, step: self.batches(before + epoch, step)

    def evaluation(self):
        share = -(-EVALUATION_BATCH // len(self.devices))
        return data.evaluation_batches(getattr(self.dataset, self.evaluated_on), share * len(self.devices))

    def whole_images(self):
        """Some thousand training images for batch norm, not augmented."""
        s = self.settings
        batches = data.training_batches(self.dataset.train, s.batch_size, s.seed, first_epoch=0, flip=False)
        count = min(self.steps_per_epoch, -(-REESTIMATION_IMAGES // s.batch_size))
        return (images for images, _ in batches.take(count))


def prepare(settings, model=None, dataset=None):
    """Everything that comes before training: load, build, decompose, and settle what was left to defaults."""
    if settings.tensorboard:
        scalars.check()
    names = devices.pick(settings.devices) if settings.engine == "local" else devices.only_cpu()
    seed(settings)
    if model is None and settings.model.endswith(".keras"):
        model = load_model(settings.model)
    _refuse_what_would_be_ignored(settings, model, dataset)
    own_data, dataset = dataset is not None, images(settings, dataset)
    settings = _resolved(settings, named=model is None)
    if settings.dtype == "auto":
        settings = dataclasses.replace(settings, dtype=devices.fastest_dtype(names))
    model = model or _build(settings, dataset)
    _check_that_all_fits(settings, model, dataset, names)
    parts = None
    if settings.method == "decomposition":
        parts = decompose(model, settings.parts, settings.overlap, settings.grid)
        settings = dataclasses.replace(
            settings,
            grid=settings.grid or grid_of(settings.parts),
            overlap=overlap_of(parts.boxes) if settings.overlap is None else settings.overlap,
        )
    job = Job(settings, dataset, model, parts, names, own_data)
    if settings.workers is None:
        job = dataclasses.replace(job, settings=dataclasses.replace(settings, workers=_workers(job)))
    job.batches(0)  # refuses here, before anything is written, a batch size or a crop that does not fit
    return job


def seed(settings):
    """What is random in this process, from here on."""
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()


def images(settings, dataset=None):
    """The data set of a run; one that was handed over takes the place of the one that the settings name."""
    s = settings
    if dataset is None:
        dataset = data.load(s.dataset, s.data_dir, s.validation_split, s.seed, s.split, s.image_size, s.skip_bad_images)
    return _fewer(dataset, settings)


def _fewer(dataset, settings):
    """The data set with `train_images` of its training images: as many of each class, drawn by the seed."""
    count, images = settings.train_images, len(dataset.train)
    if count is None or count == images:
        return dataset
    if count > images:
        raise UserError(
            f"train_images is {count}: {dataset.name!r} has {images} training images, ask for at most these"
        )
    _, some = data.hold_out(dataset.train, count / images, settings.seed)
    return dataclasses.replace(dataset, train=some)


def _workers(job):
    """How many processes train the sub-networks; 1: this one.

    `keras-dd bench` measures what more bring to narrow networks.  The layers of an own network may be unknown there,
    and results that are to be the same to the last bit are not to hang on the number of cores.
    """
    s, cores = job.settings, devices.cores()
    if not job.parts or s.engine != "local" or s.deterministic or s.model not in MODELS or job.devices != ("CPU:0",):
        return 1
    if not isinstance(job.dataset.train, data.Split):  # each worker would decode all images
        return 1
    images = job.stages["subnets"].epochs * job.steps_per_epoch * s.batch_size * len(job.parts)
    return min(cores, len(job.parts)) if are_narrow(job.parts) and images >= WORKERS_PAY else 1


def _refuse_what_would_be_ignored(settings, model, dataset):
    if model is None and settings.model not in MODELS:
        raise unknown("model", settings.model, MODELS)
    for name in KINDS.keys() - _options(settings.model) if model is None else ():
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


def _check_that_all_fits(settings, model, dataset, names):
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
    if (settings.workers or 1) > 1 and not isinstance(dataset.train, data.Split):
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


def _resolved(settings, named):
    """The settings with those of the recipe and of the (named) model put in where nothing was asked for."""
    recipe = RECIPES[settings.recipe]
    is_decomposed = settings.method == "decomposition"
    last = recipe.finetune if is_decomposed else recipe.baseline
    flip, crop = settings.flip, settings.crop
    if flip is None:
        flip = recipe.flip and settings.dataset.partition("/")[0] not in UNMIRRORED
    if crop is None:
        crop = recipe.crop
    defaults = {
        "epochs": last.epochs,
        "learning_rate": last.learning_rate,
        "batch_size": recipe.batch_size,
        "width": WIDTH if named else None,
        "flip": flip,
        "alternate": recipe.alternate and flip,
        "crop": crop,
        "padding": recipe.padding if crop else "black",
    }
    if is_decomposed:
        defaults |= {
            "subnet_epochs": recipe.subnets.epochs,
            "subnet_learning_rate": recipe.subnets.learning_rate,
            "overlap": 0 if settings.model == "cnn" else None,  # the boxes of Fig. 1 do not overlap
        }
    asked = dataclasses.asdict(settings)
    return dataclasses.replace(settings, **{name: value for name, value in defaults.items() if asked[name] is None})


def _stage(stage, settings, epochs, learning_rate):
    """A stage of the recipe as the resolved settings have it."""
    asked = {name: getattr(settings, name) for name in STAGE_FIELDS if getattr(settings, name) is not None}
    return dataclasses.replace(stage.lasting(epochs), learning_rate=learning_rate, **asked)


def _options(model):
    """The arguments of a named network's builder."""
    return inspect.signature(MODELS[model]).parameters.keys()


def _mark(*parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def arguments(settings, dataset):
    """{name: value} that the builder of the network that `settings` name is called with."""
    options = {name: getattr(settings, name) for name in KINDS.keys() & _options(settings.model)}
    if RECIPES[settings.recipe].standardize:
        options["moments"] = data.moments(dataset.train)
    shape = {"width": settings.width, "classes": len(dataset.classes), "image_shape": dataset.image_shape}
    return shape | options


def _build(settings, dataset):
    options = arguments(settings, dataset)
    if "whitening" in _options(settings.model):  # a weight of the network, and no argument that a card could hold
        options["whitening"] = data.whitening(dataset.train, options.get("moments"))
    with devices.computing_in(settings.dtype):
        return MODELS[settings.model](**options)
