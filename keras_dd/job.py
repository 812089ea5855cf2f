"""A run that is ready to start: what was left to defaults is settled, everything is built, nothing is trained."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_dd import data, devices, refusals, scalars
from keras_dd.boxes import grid_of, near, overlap_of
from keras_dd.config import (
    EVALUATION_BATCH,
    REESTIMATION_IMAGES,
    TOP5_CLASSES,
    UNMIRRORED,
    WIDTH,
    WORKERS_PAY,
    Settings,
    UserError,
)
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.graph import operations
from keras_dd.models import MODELS
from keras_dd.recipes import RECIPES
from keras_dd.refusals import KINDS, STAGE_FIELDS
from keras_dd.stacking import are_narrow
from keras_dd.userfiles import load_model


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
    refusals.what_would_be_ignored(settings, model, dataset)
    own_data, dataset, named = dataset is not None, images(settings, dataset), model is None
    settings = _resolved(settings, named)
    if settings.dtype == "auto":
        settings = dataclasses.replace(settings, dtype=devices.fastest_dtype(names))
    model = model or _build(settings, dataset)
    refusals.what_does_not_fit(settings, model, dataset, names)
    parts = None
    if settings.method == "decomposition":
        grid, overlap = settings.grid or grid_of(settings.parts), settings.overlap
        if overlap is None:
            overlap = near(dataset.image_shape, grid, RECIPES[settings.recipe].overlap)
        parts = decompose(model, settings.parts, overlap, grid)
        overlap = overlap_of(parts.boxes) if settings.overlap is None else overlap
        settings = dataclasses.replace(settings, grid=grid, overlap=overlap)
    job = Job(settings, dataset, model, parts, names, own_data)
    if settings.workers is None:
        job = dataclasses.replace(job, settings=dataclasses.replace(settings, workers=_workers(job, named)))
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


def _workers(job, named):
    """How many processes train the sub-networks; 1: this one.

    `keras-dd bench` measures what more bring to narrow networks.  The layers of an own network may be unknown there,
    and results that are to be the same to the last bit are not to hang on the number of cores.
    """
    s, cores = job.settings, devices.cores()
    if not (job.parts and named) or s.engine != "local" or s.deterministic or job.devices != ("CPU:0",):
        return 1
    if not isinstance(job.dataset.train, data.Split):  # each worker would decode all images
        return 1
    images = job.stages["subnets"].epochs * job.steps_per_epoch * s.batch_size * len(job.parts)
    return min(cores, len(job.parts)) if are_narrow(job.parts) and images >= WORKERS_PAY else 1


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
        }
    asked = dataclasses.asdict(settings)
    return dataclasses.replace(settings, **{name: value for name, value in defaults.items() if asked[name] is None})


def _stage(stage, settings, epochs, learning_rate):
    """A stage of the recipe as the resolved settings have it."""
    asked = {name: getattr(settings, name) for name in STAGE_FIELDS if getattr(settings, name) is not None}
    return dataclasses.replace(stage.lasting(epochs), learning_rate=learning_rate, **asked)


def _mark(*parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def arguments(settings, dataset):
    """{name: value} that the builder of the network that `settings` name is called with."""
    options = {name: getattr(settings, name) for name in KINDS.keys() & refusals.options(settings.model)}
    if RECIPES[settings.recipe].standardize:
        options["moments"] = data.moments(dataset.train)
    shape = {"width": settings.width, "classes": len(dataset.classes), "image_shape": dataset.image_shape}
    return shape | options


def _build(settings, dataset):
    options = arguments(settings, dataset)
    # A weight of the network, and no argument that a card could hold.
    if "whitening" in refusals.options(settings.model):
        options["whitening"] = data.whitening(dataset.train, options.get("moments"))
    with devices.computing_in(settings.dtype):
        return MODELS[settings.model](**options)
