"""pix2pix: image-to-image translation with conditional adversarial networks (Isola et al., CVPR 2017, 1611.07004).

The generator of the official repository's colorization mode (junyanz/pytorch-CycleGAN-and-pix2pix): a U-Net of 4x4
convolutions that halves the image down to one pixel and back. Its discriminator is
``bench.training.discriminators.PatchDiscriminator``. The official test script keeps dropout and batch statistics as in
training unless told otherwise; here an image is coloured in eval mode, so its colours depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.registry import ModelCard
from bench.training.config import OptimizerConfig
from bench.training.discriminators import PatchDiscriminator, init_normal
from bench.training.losses import adversarial
from bench.training.recipe import Batch, Model, Phase, Recipe, Weight, frozen, weighted
from bench.training.schedules import make_optimizer

CARDS = (
    ModelCard(
        name="pix2pix",
        family="pix2pix",
        title="pix2pix (U-Net 256)",
        year=2017,
        paper="arXiv:1611.07004",
        repository="https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix",
        parameters=54_409_858,
        macs=5_981_077_504,
        licence="BSD-2-Clause",
        working_size=256,
        note="No official colorization weights exist; files of the official code and of the Shariatnia tutorial load.",
    ),
    ModelCard(
        name="pix2pix-mini",
        family="pix2pix",
        title="pix2pix (mini)",
        year=2017,
        paper="arXiv:1611.07004",
        repository="https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix",
        parameters=1_237_392,
        macs=46_970_880,
        licence="BSD-2-Clause",
        working_size=128,
        note="The same architecture at 1/44 of the size, for 128 px and a CPU; not a model of the paper.",
    ),
)

CHROMA_SCALE = 110.0


class Down(nn.Module):
    """Halve the sides: leaky ReLU, 4x4 convolution, batch norm; the outermost has neither norm nor activation."""

    def __init__(self, inputs: int, outputs: int, activate: bool, norm: bool) -> None:
        super().__init__()
        self.activation = nn.LeakyReLU(0.2) if activate else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.activation(x)))


class Up(nn.Module):
    """Double the sides: ReLU, transposed 4x4 convolution, batch norm, dropout; the outermost has a bias instead."""

    def __init__(self, inputs: int, outputs: int, norm: bool, dropout: float) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.conv(F.relu(x))))


class Pix2Pix(Colorizer):
    """The U-Net generator. ``downs[k]`` and ``ups[k]`` are level k, from the outermost, 0, to the bottleneck.

    Args:
        levels: times the sides are halved; 2 ** ``levels`` is the stride (256 for the 8 of the paper).
        width: channels of level 0; they double from level to level, up to 8 times ``width``.
        dropout: of the levels between the fifth and the bottleneck, while training.
        working_size: side the weights were trained at.
    """

    def __init__(self, levels: int = 8, width: int = 64, dropout: float = 0.5, working_size: int = 256) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels must be at least 2, not {levels}")
        self.stride = 2**levels
        self.working_size = working_size
        channels = [width * min(2**k, 8) for k in range(levels)]
        innermost = levels - 1
        self.downs = nn.ModuleList(
            Down(before, after, activate=k > 0, norm=0 < k < innermost)
            for k, (before, after) in enumerate(pairwise([1, *channels]))
        )
        self.ups = nn.ModuleList(
            Up(
                inputs if k == innermost else 2 * inputs,
                outputs,
                norm=k > 0,
                dropout=dropout if 4 <= k < innermost else 0.0,
            )
            for k, (outputs, inputs) in enumerate(pairwise([2, *channels]))
        )
        init_normal(self)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        features = [lightness / 50 - 1]
        for down in self.downs:
            features.append(down(features[-1]))
        x = features.pop()
        for level in reversed(range(len(self.ups))):
            x = self.ups[level](x)  # (B, C, H / 2**level, W / 2**level)
            if level:
                x = torch.cat((features[level], x), dim=1)
        return CHROMA_SCALE * x.tanh()

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours, of the official generator, or of a whole tutorial model (``net_G.``); strictly."""
        state = generator_part(state)
        if any(key.startswith("model.model.") for key in state):
            state = from_official(state, levels=len(self.downs))
        super().load_weights(state)


def generator_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Only the generator of a state dict that the Shariatnia tutorial saved of its whole model; others unchanged."""
    generator = {key.removeprefix("net_G."): tensor for key, tensor in state.items() if key.startswith("net_G.")}
    return generator or dict(state)


_OUTERMOST = {0: "downs.{}.conv", 3: "ups.{}.conv"}
_BETWEEN = {1: "downs.{}.conv", 2: "downs.{}.norm", 5: "ups.{}.conv", 6: "ups.{}.norm"}
_INNERMOST = {1: "downs.{}.conv", 3: "ups.{}.conv", 4: "ups.{}.norm"}


def from_official(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """Rename the keys of the official generator, where each level is nested in the one around it.

    A key of no level keeps its name, so that strict loading reports it.
    """
    names: dict[str, str] = {}
    path = "model.model"
    for level in range(levels):
        slots = _OUTERMOST if level == 0 else _INNERMOST if level == levels - 1 else _BETWEEN
        names |= {f"{path}.{slot}": name.format(level) for slot, name in slots.items()}
        path += ".3.model" if level else ".1.model"
    renamed = {}
    for key, tensor in state.items():
        module, _, leaf = key.rpartition(".")
        renamed[f"{names[module]}.{leaf}" if module in names else key] = tensor
    return renamed


def pix2pix(**options: Any) -> Pix2Pix:
    return Pix2Pix(**options)


def pix2pix_mini(**options: Any) -> Pix2Pix:
    """About 1.2 M parameters: 7 levels, so that 128 px shrink to one pixel as 256 px do in the paper's 8."""
    return Pix2Pix(**{"levels": 7, "width": 11, "working_size": 128} | options)


class GANLosses(Strict):
    """Weights of the terms; ``pixel`` is L1 on chroma / 110."""

    pixel: Weight = 100.0
    adversarial: Weight = 1.0


class GANOptions(Strict):
    """Options of the recipe.

    Args:
        losses: weights of the terms.
        real_label: what the discriminator is asked to say of originals; below 1: one-sided label smoothing.
        discriminator_width: channels of its first layer.
        generator, discriminator: optimisers.
    """

    losses: GANLosses = GANLosses()
    real_label: float = Field(default=1.0, gt=0, le=1)
    discriminator_width: int = Field(default=64, ge=1, le=1024)
    generator: OptimizerConfig = OptimizerConfig(lr=2e-4, betas=(0.5, 0.999))
    discriminator: OptimizerConfig = OptimizerConfig(lr=2e-4, betas=(0.5, 0.999))


class GANRecipe(Recipe[Model, GANOptions]):
    """The conditional GAN of pix2pix, for any network: one update of the discriminator, then one of the generator."""

    options_type = GANOptions

    def __init__(self, model: Model, options: GANOptions) -> None:
        super().__init__(model, options)
        self.discriminator = PatchDiscriminator(width=options.discriminator_width)
        self.networks["discriminator"] = self.discriminator

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "generator": make_optimizer(self.options.generator, self.model.parameters()),
            "discriminator": make_optimizer(self.options.discriminator, self.discriminator.parameters()),
        }

    def phases(self, batch: Batch) -> Iterator[Phase]:
        ab = self.model(batch.lightness).float()
        if self.options.losses.adversarial:
            real = adversarial(self._judge(batch, batch.ab), real=True, label=self.options.real_label)
            fake = adversarial(self._judge(batch, ab.detach()), real=False)
            yield Phase("discriminator", {"discriminator": 0.5 * (real + fake)})

        def fooled() -> Tensor:
            with frozen(self.discriminator):
                return adversarial(self._judge(batch, ab), real=True)

        terms = weighted(self.options.losses, pixel=lambda: chroma_distance(ab, batch.ab), adversarial=fooled)
        yield Phase("generator", terms)

    def _judge(self, batch: Batch, ab: Tensor) -> Tensor:
        return self.discriminator(torch.cat((batch.lightness / 50 - 1, ab / CHROMA_SCALE), dim=1))


def chroma_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of chroma / 110."""
    return F.l1_loss(found, wanted) / CHROMA_SCALE


RECIPE = GANRecipe
