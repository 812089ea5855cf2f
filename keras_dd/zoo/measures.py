"""What a network's answers on a whole test split say of it, for its card."""

import dataclasses

import numpy as np

from keras_dd import confusion, data
from keras_dd.config import Settings, UserError
from keras_dd.evaluation import accuracies, predictions
from keras_dd.zoo.cards import Confusion, Scores

BINS = 15  # of the calibration error, as most papers have it
# Scores that are measured again agree within this: rounding differs from machine to machine.
AGREEMENT = 0.0005


def dataset_of(card, data_dir=None, dataset=None):
    """The data set of a card, loaded as it was for training.

    Args:
        card: the card.
        data_dir: of TensorFlow Datasets.
        dataset: where a folder of images is now; by default the name, or the folder, that the run was given.

    Raises:
        UserError: what `data.load` raises; images that are not those that the card's scores were measured on.
    """
    known = {field.name for field in dataclasses.fields(Settings)}  # a card may be of a version with others
    s = Settings(**{name: value for name, value in card.training.settings.items() if name in known})
    loaded = data.load(dataset or s.dataset, data_dir, 0.0, s.seed, s.split, s.image_size, s.skip_bad_images)
    if loaded.test.mark != card.data.mark:
        raise UserError(
            f"the test images of {loaded.name!r} are not those that {card.name!r} was measured on: get the same ones, "
            "its card says which"
        )
    return loaded


def measure(model, split, classes, views=1):
    """The `Scores` of a network on a whole split, whose classes are named, with those by test-time views."""
    answers = predictions(model, data.evaluation_batches(split), min(5, len(classes)))
    return with_views(scores(answers, classes), model, split, views)


def with_views(found, model, split, views):
    """The `Scores` with the accuracy of mean scores over so many views of each image, see `evaluation.views_of`."""
    if views == 1:
        return found
    [by_views] = accuracies(model, data.evaluation_batches(split), views=views)
    return dataclasses.replace(found, views=views, by_views=by_views)


def scores(answers, classes):
    """The `Scores` in `evaluation.Predictions`.

    top1, top5: fractions of the images whose class is the first, or among the first five (None for five classes or
    fewer); views, by_views: 1 and None, see `with_views`; per_class: top1 of each class, None without images; confused:
    up to ten pairs, the most frequent first; calibration_error: sum over 15 equal bins of confidence of
    |accuracy - mean confidence| * share of the images (Guo et al., "On calibration of modern neural networks", 2017,
    eq. 3).
    """
    labels, hits = answers.labels.astype(int), answers.ranked[:, 0] == answers.labels
    images, right = (np.bincount(each, minlength=len(classes)) for each in (labels, labels[hits]))
    per_class = [float(r / n) if n else None for r, n in zip(right, images, strict=True)]
    confused = confusion.summary(answers, classes)["confused"]
    return Scores(
        images=len(labels),
        top1=answers.accuracies()[0],
        top5=answers.accuracies((5,))[0] if len(classes) > 5 else None,
        views=1,
        by_views=None,
        per_class=tuple(per_class),
        confused=tuple(
            Confusion(classes[each["label"]], classes[each["predicted"]], each["images"]) for each in confused
        ),
        calibration_error=_calibration_error(np.nan_to_num(answers.confidences).astype(float), hits),
        calibration_bins=BINS,
    )


def agree(first, second):
    """Whether two `Scores` of the same images are the same but for rounding: 0.05 points, or one image."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("top1", "top5", "by_views")]
    if first.images != second.images or any((a is None) != (b is None) for a, b in pairs):
        return False
    gaps = [abs((a or 0) - (b or 0)) for a, b in pairs]
    return round(max(gaps) * first.images) <= max(AGREEMENT * first.images, 1)


def _calibration_error(confidences, hits):
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, hits - confidences, minlength=BINS)  # the sum of a bin is its share times its gap
    return float(np.abs(gaps).sum() / len(hits))
