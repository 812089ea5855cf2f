"""What the first layer of a finished run sees, and how far fine-tuning moved the blocks of every layer."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_dd import finished, mosaics
from keras_dd.channels import walk
from keras_dd.composition import compose
from keras_dd.config import UserError, whole
from keras_dd.decomposition import Decomposition
from keras_dd.graph import again, copy, operations, replay
from keras_dd.job import Job
from keras_dd.rules import Visit
from keras_dd.weights_files import load_weights


@dataclass(frozen=True)
class Networks:
    """The networks of a finished run: its sub-networks, what they composed, that fine-tuned, and one never trained.

    The composed network is as it was before its batch-norm statistics were estimated again.
    """

    job: Job
    parts: Decomposition
    composed: keras.Model
    finetuned: keras.Model
    random: keras.Model

    @property
    def split(self):
        """The split that the run was evaluated on."""
        return getattr(self.job.dataset, self.job.evaluated_on)


def load(run_dir):
    """The `Networks` of a finished run, built and composed again from its config.json and its weights.

    Raises:
        UserError: a run that is not finished, that had no sub-networks, or whose network or images were objects of the
            user's own; weights or data that are not the run's any more.
    """
    job = finished.job(run_dir)
    settings = job.settings
    paths = [Path(run_dir) / f"subnet{k}.weights.h5" for k in range(1, settings.parts + 1)]
    if not job.parts or not paths[0].exists():
        raise UserError(f"the run in {str(run_dir)!r} has no sub-networks: there are no feature maps to compare")
    for subnet, path in zip(job.parts, paths, strict=True):
        load_weights(subnet, path)
    finetuned = copy(job.model)
    load_weights(finetuned, Path(run_dir) / "model.weights.h5")
    composed = compose(job.parts, job.model, settings.off_diagonal, settings.seed, head_scale=settings.head_scale)
    random = keras.models.clone_model(job.model, clone_function=again, recursive=True)  # that of a file is trained
    return Networks(job, job.parts, composed, finetuned, random)


def first_convolution(networks):
    """The `Visit` of the first Conv2D of the full network whose channels are the parts', not the image's."""
    visits = walk(networks.job.model, networks.parts.boxes)
    convolutions = (visit for visit in visits if isinstance(visit.operation, keras.layers.Conv2D))
    found = next((visit for visit in convolutions if not visit.is_of_image), None)
    if found is None:
        raise UserError(f"model {networks.job.model.name!r} has no Conv2D: there are no feature maps to draw")
    return found


def maps(model, layer, images):
    """The output of a layer, named as `graph.replay` names it, for images (N, H, W, C): (N, h, w, channels)."""
    found = {}

    def call(name, operation, *args, **kwargs):
        found[name] = operation(*args, **kwargs)
        return found[name]

    replay(model, [tf.constant(images)], call)
    return np.asarray(tf.cast(found[layer], tf.float32))


def subnet_maps(networks, visit, images):
    """The maps of the sub-networks, each at the place of its box and its channels: (N, h, w, channels) of the full one.

    NaN where the sub-network of a channel sees nothing.
    """
    whole = np.full((len(images), *visit.output.shape), np.nan, np.float32)
    for k, (subnet, box) in enumerate(zip(networks.parts, networks.parts.boxes, strict=True)):
        places = np.ix_(np.arange(len(images)), *visit.output.part(k))
        whole[places] = maps(subnet, visit.name, box.of(images))
    return whole


def kernel(model, layer):
    """The kernel of a layer, (height, width, channels in, channels out)."""
    return np.asarray(operations(model)[layer].kernel)


def movement(networks):
    """How far fine-tuning moved the blocks of each kernel.

    Returns:
        A list of dicts, one for each layer with a kernel, in the order of computation:
        layer: its name;
        diagonal: {"before", "after", "moved"}, the Euclidean norms of the blocks that were composed from the
            sub-networks, before and after fine-tuning, and of the difference, as a fraction of that before;
        off_diagonal: {"before", "after"}, of the blocks between the parts; None for a layer that has none: where all
            parts see the same channels, as the first layer, or give the same, as the head.
    """
    visits = {visit.name: visit for visit in walk(networks.job.model, networks.parts.boxes)}
    before, after = operations(networks.composed), operations(networks.finetuned)
    found = []
    for name, visit in visits.items():
        for number, weight in enumerate(visit.operation.weights if visit.rule.weights else ()):
            if len(weight.shape) < 2:
                continue
            old, new = (np.asarray(layers[name].weights[number], np.float64) for layers in (before, after))
            own = _diagonal(visit, number, len(networks.parts))
            diagonal = {"before": _norm(old[own]), "after": _norm(new[own])}
            diagonal["moved"] = _norm((new - old)[own]) / max(diagonal["before"], np.finfo(float).tiny)
            between = {"before": _norm(old[~own]), "after": _norm(new[~own])} if not own.all() else None
            found.append({"layer": name, "diagonal": diagonal, "off_diagonal": between})
    return found


def table(layers):
    """The numbers of `movement` in lines of at most 80 columns."""
    lines = [
        f"{'':28}{'composed blocks (diagonal)':>28}{'between them':>22}",
        f"{'layer':28}{'before':>9}{'after':>9}{'moved':>10}{'before':>11}{'after':>11}",
    ]
    for each in layers:
        name, on, off = each["layer"], each["diagonal"], each["off_diagonal"]
        name = name if len(name) <= 27 else f"...{name[-24:]}"
        between = f"{off['before']:11.3f}{off['after']:11.3f}" if off else f"{'–':>11}{'–':>11}"
        lines.append(f"{name:28}{on['before']:9.3f}{on['after']:9.3f}{100 * on['moved']:8.1f} %{between}")
    return lines


def draw(networks, folder, indices):
    """Draw the maps of these images of the evaluated split, and the kernels, into a folder: the list of paths."""
    split, visit = networks.split, first_convolution(networks)
    for index in indices:
        if whole("image", index, least=0) >= len(split):
            raise UserError(
                f"image {index} is not there: the {networks.job.evaluated_on} split has 0 to {len(split) - 1}"
            )
    images = split.batch(np.array(indices))[0].numpy()
    owned = [visit.channels(k)[1] for k in range(len(networks.parts))]
    others = {
        "composed": networks.composed,
        "fine-tuned": networks.finetuned,
        "random initialisation": networks.random,
    }
    kinds = {"sub-networks, each on its box": subnet_maps(networks, visit, images)}
    kinds |= {name: maps(model, visit.name, images) for name, model in others.items()}
    folder.mkdir(exist_ok=True)
    paths = [folder / f"image-{index}.png" for index in indices] + [folder / "kernels.png"]
    for number, path in enumerate(paths[:-1]):
        shown = {name: values[number] for name, values in kinds.items()}
        mosaics.feature_maps(path, images[number], networks.parts.boxes, owned, shown)
    kernels = {name: kernel(model, visit.name) for name, model in others.items()}
    kernels["what fine-tuning changed"] = kernels["fine-tuned"] - kernels["composed"]
    mosaics.kernels(paths[-1], owned, kernels)
    return paths


def _diagonal(visit: Visit, number, parts):
    """Which entries of a layer's weight belong to some part."""
    own = np.zeros(visit.operation.weights[number].shape, bool)
    for k in range(parts):
        own[visit.rule.weights(visit, k)[number].full] = True
    return own


def _norm(values):
    return float(np.linalg.norm(values))
