"""What the tests of networks share: random weights, random batch-norm statistics, and the mean that composing keeps."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import keras_dd  # noqa: F401  before keras: what it sets for TensorFlow is read when that is imported

# How each kind of weight is drawn, by its name: values stay of order 1 through a hundred residual blocks, because
# gamma makes their branches small.
DRAWS = {
    "depthwise_kernel": lambda rng, shape: rng.normal(0, math.sqrt(1 / math.prod(shape[:2])), shape),
    "kernel": lambda rng, shape: rng.normal(0, math.sqrt(1 / math.prod(shape[:-1])), shape),
    "bias": lambda rng, shape: rng.normal(0, 0.3, shape),
    "gamma": lambda rng, shape: rng.uniform(0.2, 0.6, shape),
    "beta": lambda rng, shape: rng.normal(0, 0.3, shape),
    "moving_mean": lambda rng, shape: rng.normal(0, 0.3, shape),
    "moving_variance": lambda rng, shape: rng.uniform(0.5, 2, shape),
    "alpha": lambda rng, shape: rng.uniform(0, 0.5, shape),
}


def pytest_xdist_auto_num_workers(config):
    """Two processes; one file, or one test, runs in this one."""
    [first, *more] = config.args
    return 2 if more or Path(first.partition("::")[0]).is_dir() else 0


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def randomize(model, rng):
    """Give a model random weights and random batch-norm statistics, all of them different from 0, and return it."""
    for weight in model.weights:
        kind = next((kind for kind in DRAWS if weight.name.endswith(kind)), None)
        if kind:  # the others are the constants of Normalization
            weight.assign(DRAWS[kind](rng, weight.shape))
    return model


def images_for(model, rng, count=3):
    return rng.uniform(0, 255, (count, *model.input_shape[1:])).astype("float32")


def scores(model, images):
    """The model's scores in inference mode, as an array."""
    import keras  # not above: the process that deals out the tests needs no TensorFlow

    return keras.ops.convert_to_numpy(keras.ops.cast(model(images, training=False), "float32"))


def assert_mean(composed, subnets, images, tolerance=1e-5):
    """The composed network's scores are the mean of those of its sub-networks, which see whole images here."""
    each = np.stack([scores(subnet, images) for subnet in subnets])
    size = np.abs(each).max()
    assert 0.01 < size < 100, "the test wants scores of order 1"
    assert np.ptp(each, axis=0).max() > 0.01 * size, "the test wants sub-networks that differ"
    np.testing.assert_allclose(scores(composed, images), each.mean(0), rtol=0, atol=tolerance * max(1, size))


def on_whole_images(subnets, builder):
    """The networks that `builder()` gives, for whole images, with the weights of the sub-networks."""
    whole = []
    for subnet in subnets:
        whole.append(builder())
        whole[-1].set_weights(subnet.get_weights())
    return whole


@pytest.fixture
def bfloat16():
    """Layers compute in bfloat16 within the test, and keep their weights in float32."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The working directory is an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the mistakes are made; it is the same afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full" / "of things").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")

    def state():
        return {str(path): path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    before = state()
    yield tmp_path
    assert state() == before


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium that knows no network."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    where = tmp_path_factory.mktemp("chromium")
    quiet = "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run", "disable-quic"
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={where}", *quiet):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()
