"""Recipes: how long and how fast each stage of training goes.

Everything here is data, and nothing but the standard library is imported, so that `keras-dd --help` is instant.
"""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of training: how long, and how fast.

    `schedule` is "step" (divided by 10 at the epochs `drops`, the paper's way), "one-cycle" (a linear rise over
    the first quarter, then half a cosine down to zero), "triangular" (from a fifth of the rate up to it over the first
    23 %, then down to 7 % of it) or "linear" (from the rate down to zero).
    `optimizer` is "adam", "sgd" (with Nesterov's `momentum`) or "muon" (see `optimizer.Muon`); `weight_decay` times
    each weight is added to its gradient (L2).  `bias_rate` times the learning rate, with the same decay, is that of the
    biases of batch norm.  `lookahead` draws the weights back to their own slow average every few steps.
    `label_smoothing` is the share of an image's label that is dealt to all classes alike.  `boxes` of sub-networks are
    "fixed", or "random": of the same size, somewhere else in each step.
    """

    epochs: int
    learning_rate: float
    schedule: str = "one-cycle"
    drops: tuple[int, ...] = ()
    optimizer: str = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    bias_rate: float = 1.0
    lookahead: bool = False
    label_smoothing: float = 0.0
    boxes: str = "fixed"

    def lasting(self, epochs: int | None) -> "Stage":
        """The same stage over another number of epochs, its drops moved in proportion."""
        if epochs is None or epochs == self.epochs:
            return self
        drops = tuple(max(1, round(drop * epochs / self.epochs)) for drop in self.drops)  # none before the first epoch
        return dataclasses.replace(self, epochs=epochs, drops=drops)


@dataclass(frozen=True)
class Recipe:
    """How networks are trained: batches of `batch_size`, and what is done to the training images.

    `subnets` and `finetune` are the two stages of training by decomposition, `baseline` is the full network from random
    initialisation.
    `flip` mirrors half of the images left to right: at random, or with `alternate` every image in every second
    epoch.  `crop` pads by that many pixels, black ones or with `padding` "reflect" the image's own, and cuts a random
    window.
    `standardize` makes a network that is built by name begin with the training images' mean and variance.
    `overlap` is the share of the image's side that neighbouring boxes have in common, in whole pixels.
    """

    about: str
    subnets: Stage
    finetune: Stage
    baseline: Stage
    batch_size: int = 128
    flip: bool = True
    alternate: bool = False
    crop: int = 0
    padding: str = "black"
    standardize: bool = False
    overlap: float = 0.0


# Section 3.2 of "Simplified residual structure and fast deep residual networks" (2021), as in He et al.
FASTRESNET = Stage(epochs=160, learning_rate=0.1, schedule="step", drops=(80, 120), optimizer="sgd", weight_decay=1e-4)
# airbench94 of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Jordan, 2024), there 9.9 epochs.  Its decoupled rate
# of 11.5, shared by 1024 (1 + 1 / (1 - 0.85)) images of a summed loss, is 1.5 for the mean over a batch of 1024; its
# decay of 0.0153 is 0.0153 / 11.5 of the rate.
SPEED = Stage(
    epochs=10,
    learning_rate=1.5,
    schedule="triangular",
    optimizer="sgd",
    weight_decay=0.00133,
    momentum=0.85,
    bias_rate=64.0,
    lookahead=True,
    label_smoothing=0.2,
)
# Its successor in the same repository, airbench94_muon: rates of 0.24 for convolutions, 0.67 / 2000 for a head whose
# scores are divided by 256 and not by 9, 0.053 for biases; a decay of 0.004 a step.
MUON = Stage(
    epochs=8,
    learning_rate=0.24,
    schedule="linear",
    optimizer="muon",
    weight_decay=0.0024,
    momentum=0.85,
    bias_rate=64.0,
    label_smoothing=0.2,
)
RECIPES = {
    "quick": Recipe(
        about="one-cycle, made for one machine and few epochs",
        subnets=Stage(epochs=2, learning_rate=5e-3),
        finetune=Stage(epochs=7, learning_rate=5e-3),
        baseline=Stage(epochs=8, learning_rate=5e-3),
        batch_size=64,
    ),
    # Section 3 of the paper, "A fast learning strategy ... based on domain decomposition" (2020).
    "paper": Recipe(
        about="the paper's: 120 epochs, 80 of fine-tuning, flips only",
        subnets=Stage(epochs=120, learning_rate=1e-3, schedule="step", drops=(80, 90)),
        finetune=Stage(epochs=80, learning_rate=1e-4, schedule="step", drops=(20, 40, 60)),
        baseline=Stage(epochs=160, learning_rate=1e-3, schedule="step", drops=(80, 120)),
        overlap=0.25,
    ),
    # Its 160 epochs for the sub-networks; fine-tuning is half as long, from a tenth of the learning rate on.
    "fastresnet": Recipe(
        about="FastResNet's: Nesterov, 160 epochs, 80 of fine-tuning, crops",
        subnets=FASTRESNET,
        finetune=dataclasses.replace(FASTRESNET.lasting(80), learning_rate=0.01),
        baseline=FASTRESNET,
        crop=4,
        standardize=True,
        overlap=0.25,
    ),
    # Sub-networks are no part of the published recipes: a short first stage at the same rates.
    "speed": Recipe(
        about="airbench94's, for speednet: Nesterov, Lookahead, batches of 1024",
        subnets=SPEED.lasting(2),
        finetune=SPEED.lasting(8),
        baseline=SPEED,
        batch_size=1024,
        alternate=True,
        crop=2,
        padding="reflect",
        standardize=True,
    ),
    "speed-muon": Recipe(
        about="airbench94_muon's, for speednet: Muon, batches of 2000",
        subnets=MUON.lasting(2),
        finetune=MUON.lasting(6),
        baseline=MUON,
        batch_size=2000,
        alternate=True,
        crop=2,
        padding="reflect",
        standardize=True,
    ),
}
