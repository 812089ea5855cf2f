"""job.py: what a run starts from, from its settings."""

import dataclasses

import keras
import numpy as np
import pytest
import support

import keras_dd
from keras_dd import devices, job
from keras_dd.boxes import overlap_of
from keras_dd.config import Settings, UserError


@pytest.fixture(scope="module")
def few():
    return support.digits()


def test_the_rates_and_the_images_that_are_asked_for(few):
    settings = {"model": "cnn", "width": 4, "parts": 2, "subnet_learning_rate": 0.1, "train_images": 100}
    prepared = job.prepare(Settings(**settings), dataset=few)
    assert {name: stage.learning_rate for name, stage in prepared.stages.items()} == {"subnets": 0.1, "finetune": 5e-3}
    assert np.bincount(prepared.dataset.train.labels).min() >= 9 and len(prepared.dataset.train) == 100
    other = job.prepare(Settings(**settings, seed=1), dataset=few)
    assert other.dataset.train.mark != prepared.dataset.train.mark
    assert prepared.settings.subnet_learning_rate == 0.1 and prepared.settings.learning_rate == 5e-3
    paper = job.prepare(Settings(width=4, method="conventional", recipe="paper", epochs=16), dataset=few)
    assert dataclasses.astuple(paper.stages["baseline"])[:4] == (16, 1e-3, "step", (8, 12))


@pytest.mark.parametrize(("flags", "dtype"), [({"avx2"}, "float32"), ({"avx512_bf16"}, "bfloat16")])
def test_the_dtype_that_is_fastest_here(flags, dtype, few, monkeypatch):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    prepared = job.prepare(Settings(width=4, parts=1, dtype="auto"), dataset=few)
    assert prepared.settings.dtype == dtype  # as config.json tells it
    assert prepared.model.get_layer("conv1").compute_dtype == dtype


def two_inputs():
    images = [keras.Input((32, 32, 1)) for _ in range(2)]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()(images))
    return keras.Model(images, keras.layers.Dense(10)(x), name="two")


def two_heads():
    body = support.network()
    return keras.Model(body.input, [body.output, keras.layers.Dense(3)(body.layers[-2].output)], name="heads")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (two_inputs, r"'two' has inputs \(32, 32, 1\), \(32, 32, 1\): it must have one"),
        (two_heads, r"'heads' gives \(10,\), \(3,\) but .* has 10 classes: end it in one score a class"),
    ],
)
def test_two_inputs_or_heads_in_a_file_are_refused_in_one_line(build, said, few, tmp_path):
    build().save(tmp_path / "mine.keras")
    with pytest.raises(UserError, match=said) as error:
        keras_dd.fit(str(tmp_path / "mine.keras"), few)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="width is for a model that is asked for by name"):
        keras_dd.fit(str(tmp_path / "mine.keras"), few, width=8)


def test_evaluation_batches_can_be_shared_equally(few):
    prepared = job.prepare(dataclasses.replace(Settings(model="mine"), overlap=8), support.network(), few)
    for count in (1, 3, 8):
        shared = dataclasses.replace(prepared, devices=tuple(f"GPU:{i}" for i in range(count)))
        assert shared.evaluation().element_spec[0].shape[0] % count == 0


@pytest.mark.parametrize(("recipe", "parts", "overlap"), [("quick", 4, 0), ("quick", 3, 2), ("paper", 4, 8)])
def test_boxes_overlap_as_the_recipe_says(few, recipe, parts, overlap):
    prepared = job.prepare(Settings(model="mine", recipe=recipe, parts=parts), support.network(), few)
    assert prepared.settings.overlap == overlap == overlap_of(prepared.parts.boxes)


def test_batches_of_the_stages_differ(few):
    """Fine-tuning goes on in the order of images where the sub-networks stopped."""
    prepared = job.prepare(dataclasses.replace(Settings(model="mine"), overlap=8), support.network(), few)
    first, second = (next(iter(prepared.batches(epoch)))[1].numpy() for epoch in (0, 8))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, next(iter(prepared.batches(0)))[1])


def test_the_seed_decides_everything_random(few):
    """Initial weights of the network and of its parts, and the order of the images."""

    def drawn(seed):
        prepared = job.prepare(Settings(model="cnn", width=4, seed=seed), dataset=few)
        networks = [prepared.model.get_weights()[0], *(part.get_weights()[0] for part in prepared.parts)]
        return [*networks, next(iter(prepared.batches(0)))[1].numpy()]

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_recipe_that_standardises_gives_networks_that_do(few):
    prepared = job.prepare(Settings(model="fastresnet20", width=4, recipe="fastresnet", block="type2"), dataset=few)
    assert prepared.settings.crop == 4 and prepared.stages["subnets"].optimizer == "sgd"
    assert "stack1_block1_1_bn" in [layer.name for layer in prepared.model.layers]
    for model in (prepared.model, prepared.parts[3]):
        pixels = model.get_layer("rescale")(few.train.images.astype("float32")).numpy()
        assert abs(pixels.mean()) < 1e-3 and abs(pixels.std() - 1) < 1e-3
