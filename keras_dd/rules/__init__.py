"""What each layer class does to the index sets: one rule a class, in the table `RULES`.

A new layer type costs one rule: add `RULES[MyLayer] = Rule(...)`, or `RULES[MyLayer] = RULES[keras.layers.Conv2D]`
for one that behaves like another.
"""

from keras import layers

from keras_dd.config import UserError
from keras_dd.rules import moves, weights
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
        (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax, layers.Identity), POINTWISE
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
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum"), MERGED),
    **dict.fromkeys(
        ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Silu", "HardSilu", "Gelu", "Sigmoid", "HardSigmoid", "Tanh"),
        POINTWISE,
    ),
}


def rule_of(name, operation):
    """The rule of an operation; layers are looked up by class, `keras.ops` by the name of theirs."""
    key = type(operation) if isinstance(operation, layers.Layer) else type(operation).__name__
    if key in RULES:
        return RULES[key]
    if isinstance(operation, layers.LayerNormalization):
        raise UserError(
            f"layer {name!r} (LayerNormalization) normalises over channels that the parts do not all see: use "
            "BatchNormalization, or GroupNormalization with a number of groups that the number of parts divides"
        )
    raise UserError(
        f"layer {name!r} ({type(operation).__name__}) cannot be dealt to parts: replace it by the layers named in "
        "keras_dd.rules.RULES, or add a rule for it there"
    )
