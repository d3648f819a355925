"""Real-Time User-Guided Image Colorization with Learned Deep Priors (Zhang et al., SIGGRAPH 2017, arXiv 1705.02999).

A U-Net that sees lightness and, where the user gave them, colours; without hints it colours by itself. A second head
classifies colours at a quarter of the resolution: it trains the trunk and suggests colours, forward does not need it.
Agrees with the official PyTorch package (richzhang/colorization, commit 4bda68f) to 1e-3 with its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.errors import HintsError
from bench.registry import ModelCard, Weights
from bench.training.config import OptimizerConfig
from bench.training.hinting import simulate_hints
from bench.training.recipe import Batch, Phase, Recipe, Weight, weighted
from bench.training.schedules import make_optimizer

CARDS = (
    ModelCard(
        name="siggraph17",
        family="zhang",
        title="Real-Time User-Guided Image Colorization",
        year=2017,
        paper="arXiv:1705.02999",
        repository="https://github.com/richzhang/colorization",
        parameters=34_187_027,
        macs=75_195_482_112,
        licence="BSD-2-Clause",
        working_size=256,
        hints=True,
        weights=(
            Weights(
                name="release",
                file="siggraph17-df00044c.pth",
                url="https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",
                sha256="df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
                licence="BSD-2-Clause",
                note="ImageNet, with simulated hints; the mask is 0 or 1 (retrained files with -0.5 or 0.5 differ)",
            ),
        ),
        note="The official package runs its decoder twice with the same result; here it runs once.",
    ),
    ModelCard(
        name="siggraph17-mini",
        family="zhang",
        title="Real-Time User-Guided Image Colorization (mini)",
        year=2017,
        paper="arXiv:1705.02999",
        repository="https://github.com/richzhang/colorization",
        parameters=1_225_683,
        macs=667_287_552,
        licence="BSD-2-Clause",
        working_size=128,
        hints=True,
        note="The same architecture at 1/28 of the size, for 128 px and a CPU; not a model of the paper.",
    ),
)

AB_SCALE = 110.0
COLOUR_CLASSES = 23 * 23  # a* and b* in steps of 10 from -110 to 110; class = 23 * index of a* + index of b*


def stage(inputs: int, outputs: int, convs: int, dilation: int = 1) -> nn.Sequential:
    """``convs`` 3x3 convolutions, each with a ReLU; batch norm closes the stage."""
    layers: list[nn.Module] = []
    for i in range(convs):
        conv = nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=dilation, dilation=dilation)
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs))


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the resolution, learned."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


def same(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution; in a ``Sequential`` because the official state dict has it so."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1))


class Features(NamedTuple):
    """What the trunk hands to the heads; ``full`` and ``half`` are its shortcuts to the decoder."""

    full: Tensor  # (B, widths[0], H, W)
    half: Tensor  # (B, widths[1], H / 2, W / 2)
    quarter: Tensor  # (B, widths[2], H / 4, W / 4)

    def detach(self) -> Features:
        """Cut from the graph: training lets only one of the two heads shape the trunk."""
        return Features(*(feature.detach() for feature in self))


class SIGGRAPH17(Colorizer):
    """The user-guided network. Its modules have the official names, so official files load as they are.

    Args:
        widths: channels at strides 1, 2, 4 and in the trunk.
        working_size: side the weights were trained for.
    """

    stride = 8
    accepts_hints = True

    def __init__(self, widths: tuple[int, int, int, int] = (64, 128, 256, 512), working_size: int = 256) -> None:
        super().__init__()
        self.working_size = working_size
        w1, w2, w4, trunk = widths
        self.model1 = stage(4, w1, convs=2)
        self.model2 = stage(w1, w2, convs=2)
        self.model3 = stage(w2, w4, convs=3)
        self.model4 = stage(w4, trunk, convs=3)
        self.model5 = stage(trunk, trunk, convs=3, dilation=2)
        self.model6 = stage(trunk, trunk, convs=3, dilation=2)
        self.model7 = stage(trunk, trunk, convs=3)
        self.model8up, self.model3short8 = double(trunk, w4), same(w4, w4)
        self.model8 = nn.Sequential(nn.ReLU(), *stage(w4, w4, convs=2))
        self.model9up, self.model2short9 = double(w4, w2), same(w2, w2)
        self.model9 = nn.Sequential(nn.ReLU(), *stage(w2, w2, convs=1))
        self.model10up, self.model1short10 = double(w2, w2), same(w1, w2)
        self.model10 = nn.Sequential(nn.ReLU(), nn.Conv2d(w2, w2, 3, padding=1), nn.LeakyReLU(0.2))
        self.model_class = nn.Sequential(nn.Conv2d(w4, COLOUR_CLASSES, 1))
        self.model_out = nn.Sequential(nn.Conv2d(w2, 2, 1), nn.Tanh())
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                nn.init.normal_(module.weight, mean=float(isinstance(module, nn.BatchNorm2d)), std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def features(self, lightness: Tensor, hints: Hints | None = None) -> Features:
        """The trunk: (B, 1, H, W) L* and hints -> features at strides 1, 2 and 4.

        Raises:
            HintsError: the hints are not for images of this number and size.
        """
        if hints is None:
            given = lightness.new_zeros(lightness.shape[0], 3, *lightness.shape[-2:])
        elif hints.mask.shape == lightness.shape:
            given = torch.cat((hints.ab / AB_SCALE, hints.mask), dim=1)
        else:
            raise HintsError(
                f"hints of shape {tuple(hints.mask.shape)} do not fit lightness of shape {tuple(lightness.shape)}. "
                "Expected one mask per image, of its size."
            )
        full = self.model1(torch.cat(((lightness - 50) / 100, given), dim=1))
        half = self.model2(full[:, :, ::2, ::2])
        quarter = self.model3(half[:, :, ::2, ::2])
        x = self.model4(quarter[:, :, ::2, ::2])
        x = self.model7(self.model6(self.model5(x)))
        return Features(full, half, self.model8(self.model8up(x) + self.model3short8(quarter)))

    def classify(self, features: Features) -> Tensor:
        """Features -> (B, 529, H / 4, W / 4) logits of the colour classes."""
        return self.model_class(features.quarter)

    def regress(self, features: Features) -> Tensor:
        """Features -> (B, 2, H, W) ab."""
        x = self.model9(self.model9up(features.quarter) + self.model2short9(features.half))
        x = self.model10(self.model10up(x) + self.model1short10(features.full))
        return self.model_out(x) * AB_SCALE

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        return self.regress(self.features(lightness, hints))


def siggraph17(**options: Any) -> SIGGRAPH17:
    return SIGGRAPH17(**options)


def siggraph17_mini(**options: Any) -> SIGGRAPH17:
    """About 1.2 M parameters; made for 128 px."""
    mini: dict[str, Any] = {"widths": (12, 24, 48, 96), "working_size": 128}
    return SIGGRAPH17(**mini | options)


class SIGGRAPH17Losses(Strict):
    """Weights of the terms."""

    classification: Weight = 1.0
    regression: Weight = 10.0


class SIGGRAPH17Options(Strict):
    """Options of the recipe (richzhang/colorization-pytorch, commit 66a1cb2).

    Args:
        losses: weights of the terms.
        classification_steps: as long as these last, the classifier shapes the trunk and no hints are given; after them
            the regression does, with hints.
        stop_probability: the number of hints n has the probability p (1 - p)^n, 7 on average for 0.125.
        gray_limit: photographs whose a* and b* span less than this, together, are not learned from.
        optimizer: of the network.
    """

    losses: SIGGRAPH17Losses = SIGGRAPH17Losses()
    classification_steps: int = Field(default=0, ge=0)
    stop_probability: float = Field(default=0.125, gt=0, le=1)
    gray_limit: float = Field(default=5.0, ge=0)
    optimizer: OptimizerConfig = OptimizerConfig(kind="adam", lr=1e-4, betas=(0.9, 0.999))


class SIGGRAPH17Recipe(Recipe[SIGGRAPH17, SIGGRAPH17Options]):
    """Both heads learn all the time, but only one of them shapes the trunk."""

    options_type = SIGGRAPH17Options
    entries = ("features", "classify", "regress")

    def optimizers(self) -> dict[str, Optimizer]:
        return {"model": make_optimizer(self.options.optimizer, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        classifying = batch.step < self.options.classification_steps
        hints = None
        if not classifying:
            hints = simulate_hints(batch.ab, batch.seeds, self.options.stop_probability, batch.seeds_on_cpu)
        features = self.model.features(batch.lightness, hints)
        extent = batch.ab.flatten(2).amax(dim=2) - batch.ab.flatten(2).amin(dim=2)
        coloured = (extent.sum(dim=1) >= self.options.gray_limit).float()  # (B,)

        def classification() -> Tensor:
            logits = self.model.classify(features if classifying else features.detach()).float()
            entropy = F.cross_entropy(logits, colour_class(batch.ab[:, :, ::4, ::4]), reduction="none")
            return (entropy.mean(dim=(1, 2)) * coloured).mean()

        def regression() -> Tensor:
            ab = self.model.regress(features.detach() if classifying else features).float()
            distance = ((ab - batch.ab).abs() / AB_SCALE).sum(dim=1)
            return (distance.mean(dim=(1, 2)) * coloured).mean()

        terms = weighted(self.options.losses, classification=classification, regression=regression)
        yield Phase("model", terms)


def colour_class(ab: Tensor) -> Tensor:
    """(B, 2, H, W) -> (B, H, W) index of the colour class."""
    a, b = ((ab + 110) / 10).round().clamp(0, 22).long().unbind(dim=1)
    return 23 * a + b


RECIPE = SIGGRAPH17Recipe
