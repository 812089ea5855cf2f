"""From a card to a network with its weights."""

import inspect

import keras

from keras_dd.config import UserError, unknown, whole
from keras_dd.files import read_vouched
from keras_dd.graph import copy, plain
from keras_dd.models import MODELS
from keras_dd.weights_files import compare_weights
from keras_dd.zoo import arrays, cards, download

HEAD = "head"  # the last layer with weights, in all of our networks
HEADERS = 4 * 2**20  # bytes that a file has besides its numbers, at most: some 400 a weight


def load(name, classes=None, include_top=True):
    """The network of a card, see `keras_dd.zoo.load`."""
    if classes is not None:
        classes = whole("classes", classes, least=2)
        if not include_top:
            raise UserError(f"classes={classes} is for a new head, and include_top=False leaves it out: choose one")
    path = cards.locate(name)
    card = cards.read(path)
    model = build(card, path)
    found = stored(card, path)
    compare_weights(model, [[name, list(array.shape)] for name, array in found.items()], f"weights of {card.name!r}")
    if classes is not None:
        other = build(card, path, classes=classes)
        assign(other, found, but=f"{HEAD}/")
        return copy(other, plain)
    assign(model, found)
    model = copy(model, plain)
    return model if include_top else headless(model)


def headless(model):
    """The network up to what its head gets: from images to features (N, features)."""
    return keras.Model(model.input, model.get_layer(HEAD).input, name=f"{model.name}_features")


def build(card, path, **changes):
    """The network of a card as its builder gives it, not trained; its arguments but for `changes`."""
    if card.architecture not in MODELS:
        raise unknown("architecture", card.architecture, MODELS)
    builder = MODELS[card.architecture]
    odd = sorted(card.arguments.keys() - inspect.signature(builder).parameters.keys())
    if odd:
        raise UserError(f"card {str(path)!r}: {card.architecture!r} takes no argument {odd[0]!r}: get the card again")
    model = builder(**card.arguments | changes)
    if not changes and (model.count_params(), model.output_shape[-1]) != (card.parameters, len(card.data.classes)):
        raise UserError(
            f"card {str(path)!r} says {card.parameters:,} parameters and {len(card.data.classes)} classes, and its "
            f"network has {model.count_params():,} and {model.output_shape[-1]}: get the card again"
        )
    return model


def stored(card, path):
    """{path of a weight: array} of a card's weights: those beside it, or else those behind its url, fetched once."""
    beside = cards.weights_path(path)
    if not beside.exists() and card.weights.url:
        beside = download.fetch(card.weights.url, card.weights.bytes, card.weights.sha256, beside.name)
    limit = 4 * card.parameters + HEADERS
    content = read_vouched(beside, card.weights.bytes, card.weights.sha256, path, limit)
    return arrays.unpack(content, card.weights.dtype, f"weights {str(beside)!r}")


def assign(model, found, but=()):
    """Give the weights of `model` the arrays {path: array}, but those whose paths begin with `but`."""
    for weight in model.weights:
        if not weight.path.startswith(but):
            weight.assign(found[weight.path])
