"""keras_dd.zoo and its commands on one tiny released model: what is loaded, measured, shown and refused."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from conftest import scores
from PIL import Image
from zoo_support import command, copied, rewritten

from keras_dd import cost, data, models, outcome, rundir, zoo
from keras_dd.config import Settings, UserError
from keras_dd.job import prepare
from keras_dd.weights_files import load_weights, save_weights
from keras_dd.zoo import arrays, loading, measures, predicting, releasing, showing

NAME = "cnn-w4-digits-dd2"


def solved(model, split):
    """The network with the head that fits best, by least squares, on the features that it begins with."""
    features = scores(loading.headless(model), split.images)
    head = model.get_layer("head")
    if head.use_bias:
        features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    wanted = 10 * np.eye(10)[split.labels] - 1
    found = np.linalg.solve(features.T @ features + np.eye(features.shape[1]), features.T @ wanted)
    head.set_weights([found[:-1], found[-1]] if head.use_bias else [found])
    return model


def made(run_dir, **settings):
    """A run as `fit` leaves it behind, of a network that is solved instead of trained: that takes no time."""
    settings = Settings(train_images=640, epochs=1, run_dir=str(run_dir), **{"width": 4} | settings)
    job, line = prepare(settings), f"keras-dd fit --run-dir {run_dir.name}"
    rundir.create(job.settings, line, job.made_of | {"own": []})
    model = solved(job.model, job.dataset.train)
    save_weights(model, run_dir / "model.weights.h5")
    test = job.dataset.test
    reached = float(np.mean(scores(model, test.images).argmax(1) == test.labels))
    seconds = {"finetune" if job.parts else "baseline": 1.5, "compose": 0.25, "evaluate": 7.0, "total": 9.0}
    found = outcome.opening(job, line, run_dir)
    found |= {"interrupted": None, "final_accuracy": reached, "seconds": seconds}
    (run_dir / "report.json").write_text(json.dumps(found))
    (run_dir / "history.csv").write_text("stage,epoch\n")
    return model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directories of two runs: "ours" by decomposition, "twin" conventionally."""
    base = tmp_path_factory.mktemp("zoo")
    made(base / "twin", method="conventional", seed=1)
    made(base / "ours", parts=2)
    return base


@pytest.fixture(scope="module")
def run_model(runs):
    """The network of "ours" as its own file has it."""
    model = models.cnn(4, image_shape=(32, 32, 1))
    load_weights(model, runs / "ours" / "model.weights.h5")
    return model


@pytest.fixture(scope="module")
def released(runs):
    """The path of the card."""
    return releasing.release(runs / "ours", twin=runs / "twin")


@pytest.fixture(scope="module")
def test_split():
    return data.load("digits").test


@pytest.fixture(scope="module")
def loaded(released):
    return zoo.load(released)


@pytest.fixture
def card_path(released, tmp_path):
    """The path of the card beside its weights in another folder."""
    return copied(released, tmp_path)


# What is loaded.


def test_the_network_is_that_of_the_run_in_half_precision(run_model, loaded, test_split):
    assert [weight.path for weight in loaded.weights] == [weight.path for weight in run_model.weights]
    for ours, theirs in zip(loaded.get_weights(), run_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs.astype("float16").astype("float32"))
    images = test_split.images[:50]  # raw, as they are
    found = scores(loaded, images)
    assert found.shape == (50, 10) and np.abs(found - scores(run_model, images)).max() < 0.02
    assert isinstance(loaded, keras.Model) and loaded.dtype_policy.name == "float32"


def test_a_new_head(released, loaded):
    other = zoo.load(released, classes=3)
    assert other.output_shape == (None, 3)
    trained = {weight.path: weight.numpy() for weight in loaded.weights}
    for weight in other.weights:
        same = trained[weight.path].shape == weight.shape and np.array_equal(trained[weight.path], weight.numpy())
        assert same is not weight.path.startswith("head/")


def test_without_the_head(released, loaded, test_split):
    features = zoo.load(released, include_top=False)
    assert features.output_shape == (None, 32)
    images = test_split.images[:4]
    kernel, bias = loaded.get_layer("head").get_weights()
    again = scores(features, images) @ kernel + bias
    np.testing.assert_allclose(again, scores(loaded, images), atol=1e-4)


def test_what_cannot_be_loaded(released):
    with pytest.raises(UserError, match="classes=3 is for a new head, and include_top=False leaves it out"):
        zoo.load(released, classes=3, include_top=False)
    with pytest.raises(UserError, match="classes is 1: it must be a whole number, 2 or more"):
        zoo.load(released, classes=1)
    with pytest.raises(UserError, match="unknown model of the zoo 'resnet1'"):
        zoo.load("resnet1")


@pytest.mark.parametrize("name", zoo.models())
def test_every_model_of_the_package_is_built_by_its_card(name):
    card = zoo.card(name)
    if card.weights.url:
        model = loading.build(card, name)
    else:
        model = zoo.load(name)
        image = np.zeros((1, *card.data.image_shape), "uint8")
        assert np.isfinite(scores(model, image)).all()
    assert (model.count_params(), cost.macs(model)) == (card.parameters, card.macs)


# What is measured.


def test_speednet_is_released_with_its_whitening(tmp_path, test_split):
    """Its card holds the moments, the file of its weights the whitening, and what is loaded nothing of ours."""
    model = made(tmp_path / "run", model="speednet", recipe="speed", batch_size=64, parts=2, width=8)
    path = releasing.release(tmp_path / "run")
    again = zoo.load(path)
    assert len(zoo.card(path).arguments["moments"]) == 2 and "keras_dd" not in again.to_json()
    mine, its = (each.get_layer("whiten").kernel.numpy() for each in (model, again))
    np.testing.assert_array_equal(mine.astype(zoo.card(path).weights.dtype), its)
    np.testing.assert_allclose(scores(again, test_split.images), scores(model, test_split.images), atol=0.05)
    assert zoo.card(path).scores.top1 == pytest.approx(measures.measure(again, test_split, "0123456789").top1)


def test_the_card_says_what_the_run_was(runs, released, loaded, test_split):
    card = zoo.card(released)
    report = json.loads((runs / "ours" / "report.json").read_text())
    twin = json.loads((runs / "twin" / "report.json").read_text())
    guesses = scores(loaded, test_split.images).argmax(1)
    assert card.name == NAME and released.parent == runs / "ours" / "zoo"
    assert card.scores.top1 == pytest.approx(np.mean(guesses == test_split.labels)) and card.scores.images == 360
    assert abs(card.scores.top1 - report["final_accuracy"]) <= measures.AGREEMENT and card.weights.dtype == "float16"
    for label in range(10):
        of_label = test_split.labels == label
        assert card.scores.per_class[label] == pytest.approx(np.mean(guesses[of_label] == label))
    assert (card.parameters, card.macs) == (report["parameters"]["full"], report["macs"]["full"])
    assert card.arguments == {"width": 4, "classes": 10, "image_shape": [32, 32, 1]}
    assert (card.data.train_images, card.data.mark) == (640, test_split.mark)
    assert (card.training.parts, card.training.command) == (2, report["command"])
    assert card.training.seconds == 1.8 and card.training.machine["cores"]
    assert card.training.settings["recipe"] == "quick" and "run_dir" not in card.training.settings
    assert (card.twin.accuracy, card.twin.command) == (twin["final_accuracy"], twin["command"])


def test_numbers_beyond_half_precision_stay_in_single(loaded, test_split):
    exact = {weight.path: weight.numpy() for weight in loaded.weights}
    dataset = data.Dataset("few", test_split, test_split.take(slice(0, 50)), None, tuple("0123456789"))
    model = models.cnn(4, image_shape=(32, 32, 1))
    assert releasing.smallest(model, exact, dataset)[1] == "float16"
    content, dtype, _ = releasing.smallest(model, exact | {"head/bias": exact["head/bias"] + 1e5}, dataset)
    assert dtype == "float32" and arrays.unpack(content, dtype, "it")["head/bias"].min() > 99_000
    with pytest.raises(UserError, match="are not all finite: this run has diverged"):
        releasing.smallest(model, exact | {"head/bias": np.full(10, np.nan)}, dataset)


def test_what_cannot_be_released(runs, released, tmp_path):
    with pytest.raises(UserError, match="is there already: remove it, or choose another --name"):
        releasing.release(runs / "ours")
    with pytest.raises(UserError, match="method of the twin in .* is 'decomposition': it must be 'conventional'"):
        releasing.release(runs / "ours", to=tmp_path, twin=runs / "ours")
    with pytest.raises(UserError, match="name must be lower-case letters"):
        releasing.release(runs / "ours", name="../Up", to=tmp_path)
    other = shutil.copytree(runs / "twin", tmp_path / "other")
    report = json.loads((other / "report.json").read_text())
    (other / "report.json").write_text(json.dumps(report | {"final_accuracy": 0.999}))
    with pytest.raises(UserError, match="its report says 99.90 %: the files are not of one run"):
        releasing.release(other, to=tmp_path)
    (other / "report.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        releasing.release(other, to=tmp_path)
    with pytest.raises(UserError, match="the twin in .* is not finished"):
        releasing.release(runs / "ours", to=tmp_path, twin=other)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_data_that_are_elsewhere_are_asked_for(runs, tmp_path):
    """A relative folder is seen from where the run was started: nothing is downloaded to another one."""
    config = json.loads((shutil.copytree(runs / "ours", tmp_path / "run") / "config.json").read_text())
    config["settings"]["data_dir"] = "gone"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="were in 'gone', seen from where it was started: .* with --data-dir"):
        releasing.release(tmp_path / "run")


# The commands.


def test_list_and_show(released, capsys):
    code, [headings, _, *lines], _ = command(capsys, "zoo", "list")
    assert code == 0 and headings.split()[:2] == ["model", "data"] and len(lines) == len(zoo.models())
    assert max(map(len, lines), default=0) <= 80
    card = zoo.card(released)
    code, lines, _ = command(capsys, "zoo", "show", released)
    text = "\n".join(lines)
    for part in (NAME, f"{card.parameters:,}", card.weights.sha256, "CC BY 4.0", card.twin.command, "2 parts, seed 0"):
        assert part in text
    assert f"{100 * card.scores.top1:.2f} % of 360 test images" in text and "None" not in text
    code, lines, _ = command(capsys, "zoo", "show", released, "--json")
    assert code == 0 and "\n".join(lines) + "\n" == released.read_text()


def test_the_table_of_the_readme(released):
    card = zoo.card(released)
    headings, _, row = showing.markdown([card]).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == len(headings.strip("|").split("|"))
    assert cells[:3] == [NAME, "digits", f"{100 * card.scores.top1:.2f} %"]
    assert cells[3:5] == ["–", f"{100 * card.twin.accuracy:.2f} %"]
    seen_twice = dataclasses.replace(card, scores=dataclasses.replace(card.scores, views=2, by_views=0.9))
    assert "| 90.00 % (2) |" in showing.markdown([seen_twice])
    assert ("by 2 views", "90.00 %") in showing.card_lines(seen_twice)
    assert f"{card.parameters:,}" in cells


def test_predict(released, loaded, test_split, tmp_path, capsys):
    at = int(scores(loaded, test_split.images).max(1).argmax())  # one that it is sure of
    Image.fromarray(test_split.images[at, ..., 0]).save(tmp_path / "digit.png")
    probabilities = predicting.probabilities(loaded, test_split.images[at])
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    code, [path, *lines], _ = command(capsys, "zoo", "predict", tmp_path / "digit.png", "--model", released)
    best = [line.split() for line in lines]
    assert code == 0 and path == str(tmp_path / "digit.png") and len(best) == 5
    assert best[0][:2] == [str(probabilities.argmax()), f"{100 * probabilities.max():.2f}"]
    shares = [float(line[1]) for line in best]
    assert shares == sorted(shares, reverse=True) and "█" in best[0][3]
    (tmp_path / "no.png").write_bytes(b"text")
    code, lines, [error] = command(capsys, "zoo", "predict", tmp_path / "no.png", "--model", released)
    assert code == 2 and "cannot be read" in error and "no.png" in error


@pytest.mark.parametrize(
    ("fraction", "bar"), [(1, "█" * 24), (0, ""), (0.5, "█" * 12), (1 / 24 / 8, "▏"), (2, "█" * 24)]
)
def test_bars(fraction, bar):
    assert showing.bar(fraction) == bar


def test_evaluate_agrees_or_says_so(card_path, tmp_path, capsys):
    code, lines, _ = command(capsys, "zoo", "evaluate", card_path, "--output", tmp_path / "found.json")
    assert code == 0 and lines[-1] == "agrees with the card"
    found = json.loads((tmp_path / "found.json").read_text())
    card = zoo.card(card_path)
    assert found["scores"]["top1"] == card.scores.top1 and found["agrees"] is True
    rewritten(card_path, scores=dataclasses.replace(card.scores, top1=0.99))
    code, lines, _ = command(capsys, "zoo", "evaluate", card_path)
    assert code == 1 and lines[-1] == "DIFFERS from the card" and "99.00 %" in lines[1]
    rewritten(card_path, data=dataclasses.replace(card.data, mark="0" * 16))
    code, _, [error] = command(capsys, "zoo", "evaluate", card_path)
    assert code == 2 and "are not those that 'cnn-w4-digits-dd2' was measured on" in error


def test_release(runs, tmp_path, capsys):
    options = {"to": tmp_path, "name": "scratch", "url": "https://a.test/b.npz", "licence": "CC0-1.0"}
    given = [text for name, value in options.items() for text in (f"--{name}", value)]
    code, lines, errors = command(capsys, "zoo", "release", runs / "twin", *given)
    assert (code, errors) == (0, [])
    card = zoo.card(tmp_path / "scratch.json")
    assert card.training.parts is card.twin is None and card.weights.url == "https://a.test/b.npz"
    assert (card.licence, card.data.licence) == ("CC0-1.0", "CC BY 4.0")
    assert lines[0].startswith("scratch: ") and str(tmp_path / "scratch.json") in lines[1]
    assert zoo.load(tmp_path / "scratch.json").count_params() == card.parameters
