"""rules/: every layer that the walk carries.

Each network of bodies.py is taken apart with an overlap of the whole side, so that every box is the whole image.  Then
the composed network gives the mean of the sub-networks' scores whatever the layer, "same" padding and Flatten
included: there are no inner borders.  What inner borders do is tested in test_composition.py.
"""

import functools

import keras
import numpy as np
import pytest
from bodies import BODIES, SIDE, conv, decomposed, network
from conftest import assert_mean, images_for, randomize
from keras import layers

from keras_dd import compose
from keras_dd.graph import operations
from keras_dd.rules import RULES


@functools.cache
def network_of(body):
    return network(BODIES[body])


# Those whose channels are dealt in another way where K is 2.
IN_HALVES = [
    *("groups that the parts divide", "2 groups", "3 groups", "depthwise", "separable", "group norm", "concatenate"),
    *("flatten", "shuffle", "identity shortcut", "squeeze and excite", "nested models"),
]


# Where K is 3 it divides no width.
IN_THIRDS = [
    *("groups that the parts divide", "2 groups", "3 groups", "separable", "group norm", "concatenate", "flatten"),
    *("shuffle", "identity shortcut", "constants", "keras.ops"),
]


@pytest.mark.parametrize(
    ("body", "parts"),
    [*((body, 4) for body in BODIES), *((body, 2) for body in IN_HALVES), *((body, 3) for body in IN_THIRDS)],
)
def test_the_composed_network_is_the_mean_of_its_subnetworks(body, parts, rng):
    model = network_of(body)
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, parts)]
    widths = [subnet.get_layer("stem").filters for subnet in subnets]
    assert sum(widths) == 16 and (parts == 3 or set(widths) == {16 // parts})
    assert_mean(compose(subnets, model), subnets, rng.normal(0, 1, (3, SIDE, SIDE, 3)).astype("float32"))


# Networks that are more than a body.


def conv_head(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.GlobalAveragePooling2D()(conv(5, 1, name="head")(x))


def separable_head(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.GlobalAveragePooling2D()(layers.SeparableConv2D(5, 3, name="head")(x))


def normalized_image(image):
    """Constants for each channel of the image are every part's."""
    x = layers.Normalization(mean=[120, 125, 130], variance=[3600, 3900, 4200])(image)
    x = layers.Rescaling([1, 0.5, 2], offset=[0, 1, 2])(x)
    return layers.Dense(5)(layers.GlobalMaxPooling2D()(conv(16, 3)(x)))


def adapted_image(image):
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).uniform(0, 255, (50, SIDE, SIDE, 3)))
    return layers.Dense(5)(layers.Flatten()(conv(16, 3)(normalization(image))))


def grouped_image(image):
    x = conv(24, 3, groups=3)(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return layers.Dense(5)(layers.Flatten()(conv(16, 3)(x)))


def linear(image):
    return layers.Dense(5)(layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(image)))


def two_heads(image):
    x = conv(16, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(image))
    a, b = layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), layers.Dense(5)(layers.GlobalMaxPooling2D()(x))
    return layers.Average()([a, b])


def sequential():
    chain = [layers.Rescaling(1 / 127.5, offset=-1), conv(16, 3), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *chain, layers.Flatten(), layers.Dense(5)])


HEADS = [conv_head, separable_head, normalized_image, adapted_image, grouped_image, linear, two_heads, sequential]


@pytest.mark.parametrize("build", HEADS)
def test_whole_networks_compose_to_the_mean(build, rng):
    image = keras.Input((SIDE, SIDE, 3))
    model = build() if build is sequential else keras.Model(image, build(image))
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    assert_mean(compose(subnets, model), subnets, images_for(model, rng))


def test_two_outputs_are_composed_each(rng):
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(conv(16, 3)(layers.Rescaling(1 / 127.5)(image)))
    model = keras.Model(image, [layers.Dense(5)(x), layers.Dense(2)(x)])
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    images = images_for(model, rng)
    composed = compose(subnets, model)(images)
    for i, units in enumerate((5, 2)):
        assert composed[i].shape == (3, units)
        np.testing.assert_allclose(composed[i], np.mean([subnet(images)[i] for subnet in subnets], axis=0), atol=1e-5)


def test_every_rule_is_tested():
    """Each layer class and operation in RULES is in one of the networks of the table."""
    tested = {type(operation) for body in BODIES for operation in operations(network_of(body)).values()}
    missing = RULES.keys() - tested - {kind.__name__ for kind in tested if not issubclass(kind, layers.Layer)}
    assert missing == {layers.Softmax}, "only over the classes, and then the mean is of probabilities"


def test_a_layer_called_twice_on_like_channels_is_composed(rng):
    layer = conv(16, 3, activation="tanh", name="twice")
    model = network(lambda x: layer(layer(x)))
    subnets = [randomize(subnet, rng) for subnet in decomposed(model, 4)]
    assert sum(layer.name == "twice" for layer in subnets[0].layers) == 1
    assert_mean(compose(subnets, model), subnets, images_for(model, rng) / 255)


def test_a_nested_model_keeps_its_training_flag(rng):
    """Dropout that is always on, as for Monte Carlo estimates: it is on in the sub-networks too."""
    inner = keras.Input((SIDE, SIDE, 16))
    body = keras.Model(inner, layers.Dropout(0.5)(keras.Sequential([conv(16, 3), layers.Dropout(0.5)])(inner)))
    images = rng.normal(0, 1, (3, SIDE, SIDE, 3)).astype("float32")
    for flag in (True, False):
        model = network(lambda x: body(x, training=flag))  # noqa: B023
        part = decomposed(model, 4)[0]
        differ = [not np.allclose(each(images), each(images)) for each in (model, part)]
        assert differ == [flag, flag]
