"""Train a wide CNN from K narrow ones, by domain decomposition.

Names are fetched when they are first used, so that `import keras_dd` does not import TensorFlow.
"""

import os
import platform
from importlib import import_module
from typing import TYPE_CHECKING

from keras_dd.config import Settings, UserError
from keras_dd.recipes import RECIPES

if TYPE_CHECKING:
    from keras_dd import data, models, zoo
    from keras_dd.batchnorm import reestimate
    from keras_dd.composition import compose
    from keras_dd.decomposition import decompose
    from keras_dd.folding import fold_batchnorm
    from keras_dd.fused import accelerate
    from keras_dd.pipeline import fit, resume
    from keras_dd.recomputation import recompute
    from keras_dd.widening import widen

# With oneDNN's convolutions a small ResNet trains about twice as fast; by default TensorFlow has them only on CPUs with
# neural-network instructions.  It reads this once, when it is imported.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
__all__ = [
    "RECIPES",
    "Settings",
    "UserError",
    "accelerate",
    "compose",
    "data",
    "decompose",
    "fit",
    "fold_batchnorm",
    "models",
    "recompute",
    "reestimate",
    "resume",
    "widen",
    "zoo",
]

_HOMES = {
    "accelerate": "fused",
    "compose": "composition",
    "decompose": "decomposition",
    "fit": "pipeline",
    "fold_batchnorm": "folding",
    "recompute": "recomputation",
    "reestimate": "batchnorm",
    "resume": "pipeline",
    "widen": "widening",
}


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"keras_dd.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"keras_dd.{name}")
    raise AttributeError(f"module 'keras_dd' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
