"""models/speednet.py, data/whitening.py: what the network begins with, and that it is taken apart and put together."""

import keras
import numpy as np
import pytest
import support
from conftest import assert_mean, images_for, on_whole_images, randomize, scores

import keras_dd
from keras_dd import compose, data, decompose, devices, featuremaps
from keras_dd.config import Settings, UserError
from keras_dd.evaluation import accuracies
from keras_dd.job import Job, prepare
from keras_dd.models import speednet
from keras_dd.models.speednet import PartialIdentity
from keras_dd.userfiles import load_model
from keras_dd.widening import widen

SHAPE = (16, 16, 3)  # boxes of 10x10 with an overlap of 4


@pytest.fixture(scope="module")
def few():
    return support.digits()


def second_moments(patches):
    return patches.T @ patches / len(patches)


def test_whitened_patches_have_the_identity_as_second_moments(rng):
    """Of images whose pixels and channels go together; all of them but for the 0.0005 that is added."""
    smooth = rng.normal(size=(40, 8, 10, 3)).cumsum(axis=1).cumsum(axis=2) @ [[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]]
    images = np.clip(128 + 8 * smooth, 0, 255).astype("uint8")
    split = data.Split(images, np.zeros(40, "int32"))
    for moments in (None, data.moments(split)):
        mean, variance = moments or ((127.5,) * 3, (127.5**2,) * 3)
        seen = (images - np.array(mean)) / np.sqrt(variance)
        kernel = data.whitening(split, moments)
        assert kernel.shape == (2, 2, 3, 24) and kernel.dtype == np.float32 and (kernel[0, 0, 0, :12] > 0).all()
        np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
        windows = np.lib.stride_tricks.sliding_window_view(seen, (2, 2), axis=(1, 2))  # n, rows, columns, C, 2, 2
        before = second_moments(windows.reshape(-1, 12))
        after = second_moments(np.einsum("nhwcij,ijcf->nhwf", windows, kernel[..., :12]).reshape(-1, 12))
        values = np.sort(np.linalg.eigvalsh(before))[::-1]
        assert np.abs(before - np.eye(12)).max() > 0.5 and values[-1] > 1e-4
        np.testing.assert_allclose(after, np.diag(values / (values + 5e-4)), atol=1e-4)


def test_a_job_whitens_what_its_network_sees(few):
    """A network that is built by name: its first layer whitens its own standardised images."""
    for recipe in ("speed", "quick"):
        job = prepare(Settings(model="speednet", width=4, recipe=recipe, batch_size=64), dataset=few)
        whitened = keras.Model(job.model.input, job.model.get_layer("whiten").output)
        found = second_moments(scores(whitened, few.train.images).reshape(-1, 8)[:, :4])
        sizes = np.diag(found)  # the last one is that of hardly anything: the digits are drawn from 8x8 pixels
        np.testing.assert_allclose(found, np.diag(sizes), atol=1e-4)
        assert (sizes[:3] > 0.9).all() and (sizes < 1.001).all()
        assert not job.model.get_layer("whiten").trainable


def test_filters_pass_their_channels():
    kernel = np.array(PartialIdentity()((3, 3, 4, 4)))
    expected = np.zeros((3, 3, 4, 4))
    expected[1, 1] = np.eye(4)
    np.testing.assert_array_equal(kernel, expected)
    kernel = np.array(PartialIdentity(0.25, seed=1)((3, 3, 24, 16)))
    assert set(kernel[1, 1, :, :4].sum(axis=0)) == {1.0} and np.abs(kernel[..., :4]).sum() == 4
    assert np.abs(kernel[..., :4]).sum(axis=3).max() == 1  # no channel is passed twice
    others = kernel[..., 4:]
    assert np.abs(others).max() < 216**-0.5 and abs(others.std() - 216**-0.5 / 3**0.5) < 0.005
    first, again, other = (np.array(PartialIdentity(0.5, seed)((3, 3, 8, 8))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_its_parts_keep_the_share_of_filters_that_pass_a_channel():
    """At width 64, of 24 channels: 24 of 64 filters; in each of four parts 6 of 16, not all of them."""

    def passing(model):
        kernel = model.get_layer("group1_1_conv").get_weights()[0]
        return int((np.count_nonzero(kernel, axis=(0, 1, 2)) == 1).sum())

    full = speednet(64, image_shape=SHAPE)
    parts = decompose(full, 4, overlap=4)
    assert passing(full) == 24 and [passing(part) for part in parts] == [6] * 4
    assert support.weights_differ(parts[0], parts[1]) > 0.5  # they are not copies of one another


@pytest.fixture(scope="module")
def apart():
    """(full network, its parts with random weights)"""
    rng = np.random.default_rng(0)
    full = randomize(speednet(8, 7, SHAPE), rng)
    parts = decompose(full, 4, overlap=4)
    kernel = full.get_layer("whiten").get_weights()
    for part in parts:
        np.testing.assert_array_equal(part.get_layer("whiten").get_weights(), kernel)
        randomize(part, rng)
        part.get_layer("whiten").set_weights(kernel)  # frozen
    return full, parts


def test_all_parts_have_the_frozen_layer_whole_and_compose_exactly(apart, rng):
    full, parts = apart
    composed = compose(parts, full)
    np.testing.assert_array_equal(composed.get_layer("whiten").get_weights(), full.get_layer("whiten").get_weights())
    assert parts[0].get_layer("group1_1_conv").kernel.shape == (3, 3, 24, 2)
    whole = on_whole_images(parts, lambda: speednet(2, 7, SHAPE))
    assert_mean(composed, whole, images_for(full, rng))


def test_feature_maps_are_those_of_the_first_layer_that_parts_share_out(apart):
    full, parts = apart
    job = Job(Settings(), dataset=None, model=full, parts=parts, devices=())
    networks = featuremaps.Networks(job, parts, composed=full, finetuned=full, random=full)
    assert featuremaps.first_convolution(networks).name == "group1_1_conv"


def test_frozen_layers_behind_one_another_belong_to_the_image_too(rng):
    """A frozen beginning of one's own, with a bias and a batch normalisation."""

    def build(width):
        image = keras.Input(SHAPE)
        x = keras.layers.Conv2D(6, 3, trainable=False, name="first")(image)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(trainable=False, name="second")(x))
        x = keras.layers.Conv2D(width, 3, name="third")(x)
        return keras.Model(image, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))

    full = randomize(build(4), rng)
    parts = decompose(full, 2, overlap=4)
    for part in parts:
        part.get_layer("third").set_weights([rng.normal(size=w.shape) / 5 for w in part.get_layer("third").weights])
        for name in ("first", "second"):
            for mine, its in zip(part.get_layer(name).weights, full.get_layer(name).weights, strict=True):
                np.testing.assert_array_equal(mine, its)
    composed = compose(parts, full)
    for mine, its in zip(composed.get_layer("second").weights, full.get_layer("second").weights, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert_mean(composed, on_whole_images(parts, lambda: build(2)), images_for(full, rng) / 255)


def test_frozen_weights_for_positions_are_no_part_of_the_image():
    image = keras.Input(SHAPE)
    x = keras.layers.PReLU(trainable=False, name="slopes")(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    with pytest.raises(UserError, match="'slopes' .* has weights for channels that belong to all parts"):
        decompose(keras.Model(image, keras.layers.Dense(5)(x)), 2, overlap=4)


def test_it_is_widened(rng):
    narrow = randomize(speednet(2, 7, SHAPE), rng)
    images = images_for(narrow, rng)
    wide = widen(narrow, 2)
    assert wide.get_layer("whiten").kernel.shape == (2, 2, 3, 24) and wide.get_layer("group1_1_conv").filters == 4
    np.testing.assert_allclose(scores(wide, images), scores(narrow, images), atol=1e-4)


def test_its_recipe_trains_it_and_any_keras_can_load_it(few, tmp_path):
    """All tricks at once; the accuracy over views stands beside the plain one, and the file has nothing of ours."""
    asked = {"method": "conventional", "width": 4, "recipe": "speed", "batch_size": 32, "epochs": 8}
    asked |= {"flip": True, "views": 6, "learning_rate": 0.3}
    result = keras_dd.fit("speednet", few, **asked, run_dir=str(tmp_path / "run"))
    written = result.report
    evaluation = data.evaluation_batches(few.test)
    assert written["views_accuracy"] == pytest.approx(accuracies(result.model, evaluation, views=6)[0], abs=1e-6)
    assert written["final_accuracy"] == pytest.approx(accuracies(result.model, evaluation)[0], abs=1e-6)
    assert written["final_accuracy"] > 0.3  # chance is 0.1
    assert "| + 6 test-time views | 0–31 | 0–31 |" in (result.run_dir / "report.md").read_text()
    kernel = result.model.get_layer("whiten").get_weights()[0]
    np.testing.assert_array_equal(kernel, data.whitening(few.train, data.moments(few.train)))  # it is frozen
    loaded = load_model(result.run_dir / "model.keras")
    np.testing.assert_allclose(scores(loaded, few.test.images), scores(result.model, few.test.images), atol=1e-5)


def test_its_recipe_trains_it_by_decomposition(few, tmp_path):
    asked = {"width": 4, "recipe": "speed", "batch_size": 32, "subnet_epochs": 1, "epochs": 1, "flip": True}
    asked |= {"parts": 2, "learning_rate": 0.3, "subnet_learning_rate": 0.3}
    result = keras_dd.fit("speednet", few, **asked, run_dir=str(tmp_path / "run"))
    for network in (result.model, *result.parts):
        kernel = network.get_layer("whiten").get_weights()[0]
        np.testing.assert_array_equal(kernel, data.whitening(few.train, data.moments(few.train)))
        assert "keras_dd" not in network.to_json()
    assert not result.report["divergences"] and result.report["final_accuracy"] > 0.15


def test_its_images_are_whitened_in_float32(rng):
    images = rng.uniform(0, 255, (2, 32, 32, 3))
    exact = speednet(2)
    with devices.computing_in("bfloat16"):
        rounded = speednet(2)
    rounded.set_weights(exact.get_weights())
    for network in (exact, rounded):
        assert network.get_layer("whiten").compute_dtype == "float32"
    assert rounded.get_layer("group1_1_conv").compute_dtype == "bfloat16"
    white = [scores(keras.Model(each.input, each.get_layer("whiten").output), images) for each in (exact, rounded)]
    np.testing.assert_allclose(*white, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (8, 32, 3)}, r"image_shape is \(8, 32, 3\): three poolings of speednet want 9x9 pixels"),
        ({"whitening": np.zeros((2, 2, 3, 12))}, r"whitening has the shape \(2, 2, 3, 12\): it must be a kernel"),
        ({"width": 0}, "width is 0: it must be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        speednet(**options)
