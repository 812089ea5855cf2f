"""Whether weights are still those of their cards; without TensorFlow, and without opening what is in them."""

from keras_dd.config import UserError
from keras_dd.files import read_vouched
from keras_dd.zoo import cards, download


def verify(name):
    """(state, what there is to say of it): "sound", "damaged" or, for weights behind a url, "not downloaded".

    UserError: an unknown name.
    """
    path = cards.locate(name)
    try:
        card = cards.read(path)
        weights = cards.weights_path(path)
        if card.weights.url and not weights.exists():
            weights = download.kept(card.weights.sha256, weights.name)
            if not weights.exists():
                return "not downloaded", card.weights.url
        read_vouched(weights, card.weights.bytes, card.weights.sha256, path)
    except UserError as error:
        return "damaged", str(error)
    return "sound", f"{card.weights.bytes:,} bytes, sha256 {card.weights.sha256[:16]}..."
