"""What each layer class does to the index sets: one rule a class, in the table `RULES`.

A new layer type costs one rule: add `RULES[MyLayer] = Rule(...)`, or `RULES[MyLayer] = RULES[keras.layers.Conv2D]`
for one that behaves like another.
"""

from keras import layers

from keras_dd.config import UserError
from keras_dd.fused import FusedBatchNormalization, FusedGelu
from keras_dd.rules import moves, ops, weights
from keras_dd.rules.base import Placement, Rule, Visit

__all__ = ["RULES", "Placement", "Rule", "Visit", "rule_of"]

POINTWISE, MERGED = Rule(moves.same), Rule(moves.merge)

RULES = {
    layers.Conv2D: Rule(weights.conv, weights.conv_config, weights.conv_weights),
    layers.DepthwiseConv2D: Rule(weights.depthwise, weights=weights.depthwise_weights),
    layers.SeparableConv2D: Rule(
        weights.separable, lambda visit, k: {"filters": len(visit.channels(k)[1])}, weights.separable_weights
    ),
    layers.Dense: Rule(weights.dense, lambda visit, k: {"units": len(visit.channels(k)[1])}, weights.dense_weights),
    layers.BatchNormalization: Rule(weights.batch_norm, weights=weights.per_channel),
    FusedBatchNormalization: Rule(weights.batch_norm, weights=weights.per_channel),
    layers.GroupNormalization: Rule(weights.group_norm, weights.group_norm_config, weights.per_channel),
    layers.PReLU: Rule(weights.prelu, weights=weights.prelu_weights),
    layers.Normalization: Rule(moves.same, moves.constants_of("mean", "variance")),
    layers.Rescaling: Rule(moves.same, moves.constants_of("scale", "offset")),
    layers.Flatten: Rule(moves.regroup),
    layers.Reshape: Rule(moves.regroup, moves.reshape_config),
    layers.Permute: Rule(moves.permute),
    layers.Concatenate: Rule(moves.concatenate),
    layers.ZeroPadding2D: Rule(moves.pad, moves.pad_config),
    layers.Cropping2D: Rule(moves.crop),
    layers.UpSampling2D: Rule(moves.upsample),
    **dict.fromkeys((layers.MaxPooling2D, layers.AveragePooling2D), Rule(moves.pool)),
    **dict.fromkeys((layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D), Rule(moves.global_pool)),
    **dict.fromkeys(
        (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum), MERGED
    ),
    **dict.fromkeys(
        (layers.Activation, FusedGelu, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax, layers.Identity),
        POINTWISE,
    ),
    **dict.fromkeys(
        (
            layers.Dropout,
            layers.SpatialDropout2D,
            layers.AlphaDropout,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.ActivityRegularization,
        ),
        POINTWISE,
    ),
    # The classes of keras.ops, as `x + y` and `keras.ops.relu(x)` put them into a functional model.
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power"), MERGED),
    **dict.fromkeys(
        ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Silu", "HardSilu", "Gelu", "Sigmoid", "HardSigmoid", "Tanh"),
        POINTWISE,
    ),
    **dict.fromkeys(
        ("Softplus", "Exp", "Log", "Sqrt", "Square", "Absolute", "Negative", "Clip", "Cast"),
        POINTWISE,
    ),
    **dict.fromkeys(("Mean", "Max", "Min", "Sum"), Rule(ops.reduce)),
    "Concatenate": Rule(moves.concatenate),
    "Reshape": Rule(moves.regroup, ops.reshape_config),
    "Transpose": Rule(ops.transpose),
    "ExpandDims": Rule(ops.expand),
    "GetItem": Rule(ops.get_item),
}

# What a subclass may define and still be the layer that it is a subclass of.
HARMLESS = {"get_config", "from_config"}


def rule_of(name, operation):
    """The rule of an operation; layers are looked up by class, `keras.ops` by the name of theirs.

    A subclass of a layer has its rule where it only sets options: it may define `__init__`, `get_config` and methods of
    its own, but override nothing that computes.
    """
    kind = type(operation)
    if not isinstance(operation, layers.Layer):
        if kind.__name__ in RULES:
            return RULES[kind.__name__]
    elif base := next((c for c in kind.__mro__ if c in RULES), None):
        changed = _overridden(kind, base)
        if not changed:
            return RULES[base]
        raise UserError(
            f"layer {name!r} ({kind.__name__}) is a {base.__name__} with its own {' and '.join(changed)}: if its "
            f"weights and channels are still those of a {base.__name__}, set "
            f"keras_dd.rules.RULES[{kind.__name__}] = RULES[{base.__name__}]"
        )
    if isinstance(operation, layers.LayerNormalization):
        raise UserError(
            f"layer {name!r} (LayerNormalization) normalises over channels that the parts do not all see: use "
            "BatchNormalization, or GroupNormalization with a number of groups that the number of parts divides"
        )
    raise UserError(
        f"layer {name!r} ({kind.__name__}) cannot be dealt to parts: replace it by the layers named in "
        "keras_dd.rules.RULES, or add a rule for it there"
    )


def _overridden(kind, base):
    """What the classes from `kind` up to `base` define anew of what `base` has, constructor and config left out."""
    classes = kind.__mro__[: kind.__mro__.index(base)]
    names = {name for c in classes for name in vars(c) if hasattr(base, name)} - HARMLESS
    return sorted(name for name in names if name == "__call__" or not name.startswith("__"))
