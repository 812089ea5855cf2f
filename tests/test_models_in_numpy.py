"""models/ in numpy: the CIFAR ResNet of He et al. as published PyTorch weights have it, and FastResNet."""

import numpy as np
import pytest
from conftest import images_for, randomize, scores

from keras_dd.models import fastresnet, resnet


def layers_of(model):
    """conv(x, name, stride), norm(x, name), relu(x) and head(x), with the weights of `model`."""

    def conv(x, name, stride=1):
        """3x3 with a zero on each side: torch's Conv2d(kernel_size=3, stride=stride, padding=1)."""
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
        return np.einsum("nhwcij,ijco->nhwo", patches, model.get_layer(name).get_weights()[0])

    def norm(x, name):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def relu(x):
        return np.maximum(x, 0)

    def head(x):
        kernel, bias = model.get_layer("head").get_weights()
        return x.mean((1, 2)) @ kernel + bias

    return conv, norm, relu, head


def identity(x, channels):
    """F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)) in torch"""
    return np.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (channels // 4, channels // 4)))


def he_resnet(model, images, blocks):
    """The scores of the standard network with the weights of `model`, which has identity shortcuts."""
    conv, norm, relu, head = layers_of(model)
    x = relu(norm(conv(images / 127.5 - 1, "stem_conv"), "stem_bn"))
    for stage in (1, 2, 3):
        for number in range(1, blocks + 1):
            name = f"stack{stage}_block{number}"
            stride = 2 if stage > 1 and number == 1 else 1
            y = relu(norm(conv(x, f"{name}_1_conv", stride), f"{name}_1_bn"))
            y = norm(conv(y, f"{name}_2_conv"), f"{name}_2_bn")
            x = relu((identity(x, y.shape[-1]) if stride == 2 else x) + y)
    return head(x)


@pytest.mark.parametrize(("depth", "side"), [(8, 16), (14, 10)])
def test_identity_shortcuts_make_the_standard_network(depth, side, rng):
    model = randomize(resnet(depth, 4, image_shape=(side, side, 3), shortcut="identity"), rng)
    images = images_for(model, rng)
    expected = he_resnet(model, images, (depth - 2) // 6)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(scores(model, images), expected, atol=1e-5)


def fast_resnet(model, images, blocks, block):
    """The scores of the paper's network, by its equations 6, 7 and 8."""
    conv, norm, relu, head = layers_of(model)

    def act(x, name):
        return relu(norm(x, f"{name}_bn"))

    x = conv(images / 127.5 - 1, "stem_conv")
    for stage in (1, 2, 3):
        for number in range(1, blocks + 1):
            name = f"stack{stage}_block{number}"
            stride = 2 if stage > 1 and number == 1 else 1
            first = x if block == "type1" else act(x, f"{name}_1")
            second = conv(first, f"{name}_1_conv", stride)
            second = second if block == "type2" else act(second, f"{name}_2")
            y = conv(second, f"{name}_2_conv")
            x = (identity(x, y.shape[-1]) if stride == 2 else x) + y
    return head(act(x, "last"))


@pytest.mark.parametrize("block", ["basic", "type1", "type2"])
def test_fastresnets_compute_the_equations_of_the_paper(block, rng):
    model = randomize(fastresnet(14, 4, image_shape=(10, 10, 3), shortcut="identity", block=block), rng)
    images = images_for(model, rng)
    expected = fast_resnet(model, images, 2, block)
    assert 0.1 < np.ptp(expected) < 1000
    np.testing.assert_allclose(scores(model, images), expected, rtol=1e-4, atol=1e-4)
