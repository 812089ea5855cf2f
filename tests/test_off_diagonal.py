"""composition.py: what stands between the parts of a composed network, where that is not zeros."""

import numpy as np
import pytest
from conftest import randomize

from keras_dd import compose, decompose
from keras_dd.config import UserError
from keras_dd.models import cnn, resnet


def random_resnet():
    """(full network, its decomposition with random weights and statistics, what it is composed to)."""
    model, rng = resnet(8, 8, 5), np.random.default_rng(8)
    subnets = decompose(model, 4)
    for subnet in subnets:
        randomize(subnet, rng)
    return model, subnets, compose(subnets, model)


@pytest.mark.parametrize("option", ["noise:0.5", "noise", "orthogonal:0.5", "orthogonal"])
def test_off_diagonal_blocks_are_filled_and_the_others_kept(option):
    """With the standard deviation of He's initialisation, sqrt(2 / fan-in), times the scale."""
    model, subnets, zeros = random_resnet()
    kind, _, scale = option.partition(":")
    filled = compose(subnets, model, off_diagonal=option)
    sizes = []
    for layer in zeros.layers:
        for before, after in zip(layer.get_weights(), filled.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(after[before != 0], before[before != 0])
            assert (after != 0).all()
            between = after[before == 0]
            if between.size:
                sizes.append(between.std() / np.sqrt(2 / np.prod(before.shape[:-1])))
                assert abs(between.mean()) < 0.2 * between.std()
    assert len(sizes) == 8  # the convolutions but for the first, and not the head
    np.testing.assert_allclose(sizes, float(scale or 1), rtol=0.15)


@pytest.mark.parametrize("kind", ["noise:1", "orthogonal:1"])
def test_off_diagonal_blocks_are_those_of_the_seed(kind):
    model = cnn(4, image_shape=(16, 16, 3))
    subnets = decompose(model, 2)
    first, again, other = (compose(subnets, model, kind, seed=seed).get_weights() for seed in (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_two_layers_of_one_shape_get_different_noise():
    model, subnets, zeros = random_resnet()
    filled = compose(subnets, model, "noise:1")
    a, b = (filled.get_layer(f"stack1_block1_{n}_conv").get_weights()[0] for n in (1, 2))
    off = zeros.get_layer("stack1_block1_1_conv").get_weights()[0] == 0
    assert not np.allclose(a[off], b[off])


def test_an_orthogonal_kernel_is_orthogonal_but_for_its_diagonal_blocks():
    """With 8 parts an eighth of a column is the part's own; what is left of two columns is nearly orthogonal."""
    model = cnn(8)
    subnets = decompose(model, 8)

    def cosine(option):
        """Between what is not their own of the two columns of a part, the mean over parts."""
        kernel = compose(subnets, model, option).get_layer("conv2").get_weights()[0]
        pairs = (np.delete(kernel, k, axis=2)[..., 2 * k : 2 * k + 2].reshape(-1, 2) for k in range(8))
        return np.mean([abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in (pair.T for pair in pairs)])

    assert cosine("orthogonal:1") < 0.5 * cosine("noise:1")


def test_unknown_off_diagonal_is_refused():
    model = cnn(4, image_shape=(16, 16, 3))
    with pytest.raises(UserError, match="off_diagonal is 'ones': it takes zeros, noise:SCALE or orthogonal:SCALE"):
        compose(decompose(model, 2), model, off_diagonal="ones")
