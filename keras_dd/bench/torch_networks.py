"""`models.resnet` and `models.speednet` in PyTorch, and K of them side by side as grouped convolutions."""

import itertools
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from keras_dd.bench.task import CLASSES


class Block(nn.Module):
    """ReLU(shortcut + [3x3, BN, ReLU, 3x3, BN]), with 1x1, BN for a shortcut where it strides."""

    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        conv = partial(nn.Conv2d, bias=False, groups=groups)
        self.conv1 = conv(inputs, outputs, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        projection = conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(*projection) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """From `groups` images side by side (N, 3 groups, H, W) to the scores of each (N, groups, classes)."""

    def __init__(self, depth, width, groups=1):
        super().__init__()
        blocks, inputs, layers = (depth - 2) // 6, width * groups, []
        for factor in 1, 2, 4:
            for number in range(blocks):
                stride = 2 if factor > 1 and number == 0 else 1
                layers.append(Block(inputs, factor * width * groups, stride, groups))
                inputs = factor * width * groups
        self.stem = nn.Conv2d(3 * groups, width * groups, 3, padding=1, bias=False, groups=groups)
        self.bn = nn.BatchNorm2d(width * groups)
        self.blocks = nn.Sequential(*layers)
        self.head = Head(4 * width, groups)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.bn(self.stem(x)), inplace=True)).mean((2, 3)))


class Group(nn.Sequential):
    """3x3, max-pool, BN, GELU, 3x3, BN, GELU; BN without gamma, as `models.speednet` has it."""

    def __init__(self, inputs, outputs, groups):
        conv = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False, groups=groups)
        first = conv(inputs, outputs), nn.MaxPool2d(2), BiasNorm(outputs), nn.GELU()
        super().__init__(*first, conv(outputs, outputs), BiasNorm(outputs), nn.GELU())


class BiasNorm(nn.BatchNorm2d):
    def __init__(self, channels):
        super().__init__(channels, momentum=0.4)
        self.weight.requires_grad = False


class Speednet(nn.Module):
    """From `groups` images side by side (N, 3 groups, H, W) to the scores of each (N, groups, classes)."""

    def __init__(self, width, groups=1):
        super().__init__()
        self.whiten = nn.Conv2d(3 * groups, 24 * groups, 2, bias=False, groups=groups)
        self.whiten.weight.requires_grad = False
        widths = [24 * groups, width * groups, 4 * width * groups, 4 * width * groups]
        self.blocks = nn.Sequential(*(Group(*pair, groups) for pair in itertools.pairwise(widths)))
        self.head = Head(4 * width, groups, bias=False)

    def forward(self, x):
        return self.head(self.blocks(F.gelu(self.whiten(x))).amax((2, 3))) / 9


class Head(nn.Module):
    """The dense layer of each of `groups` networks: (N, groups * features) -> (N, groups, classes)."""

    def __init__(self, features, groups, bias=True):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(groups, features, CLASSES) * features**-0.5)
        self.bias = nn.Parameter(torch.zeros(groups, CLASSES)) if bias else 0

    def forward(self, x):
        return torch.einsum("nkc,kco->nko", x.unflatten(1, (len(self.kernel), -1)), self.kernel) + self.bias


def training_step(network, size, batch_size, groups, dtype):
    """A function without arguments that trains a new network for one step of Adam, on one batch."""
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], fused=True)
    images = torch.randint(0, 256, (batch_size, 3 * groups, *size), dtype=torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch_size * groups,))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            scores = network(images / 127.5 - 1)
        loss = F.cross_entropy(scores.float().flatten(0, 1), labels) * groups  # the sum of those of the networks
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
