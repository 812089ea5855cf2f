"""The networks that can be asked for by name: `MODELS[name](width, classes, image_shape)` builds one."""

from functools import partial

from keras_dd.models.bottleneck import STACKS, bottleneck
from keras_dd.models.cnn import cnn
from keras_dd.models.fastresnet import PUBLISHED, fastresnet
from keras_dd.models.resnet import DEPTHS, resnet
from keras_dd.models.speednet import speednet

MODELS = {"cnn": cnn, "speednet": speednet} | {f"resnet{depth}": partial(resnet, depth) for depth in DEPTHS}
MODELS |= {f"resnet{depth}": partial(bottleneck, depth) for depth in STACKS}
MODELS |= {f"fastresnet{depth}": partial(fastresnet, depth) for depth in PUBLISHED}

__all__ = ["MODELS", "bottleneck", "cnn", "fastresnet", "resnet", "speednet"]
