"""graph.py: replaying, copying and naming the operations of functional models."""

import keras
import numpy as np
import pytest
from conftest import images_for, randomize, scores
from keras import layers

from keras_dd.config import UserError
from keras_dd.graph import again, copy, image_of, is_softmax, operations, replay


def nested():
    """Two models within a model, a Sequential and a functional one."""
    tail = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, name="conv")], name="tail")
    x = inner = keras.Input((8, 8, 4))
    body = keras.Model(inner, [tail(layers.ReLU(name="relu")(x)), layers.ReLU(name="other")(x)], name="body")
    image = keras.Input((8, 8, 3))
    small, large = body(layers.Conv2D(4, 1, name="stem")(image))
    x = layers.Add(name="add")([layers.GlobalAveragePooling2D(name=n)(v) for n, v in (("a", small), ("b", large))])
    return keras.Model(image, keras.ops.relu(layers.Dense(3, name="head")(x) * 0.5))


def test_operations_have_the_names_of_the_models_around_them():
    names = list(operations(nested()))
    assert names[0] == "stem" and names.index("body.relu") < names.index("body.tail.conv") < names.index("a")
    assert sorted(names[1:4]) == ["body.other", "body.relu", "body.tail.conv"]
    assert names[6:8] == ["add", "head"] and len(names) == 10


def test_replay_with_the_operations_themselves_is_the_model(rng):
    model = randomize(nested(), rng)
    images = images_for(model, rng) / 255
    (output,) = replay(model, [images], lambda name, operation, *args, **kwargs: operation(*args, **kwargs))
    np.testing.assert_allclose(output, scores(model, images), atol=1e-6)


def test_copy_has_the_weights_and_shares_none(rng):
    model = randomize(nested(), rng)
    images = images_for(model, rng) / 255
    before, nodes = scores(model, images), [len(layer._inbound_nodes) for layer in model.layers]
    clone = copy(model)
    np.testing.assert_array_equal(scores(clone, images), before)
    assert list(operations(clone)) == list(operations(model))
    randomize(clone, rng)
    assert np.abs(scores(clone, images) - before).max() > 0.01
    np.testing.assert_array_equal(scores(model, images), before)
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert not set(map(id, operations(clone).values())) & set(map(id, operations(model).values()))


def test_copy_of_a_sequential_model_and_of_an_adapted_normalization(rng):
    normalization = layers.Normalization()
    normalization.adapt(rng.uniform(0, 255, (20, 8, 8, 3)))
    model = keras.Sequential([keras.Input((8, 8, 3)), normalization, layers.Flatten(), layers.Dense(3)])
    images = images_for(model, rng)
    np.testing.assert_array_equal(scores(copy(model), images), scores(model, images))


def test_copy_makes_other_layers():
    model = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5, name="drop"), layers.Dense(3)])
    changed = copy(model, lambda layer: again(layer, **({"rate": 0.25} if layer.name == "drop" else {})))
    assert changed.get_layer("drop").rate == 0.25 and model.get_layer("drop").rate == 0.5


def test_again_drops_the_seeds_of_initializers():
    layer = layers.Dense(3, name="dense", kernel_initializer=keras.initializers.HeNormal(seed=1))
    first, second = (again(layer, units=5) for _ in range(2))
    for new in (first, second):
        new.build((None, 4))
        assert new.name == "dense" and new.units == 5
    assert not np.allclose(first.kernel, second.kernel)
    assert layer.get_config()["kernel_initializer"]["config"]["seed"] == 1


def unbuilt():
    return keras.Sequential([layers.Dense(3)], name="unbuilt")


class Subclassed(keras.Model):
    pass


@pytest.mark.parametrize("make", [unbuilt, lambda: Subclassed(name="mine")])
@pytest.mark.parametrize("use", [operations, image_of])
def test_a_model_without_a_graph_is_refused(make, use):
    model = make()
    with pytest.raises(UserError, match=rf"'{model.name}'.*functional and built.*keras.Model\(inputs, outputs\)"):
        use(model)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (layers.Softmax(), True),
        (layers.Dense(3, activation="softmax"), True),
        (layers.Activation("softmax"), True),
        (layers.Dense(3), False),
        (layers.Activation("sigmoid"), False),
        (layers.Flatten(), False),
    ],
)
def test_is_softmax(operation, expected):
    assert is_softmax(operation) is expected
