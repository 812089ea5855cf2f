"""Trained networks with cards: `load` one by its name, look at what is known of it.

TensorFlow is imported by `load` only.
"""

from keras_dd.zoo.cards import card, models

__all__ = ["card", "load", "models"]


def load(name, classes=None, include_top=True):
    """The trained network `name`, a plain `keras.Model` that takes raw images (N, H, W, C), 0..255.

    Args:
        name: one of `models()`, or the path of a card, as "zoo/mine.json", with its weights beside it.
        classes: gives it a new head, not trained, for so many classes; all other weights are the trained ones.
        include_top: False leaves out the head: the network then gives the features that the head gets.

    Returns:
        The model; it gives logits (N, classes), in the order of `card(name).data.classes`, or features (N, features).

    Raises:
        UserError: an unknown name, weights that are not those of the card, or that could not be downloaded.
    """
    from keras_dd.zoo import loading

    return loading.load(name, classes, include_top)
