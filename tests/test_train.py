"""train.py and recorder.py: sub-networks at once, the full network, the clock."""

import time

import keras
import numpy as np
import pytest
import support
import tensorflow as tf

from keras_dd import cost, data, train
from keras_dd.decomposition import Decomposition, decompose
from keras_dd.evaluation import accuracies, subnet_accuracies
from keras_dd.optimizer import make
from keras_dd.recipes import Stage
from keras_dd.recorder import Recorder

STEPS = 4


@pytest.fixture(scope="module")
def few():
    return support.digits()


@pytest.fixture(scope="module")
def evaluation(few):
    return data.evaluation_batches(few.test, batch_size=64)  # 100 images: the last batch is filled up


def batches_of(dataset, batch_size=64, epoch=0, step=0):
    return data.training_batches(dataset.train, batch_size, seed=3, flip=False, first_epoch=epoch, first_step=step)


def feed(dataset):
    return lambda epoch, step: batches_of(dataset, epoch=epoch, step=step)


def train_together(parts, few, optimizer=lambda: keras.optimizers.SGD(0.1)):
    """The networks of `parts`, trained on the same few batches whatever their number."""
    model = train.Subnetworks(parts)
    model.compile(optimizer)
    model.fit(batches_of(few), epochs=2, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    return model.subnets


@pytest.fixture(scope="module")
def parts():
    return decompose(support.network(), 4, overlap=8)


@pytest.fixture(scope="module")
def together(parts, few):
    return train_together(parts, few)


def test_training_at_once_is_training_each_alone(parts, together, few):
    for k, subnet in enumerate(together):
        [alone] = train_together(Decomposition((parts[k],), (parts.boxes[k],)), few)
        assert support.weights_differ(alone, subnet) < 1e-6
        assert support.weights_differ(parts[k], subnet) > 1e-2  # it has been trained, and the original is as it was


def test_nothing_is_exchanged(parts, together, few):
    other = decompose(support.network(), 4, overlap=8)[0]
    mixed = train_together(Decomposition((other, *parts[1:]), parts.boxes), few)
    assert support.weights_differ(mixed[0], together[0]) > 1e-2
    for k in (1, 2, 3):
        assert support.weights_differ(mixed[k], together[k]) == 0


def test_each_part_sees_its_own_box(parts, together, few):
    """Noise outside of box 1 changes all sub-networks but the first."""
    box, noise = parts.boxes[0], np.random.default_rng(0)
    images = noise.integers(0, 256, few.train.images.shape, dtype=np.uint8)
    inside = np.s_[:, box.top : box.top + box.height, box.left : box.left + box.width]
    images[inside] = few.train.images[inside]
    noisy = data.Dataset("noisy", data.Split(images, few.train.labels), few.test, None, few.classes)
    noisy = train_together(parts, noisy)
    assert support.weights_differ(together[0], noisy[0]) == 0
    assert all(support.weights_differ(together[k], noisy[k]) > 1e-2 for k in (1, 2, 3))


def test_random_boxes_are_windows_of_the_image_in_other_places_each_step(parts):
    model = train.Subnetworks(parts, random_boxes=True)
    model.compile(lambda: keras.optimizers.SGD(0.1))
    images, places = np.arange(2 * 32 * 32).reshape(2, 32, 32, 1), set()
    for step in range(12):
        for k, optimizer in enumerate(model.optimizers):
            optimizer.iterations.assign(step)
            seen = model._box(k, tf.constant(images))
            assert seen.shape == (2, 20, 20, 1)
            top, left = divmod(int(seen[0, 0, 0, 0]), 32)
            np.testing.assert_array_equal(seen, images[:, top : top + 20, left : left + 20])
            np.testing.assert_array_equal(seen, model._box(k, tf.constant(images)))  # as when a run goes on
            places.add((top, left))
    assert len(places) > 30 and {min(top for top, _ in places), max(left for _, left in places)} == {0, 12}


def test_subnetworks_learn_under_fit():
    dataset = data.load("digits")
    keras.utils.set_random_seed(0)
    model = train.Subnetworks(decompose(support.network(32), 4, overlap=8))
    model.compile(lambda: keras.optimizers.Adam(1e-2))
    seen, stop = [], keras.callbacks.EarlyStopping("accuracy_2", mode="max", baseline=0.4, patience=20)
    history = model.fit(
        data.training_batches(dataset.train, 128, flip=False),
        epochs=5,
        steps_per_epoch=11,
        callbacks=[stop, keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))],
        shuffle=False,
        verbose=0,
    ).history
    assert set(history) == {"loss", *(f"accuracy_{k}" for k in (1, 2, 3, 4))}
    assert [logs["accuracy_3"] for logs in seen] == history["accuracy_3"]
    assert stop.best > 0.4  # the callback has followed one sub-network's metric
    for k in (1, 2, 3, 4):  # a corner of a digit is not the digit
        assert history[f"accuracy_{k}"][-1] > 0.5, history
    assert len({history[f"accuracy_{k}"][-1] for k in (1, 2, 3, 4)}) > 1
    assert history["loss"][-1] < history["loss"][0]


def test_parts_begin_unlike_one_another(parts):
    assert support.weights_differ(parts[0], parts[1]) > 0


def test_fit_subnets_records_each_network(parts, few, evaluation):
    stage = Stage(epochs=3, learning_rate=1e-2, schedule="step", drops=(1, 2), boxes="random")
    recorder = Recorder([f"subnet {k}" for k in (1, 2, 3, 4)], "test")
    trained = train.fit_subnets(parts, stage, feed(few), STEPS, evaluation, ("CPU:0",), [recorder])
    assert recorder.model.random_boxes
    assert trained.boxes == parts.boxes
    rows = recorder.rows
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (f"subnet {k}", e) for e in (1, 2, 3) for k in (1, 2, 3, 4)
    ]
    assert {row["epoch"]: row["learning_rate"] for row in rows} == pytest.approx({1: 1e-2, 2: 1e-3, 3: 1e-4})
    assert subnet_accuracies(trained, evaluation, ("CPU:0",))[0] == pytest.approx(
        [row["test_accuracy"] for row in rows[-4:]], abs=1e-6
    )
    # Each network has its own losses: those that it has alone.
    alone = Recorder(["subnet 3"], "test")
    part = Decomposition((parts[2],), (parts.boxes[2],))
    train.fit_subnets(part, stage, feed(few), STEPS, evaluation, ("CPU:0",), [alone])
    for key in ("loss", "accuracy", "test_accuracy"):
        assert [row[key] for row in alone.rows] == pytest.approx([row[key] for row in rows[2::4]], rel=1e-5)
    assert len({row["loss"] for row in rows}) == len(rows)


class SlowlyEvaluated(Recorder):
    def on_test_batch_end(self, batch, logs=None):
        time.sleep(0.6)


@pytest.fixture(scope="module")
def fine_tuned(few, evaluation):
    """(before, after, recorder, seconds) of a full network's training, of which 3 x 0.6 s are evaluation."""
    model, recorder = support.network(), SlowlyEvaluated(["finetune"], "validation")
    stage = Stage(epochs=3, learning_rate=3e-2)
    start = time.perf_counter()
    trained = train.fit_full(model, stage, feed(few), STEPS, evaluation, ("CPU:0",), [recorder])
    return model, trained, recorder, time.perf_counter() - start


def test_the_clock_stands_still_while_the_model_is_evaluated(fine_tuned):
    _, _, recorder, wall = fine_tuned
    seconds = [row["seconds"] for row in recorder.rows]
    assert seconds == sorted(seconds) and seconds[0] > 0 and len(set(seconds)) == 3
    assert seconds[-1] - seconds[0] < 1.2  # 8 small steps; the evaluations in between slept 2 x 0.6 s at least
    assert recorder.evaluation_seconds > 3 * 0.6
    assert recorder.seconds + recorder.evaluation_seconds < wall


def test_a_full_network_is_trained_and_the_original_kept(fine_tuned, evaluation):
    model, trained, recorder, _ = fine_tuned
    assert support.weights_differ(model, trained) > 1e-2
    assert [layer.name for layer in model.layers[1:]] == [layer.name for layer in trained.layers[1:]]
    assert [row["stage"] for row in recorder.rows] == ["finetune"] * 3
    assert recorder.rows[-1]["validation_accuracy"] == pytest.approx(accuracies(trained, evaluation)[0], abs=1e-6)
    assert recorder.rows[-1]["loss"] < recorder.rows[0]["loss"]


@pytest.mark.parametrize(("steps", "count"), [(40, 20), (781, 11), (390, 15), (13, 13), (23, 1)])
def test_short_steps_are_taken_some_at_a_time(steps, count):
    assert train.steps_a_call([support.network()], ("CPU:0",), 8, steps) == count


def test_long_steps_are_taken_singly_and_those_between_a_few_at_a_time():
    flops = cost.training_flops(support.network(), 1)
    for calls, count in ((0.5, 1), (1.5, 1), (4.5, 4), (7, 5)):
        images = round(train.FLOPS_A_CALL / flops / calls)
        assert train.steps_a_call([support.network()], ("CPU:0",), images, 40) == count


def test_steps_on_several_devices_are_taken_singly():
    assert train.steps_a_call([support.network()], ("CPU:0", "CPU:1"), 8, 40) == 1


def test_a_stage_that_begins_within_an_epoch_has_one_number_of_steps_a_call(few, evaluation, monkeypatch):
    found, right = [], train.call_by
    monkeypatch.setattr(train, "call_by", lambda model, count: found.append(count) or right(model, count))

    def drawn(epoch, step):
        return data.training_batches(few.train, 8, first_epoch=epoch, first_step=step)

    recorder = Recorder(["finetune"], "test")
    train.fit_full(support.network(), Stage(2, 1e-2), drawn, 32, evaluation, ("CPU:0",), [recorder], (0, 12))
    assert found == [4] and [row["epoch"] for row in recorder.rows] == [1, 2]


def test_several_steps_a_call_are_the_same_steps(few, evaluation):
    """With an evaluation of two batches, and boxes that lie somewhere else in each step."""

    def trained(count):
        keras.utils.set_random_seed(0)
        model = train.Subnetworks(decompose(support.network(), 2, overlap=8), random_boxes=True)
        model.compile(lambda: make(Stage(epochs=1, learning_rate=1e-2), 8))
        train.call_by(model, count)
        model.fit(feed(few)(0, 0), steps_per_epoch=8, shuffle=False, verbose=0)
        return [*model.subnets[1].get_weights(), *model.evaluate(evaluation, verbose=0, return_dict=True).values()]

    for one, other in zip(trained(1), trained(8), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_epochs_are_no_change(few, evaluation):
    model, recorder = support.network(), Recorder(["finetune"], "test")
    for schedule in ("step", "one-cycle"):
        stage = Stage(0, 1e-2, schedule, (0, 0))
        trained = train.fit_full(model, stage, feed(few), STEPS, evaluation, ("CPU:0",), [recorder])
        assert support.weights_differ(model, trained) == 0 and recorder.rows == []


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_loss_takes_logits_and_probabilities(activation, nested, few):
    model = support.network(activation=activation)
    if nested:
        inputs = keras.Input(model.input_shape[1:])
        model = keras.Model(inputs, model(inputs))
    scores = model.predict(few.test.images, verbose=0)
    if activation is None:
        scores = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    right = -np.log(scores[np.arange(100), few.test.labels])
    mean = -np.log(scores).mean(axis=1)
    loss = train.classification_loss(model)
    scores = model(few.test.images)
    assert float(loss(few.test.labels, scores)) == pytest.approx(right.mean(), rel=1e-4)
    weights = np.arange(100) < 60  # as of a batch filled up with 40 black images
    assert float(loss(few.test.labels, scores, weights)) == pytest.approx(right[:60].mean(), rel=1e-4)
    smoothed = train.classification_loss(model, 0.2)
    right = 0.8 * right + 0.2 * mean  # a fifth of a label is shared by all classes
    assert float(smoothed(few.test.labels, scores)) == pytest.approx(right.mean(), rel=1e-4)
    assert float(smoothed(few.test.labels, scores, weights)) == pytest.approx(right[:60].mean(), rel=1e-4)
