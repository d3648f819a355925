"""Colorful Image Colorization (Zhang, Isola, Efros, ECCV 2016, arXiv 1603.08511): colour as classification.

A VGG-like network with dilated convolutions gives every pixel, at a quarter of the resolution, a distribution over 313
quantised colours, trained with class rebalancing; its annealed mean is the chroma. Agrees with the official PyTorch
package (richzhang/colorization, commit 4bda68f) to 1e-5 of chroma with its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.gamut import in_gamut_bins, soft_encode
from bench.registry import ModelCard, Weights
from bench.training.config import OptimizerConfig
from bench.training.rebalancing import ColourPrior
from bench.training.recipe import Batch, Phase, Recipe, Weight, weighted
from bench.training.schedules import make_optimizer

CARDS = (
    ModelCard(
        name="eccv16",
        family="zhang",
        title="Colorful Image Colorization",
        year=2016,
        paper="arXiv:1603.08511",
        repository="https://github.com/richzhang/colorization",
        parameters=32_236_011,
        macs=41_774_686_208,
        licence="BSD-2-Clause",
        working_size=256,
        weights=(
            Weights(
                name="release",
                file="colorization_release_v2-9b330a0b.pth",
                url="https://colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",
                sha256="9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
                licence="BSD-2-Clause",
                note="ImageNet, with class rebalancing; the temperature is part of the last layer",
            ),
        ),
        note="The original starts training from a k-means initialisation on data; here from He's.",
    ),
    ModelCard(
        name="eccv16-mini",
        family="zhang",
        title="Colorful Image Colorization (mini)",
        year=2016,
        paper="arXiv:1603.08511",
        repository="https://github.com/richzhang/colorization",
        parameters=1_148_487,
        macs=381_716_480,
        licence="BSD-2-Clause",
        working_size=128,
        note="The same architecture at 1/28 of the size, for 128 px and a CPU; not a model of the paper.",
    ),
)

PAPER_TEMPERATURE = 0.38
AB_SCALE = 110.0


def stage(inputs: int, outputs: int, convs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """``convs`` 3x3 convolutions, each with a ReLU, the last one with ``stride``; batch norm closes the stage."""
    layers: list[nn.Module] = []
    for i in range(convs):
        step = stride if i == convs - 1 else 1
        layers += [nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, step, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs))


class ECCV16(Colorizer):
    """The classification network. Its modules have the official names, so official files load as they are.

    Args:
        widths: channels at strides 2, 4, 8 and in the trunk.
        temperature: of the annealed mean; towards 0 the mode (vivid, patchy), 1 the mean (smooth, dull). The released
            weights are published with 1: the original scales the logits by 2.606, about 1 / 0.38, and that scale is
            part of their last layer. Weights trained by classification alone want the paper's 0.38.
        working_size: side the weights were trained for.
    """

    stride = 8

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        temperature: float = 1.0,
        working_size: int = 256,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = temperature
        self.working_size = working_size
        bins = in_gamut_bins()
        w2, w4, w8, trunk = widths
        self.model1 = stage(1, w2, convs=2, stride=2)
        self.model2 = stage(w2, w4, convs=2, stride=2)
        self.model3 = stage(w4, w8, convs=3, stride=2)
        self.model4 = stage(w8, trunk, convs=3)
        self.model5 = stage(trunk, trunk, convs=3, dilation=2)
        self.model6 = stage(trunk, trunk, convs=3, dilation=2)
        self.model7 = stage(trunk, trunk, convs=3)
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(trunk, w8, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(w8, w8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(w8, w8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(w8, len(bins), 1),
        )
        self.model_out = nn.Conv2d(len(bins), 2, 1, bias=False)
        self._initialise(bins)

    def _initialise(self, bins: Tensor) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        classifier = self.model8[-1]
        assert isinstance(classifier, nn.Conv2d)
        nn.init.normal_(classifier.weight, std=0.01)  # training starts near the uniform distribution
        with torch.no_grad():  # not learned: the expectation over the colours of the bins
            self.model_out.weight.copy_(bins.T[:, :, None, None] / AB_SCALE)
        self.model_out.requires_grad_(False)

    def logits(self, lightness: Tensor) -> Tensor:
        """(B, 1, H, W) L* -> (B, 313, H / 4, W / 4) unnormalised log-probabilities of the bins."""
        x = (lightness - 50) / 100
        for number in range(1, 9):
            x = getattr(self, f"model{number}")(x)
        return x

    def decode(self, logits: Tensor) -> Tensor:
        """(B, 313, H / 4, W / 4) -> (B, 2, H, W) ab: the annealed mean (eq. 5 of the paper), brought up bilinearly."""
        ab = self.model_out((logits / self.temperature).softmax(dim=1))
        return F.interpolate(ab, scale_factor=4, mode="bilinear") * AB_SCALE

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        return self.decode(self.logits(lightness))


def eccv16(**options: Any) -> ECCV16:
    return ECCV16(**options)


def eccv16_mini(**options: Any) -> ECCV16:
    """About 1.15 M parameters; made for 128 px, trained by classification alone and therefore decoded at 0.38."""
    mini: dict[str, Any] = {"widths": (12, 24, 48, 96), "temperature": PAPER_TEMPERATURE, "working_size": 128}
    return ECCV16(**mini | options)


class ECCV16Losses(Strict):
    """Weights of the terms."""

    classification: Weight = 1.0


class ECCV16Options(Strict):
    """Options of the recipe.

    Args:
        losses: weights of the terms.
        neighbours: bins that share a pixel's colour; 10 in the released training layer.
        rebalance: share of the uniform distribution in the prior whose inverse weights a pixel; 1 = no rebalancing.
        prior: ``running``: counted on the photographs as they come; or the .npy file of 313 probabilities.
        gray_limit: photographs without a chroma beyond this are not learned from.
        optimizer: of the network.
    """

    losses: ECCV16Losses = ECCV16Losses()
    neighbours: int = Field(default=10, ge=1, le=313)
    rebalance: float = Field(default=0.5, gt=0, le=1)
    prior: str = "running"
    gray_limit: float = Field(default=5.0, ge=0)
    optimizer: OptimizerConfig = OptimizerConfig(kind="adam", lr=3e-5, betas=(0.9, 0.99), weight_decay=1e-3)


class ECCV16Recipe(Recipe[ECCV16, ECCV16Options]):
    """Cross-entropy to softly encoded colours at a quarter of the resolution; rare colours weigh more."""

    options_type = ECCV16Options
    entries = ("logits",)
    without_files = ("prior=running",)

    def __init__(self, model: ECCV16, options: ECCV16Options) -> None:
        super().__init__(model, options)
        self.prior = ColourPrior(in_gamut_bins(), options.rebalance, options.prior)
        self.networks["prior"] = self.prior

    def optimizers(self) -> dict[str, Optimizer]:
        return {"model": make_optimizer(self.options.optimizer, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        yield Phase("model", weighted(self.options.losses, classification=lambda: self._classification(batch)))

    def _classification(self, batch: Batch) -> Tensor:
        coarse = batch.ab[:, :, ::4, ::4]
        target = soft_encode(coarse, self.prior.bins, k=self.options.neighbours)  # (B, 313, H / 4, W / 4)
        nearest = target.argmax(dim=1)
        self.prior.count(nearest)
        weight = self.prior.weights()[nearest]
        coloured = coarse.abs().flatten(1).amax(dim=1) > self.options.gray_limit
        entropy = -(target * self.model.logits(batch.lightness).float().log_softmax(dim=1)).sum(dim=1)
        return (entropy * weight * coloured[:, None, None]).mean()


RECIPE = ECCV16Recipe
