"""Train a wide CNN from K narrow ones, by domain decomposition.

Names are fetched when they are first used, so that `import keras_dd` does not import TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from keras_dd.config import RECIPES, Settings, UserError

if TYPE_CHECKING:
    from keras_dd import data, models
    from keras_dd.batchnorm import reestimate
    from keras_dd.composition import compose
    from keras_dd.decomposition import decompose
    from keras_dd.pipeline import fit, resume

__version__ = "0.1.0"
__all__ = ["RECIPES", "Settings", "UserError", "compose", "data", "decompose", "fit", "models", "reestimate", "resume"]

_HOMES = {
    "compose": "composition",
    "decompose": "decomposition",
    "fit": "pipeline",
    "reestimate": "batchnorm",
    "resume": "pipeline",
}


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"keras_dd.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"keras_dd.{name}")
    raise AttributeError(f"module 'keras_dd' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
