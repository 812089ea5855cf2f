"""featuremaps.py and its command on a short run: what is drawn and counted is what lies in the run directory."""

import json
import shutil
import struct

import numpy as np
import pytest

import keras_dd
from keras_dd import data, featuremaps, models
from keras_dd.apps.main import main
from keras_dd.config import UserError


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    where = tmp_path_factory.mktemp("maps") / "run"
    settings = {"width": 8, "subnet_epochs": 0, "epochs": 1, "batch_size": 128}
    keras_dd.fit("cnn", "digits", **settings, run_dir=str(where))
    return where


@pytest.fixture(scope="module")
def networks(run_dir):
    return featuremaps.load(run_dir)


def network(path, width, side):
    """The network of these weights, built by its builder."""
    model = models.cnn(width, image_shape=(side, side, 1))
    model.load_weights(path)
    return model


def test_blocks_are_those_of_the_files(run_dir, networks):
    found = {each["layer"]: each for each in featuremaps.movement(networks)}
    assert list(found) == ["conv1", "conv2", "dense", "head"]
    finetuned = network(run_dir / "model.weights.h5", 8, 32)
    parts = [network(run_dir / f"subnet{k}.weights.h5", 2, 16) for k in (1, 2, 3, 4)]
    for layer, each in found.items():
        squares = sum(np.sum(part.get_layer(layer).kernel.numpy() ** 2) for part in parts)
        norm = np.sqrt(squares) / (4 if layer == "head" else 1)
        assert each["diagonal"]["before"] == pytest.approx(norm, rel=1e-5)
        after = each["diagonal"]["after"] ** 2 + (each["off_diagonal"] or {"after": 0})["after"] ** 2
        assert np.sqrt(after) == pytest.approx(np.linalg.norm(finetuned.get_layer(layer).kernel), rel=1e-5)
        assert 0.01 < each["diagonal"]["moved"] < 2
    assert found["conv1"]["off_diagonal"] is None and found["head"]["off_diagonal"] is None
    assert found["conv2"]["off_diagonal"]["before"] == 0 < found["conv2"]["off_diagonal"]["after"]
    kernel = finetuned.get_layer("conv2").kernel.numpy()
    moved = parts[0].get_layer("conv2").kernel.numpy() - kernel[..., :2, :4]
    squares = found["conv2"]["diagonal"]["moved"] ** 2 * found["conv2"]["diagonal"]["before"] ** 2
    assert np.sum(moved**2) < squares  # one of the four blocks


def test_a_sub_network_has_the_maps_of_its_channels_in_its_box(networks):
    images = data.load("digits").test.images[:2]
    visit = featuremaps.first_convolution(networks)
    assert visit.name == "conv1"
    own = featuremaps.subnet_maps(networks, visit, images)
    composed = featuremaps.maps(networks.composed, "conv1", images)
    assert own.shape == composed.shape == (2, 32, 32, 8)
    inside = own[:, 18:30, 2:14, 4:6]  # the third box, where a kernel of 5x5 does not reach over its edges
    np.testing.assert_allclose(inside, composed[:, 18:30, 2:14, 4:6], atol=1e-5)
    assert np.ptp(inside) > 0.1 and np.isnan(own[:, :16, :, 4:6]).all() and np.isfinite(own[:, 16:, :16, 4:6]).all()
    random = featuremaps.kernel(networks.random, "conv1")
    assert random.std() > 0.01 and not np.allclose(random, featuremaps.kernel(networks.composed, "conv1"))


def test_the_command_draws_and_tells(run_dir, capsys):
    with pytest.raises(SystemExit) as end:
        main(["feature-maps", str(run_dir), "--image", "7", "--image", "0"])
    lines = capsys.readouterr().out.splitlines()
    assert not end.value.code
    folder = run_dir / "feature-maps"
    files = {"image-7.png", "image-0.png", "kernels.png", "movement.json"}
    assert {path.name for path in folder.iterdir()} == files
    assert lines[-4:] == [str(folder / name) for name in ("image-7.png", "image-0.png", "kernels.png", "movement.json")]
    assert max(map(len, lines[:-4])) <= 80
    for name in files - {"movement.json"}:
        png = (folder / name).read_bytes()
        assert struct.unpack(">II", png[16:24]) == (1690, 845) and len(png) > 15_000
    written = json.loads((folder / "movement.json").read_text())
    assert written["images"] == [7, 0] and len(written["layers"]) == 4
    moved = f"{100 * written['layers'][1]['diagonal']['moved']:.1f} %"
    assert any(line.startswith("conv2 ") and moved in line for line in lines)


def test_what_cannot_be_drawn_is_told(run_dir, networks, tmp_path):
    with pytest.raises(UserError, match="image 360 is not there: the test split has 0 to 359"):
        featuremaps.draw(networks, tmp_path, [0, 360])
    with pytest.raises(UserError, match="is not the directory of a run"):
        featuremaps.load(tmp_path)
    copied = shutil.copytree(run_dir, tmp_path / "run")
    (copied / "subnet1.weights.h5").unlink()
    with pytest.raises(UserError, match="has no sub-networks"):
        featuremaps.load(copied)
    (copied / "report.json").unlink()
    with pytest.raises(UserError, match="is not finished: go on with keras-dd fit --resume"):
        featuremaps.load(copied)
    config = json.loads((copied / "config.json").read_text())
    config["made_of"]["own"] = ["model"]
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="the model of the run in .* was an object of your own"):
        featuremaps.load(copied)
