"""Four logical CPU devices, in a process of their own: TensorFlow can split the CPU only before it starts.

`test_devices.py` runs this file.
"""

import keras
import numpy as np
import pytest
import support
import tensorflow as tf

import keras_dd
from keras_dd import data, devices, train
from keras_dd.config import UserError
from keras_dd.decomposition import decompose
from keras_dd.engines.tasks import Teller
from keras_dd.fused import FusedBatchNormalization, fused
from keras_dd.fused_optimizers import Adam
from keras_dd.graph import again, copy
from keras_dd.recipes import RECIPES, Recipe, Stage
from keras_dd.recorder import Recorder

FOUR = devices.pick("4")
BATCH = 64


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def model():
    """Four sub-networks on four devices, ready to train."""
    keras.utils.set_random_seed(0)
    model = train.Subnetworks(decompose(support.network(), 4, overlap=8), FOUR)
    model.compile(lambda: Adam(1e-2))
    return model


@pytest.fixture(scope="module")
def graph(model, few):
    """The graph of one training step."""
    images, labels = next(iter(data.training_batches(few.train, BATCH)))
    return (
        tf.function(lambda images, labels: model.train_step((images, labels)))
        .get_concrete_function(images, labels)
        .graph
    )


def short(device):
    """CPU:2 from /job:localhost/replica:0/task:0/device:CPU:2"""
    return device.split("device:")[-1]


def test_devices_are_picked():
    assert FOUR == ("CPU:0", "CPU:1", "CPU:2", "CPU:3")
    assert devices.pick("4") == FOUR and devices.pick("2") == FOUR[:2]
    assert devices.pick("cpu:1, CPU:3, cpu:1") == ("CPU:1", "CPU:3")
    assert devices.strategy(FOUR).num_replicas_in_sync == 4
    assert devices.strategy(devices.pick("4")) is devices.strategy(FOUR)  # a second one would wait for ever
    with pytest.raises(UserError, match="in a new process"):
        devices.pick("5")


def test_variables_slots_and_metrics_are_on_their_device(model):
    for k, device in enumerate(FOUR):
        subnet, optimizer = model.subnets[k], model.optimizers[k]
        metrics = [*model.loss_means[k].variables, *model.accuracies[k].variables]
        assert len(optimizer.variables) > 2 * len(subnet.trainable_variables) and len(metrics) == 4
        for variable in (*subnet.variables, *optimizer.variables, *metrics):
            assert short(variable.value.device) == device, variable.path


@pytest.mark.parametrize("strategy", [tf.distribute.MirroredStrategy(FOUR[:2]), devices.strategy(FOUR)], ids=["2", "4"])
def test_replicas_together_see_the_same_batch(strategy, few):
    replicas, batches = strategy.num_replicas_in_sync, data.training_batches(few.train, BATCH, crop=2)
    dealt = next(iter(strategy.experimental_distribute_dataset(batches)))
    for pieces, whole in zip(dealt, next(iter(batches)), strict=True):
        pieces = strategy.experimental_local_results(pieces)
        assert [len(piece) for piece in pieces] == [BATCH // replicas] * replicas
        assert np.array_equal(np.concatenate(pieces), whole)


def test_keras_evaluates_each_image_once_on_replicas(few):
    """100 images in batches of 64, the last of them filled up."""
    with devices.strategy(FOUR).scope():
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
        network = keras.Sequential([keras.Input(few.image_shape), *layers])
        train.compile_full(network, Adam(1e-2))
    network.fit(data.training_batches(few.train, BATCH), steps_per_epoch=12, shuffle=False, verbose=0)
    found = network.evaluate(data.evaluation_batches(few.test, BATCH), verbose=0, return_dict=True)["accuracy"]
    guesses = np.argmax(network(few.test.images), axis=1)
    assert 0.3 < found == pytest.approx(np.mean(guesses == few.test.labels))


def test_with_fewer_devices_they_are_shared_in_turn():
    parts = decompose(support.network(norm=False), 4, overlap=8)
    shared = train.Subnetworks(parts, FOUR[:3])
    assert shared.devices == ["CPU:0", "CPU:1", "CPU:2", "CPU:0"]
    assert [short(subnet.variables[0].value.device) for subnet in shared.subnets] == shared.devices


def test_both_passes_are_on_their_device(graph):
    """Forward and backward convolutions, as they are traced; TensorFlow drops the gradient of the image later."""
    found = {}
    for node in graph.as_graph_def().node:
        if node.op.startswith("Conv2D"):
            found.setdefault(short(node.device), []).append(node.op)
    expected = sorted(["Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput"] * 2)
    assert {device: sorted(ops) for device, ops in found.items()} == dict.fromkeys(FOUR, expected)
    names = {function.signature.name for function in graph.as_graph_def().library.function}
    inner = [node.op for f in graph.as_graph_def().library.function for node in f.node_def]
    assert not any(op.startswith("Conv2D") for op in inner), names  # none hides in a function


def test_no_branch_reads_what_another_wrote(graph, model):
    """From all that is written for branch k, back through inputs and orderings: only variables of branch k are read."""
    owner = {}
    for k in range(4):
        metrics = [*model.loss_means[k].variables, *model.accuracies[k].variables]
        for variable in (*model.subnets[k].variables, *model.optimizers[k].variables, *metrics):
            owner[id(variable.value.handle)] = k
    owners = {inner.op: owner[id(outer)] for outer, inner in graph.captures if id(outer) in owner}
    assert set(owners.values()) == {0, 1, 2, 3}
    written = set()
    for op in graph.get_operations():
        if not op.type.startswith(("Assign", "ResourceApply")):
            continue
        met, waiting = set(), [op]
        while waiting:
            now = waiting.pop()
            if now not in met:
                met.add(now)
                waiting += [tensor.op for tensor in now.inputs] + list(now.control_inputs)
        read = {owners[each] for each in met if each in owners}
        assert len(read) == 1, op.name
        written |= read
    assert written == {0, 1, 2, 3}


def test_fused_batch_normalisation_trains_on_replicas_as_that_of_keras(few):
    """One layer has the statistics of each replica's share of a batch, the other those of all shares together."""
    x = inputs = keras.Input(few.image_shape)
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.BatchNormalization(momentum=0.9, synchronized=True)(keras.layers.Conv2D(8, 3, strides=2)(x))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))
    batches, trained = data.training_batches(few.train, BATCH), []
    for make in again, fused:
        with devices.strategy(FOUR).scope():
            twin = copy(model, make)
            train.compile_full(twin, keras.optimizers.SGD(0.05))
        twin.fit(batches, steps_per_epoch=3, shuffle=False, verbose=0)
        trained.append(twin)
    plain, fast = trained
    assert [type(layer) for layer in fast.layers].count(FusedBatchNormalization) == 2
    assert support.weights_differ(model, plain) > 1e-2
    assert support.weights_differ(plain, fast) < 1e-5


@pytest.fixture(scope="module")
def runs(few, tmp_path_factory):
    """The same run on one device and on four, by gradient descent: Adam blows up the rounding of small gradients."""
    network, stage = support.network(), Stage(epochs=1, learning_rate=0.05, schedule="step", optimizer="sgd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "test", Recipe("for tests", stage, stage, stage, BATCH))
        results = []
        for count in "14":
            where = str(tmp_path_factory.mktemp("runs") / "run")
            results.append(keras_dd.fit(network, few, overlap=8, devices=count, recipe="test", run_dir=where))
    return *results, network


def test_subnetworks_on_four_devices_are_those_on_one(runs):
    """And so the graph above is what `fit` runs."""
    one, four, _ = runs
    for first, second in zip(one.parts, four.parts, strict=True):
        assert support.weights_differ(first, second) < 1e-6
    assert {short(part.variables[0].value.device) for part in four.parts} == set(FOUR)


def test_data_parallel_training_is_that_of_one_device(runs):
    """The same global batches: weights, and batch-norm statistics, which are those of all replicas together."""
    one, four, before = runs
    assert one.report["environment"]["devices"] == ["CPU:0"] and four.report["environment"]["devices"] == list(FOUR)
    assert support.weights_differ(before, one.model) > 1e-2
    norms = [network.get_layer("bn") for network in (before, one.model, four.model)]
    for name in ("moving_mean", "moving_variance"):
        untrained, expected, found = (np.asarray(getattr(norm, name)) for norm in norms)
        assert np.max(np.abs(untrained - expected)) > 1e-2
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert support.weights_differ(one.model, four.model) < 1e-4
    assert not norms[-1].synchronized  # the result is a plain network


def test_the_numbers_of_four_devices_are_those_of_one(runs):
    one, four, _ = runs
    assert len(one.history) == 4 + 1
    for first, second in zip(one.history, four.history, strict=True):
        assert first.keys() == second.keys()
        for key in ("loss", "accuracy", "test_accuracy"):
            assert first[key] == pytest.approx(second[key], abs=1e-4), key
    assert four.report["final_accuracy"] == pytest.approx(four.history[-1]["test_accuracy"], abs=1e-6)


def test_a_batch_is_shared_equally(few):
    with pytest.raises(UserError, match="batch_size 66 .* 4 devices: try 64 or 68"):
        keras_dd.fit(support.network(), few, overlap=8, devices="4", batch_size=66)


def test_a_task_on_several_devices_tells_its_steps(few):
    def batches(epoch, step):
        return data.training_batches(few.train, BATCH, first_epoch=epoch, first_step=step)

    told, recorder = [], Recorder(["finetune"], "test")
    teller = Teller(recorder, lambda kind, content: told.append((kind, content)), every=1e-9)
    train.fit_full(support.network(), Stage(1, 1e-2), batches, 4, None, FOUR, [recorder, teller])
    assert [content for kind, content in told if kind == "steps"] == [1, 2, 3, 4, 4]  # and at the end of the epoch
