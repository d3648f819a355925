"""How DDColor is trained: the recipe of the official repository (piddnad/DDColor, commit 2adb63f).

Four losses: L1 on chroma, perceptual, adversarial, colourfulness. Where the paper and the code differ, an option says
which is followed; the defaults are the code's, with which the published weights were made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from bench.checkpoints import read_state_dict
from bench.color import join
from bench.colorizer import state_problems
from bench.configs import Strict
from bench.errors import WeightsError
from bench.training.augment import saturate
from bench.training.config import OptimizerConfig
from bench.training.discriminators import SpectralDiscriminator
from bench.training.losses import PerceptualLoss, adversarial, colourfulness
from bench.training.recipe import Batch, Phase, Recipe, Weight, frozen, weighted
from bench.training.schedules import make_optimizer
from models.ddcolor import DDColor, Encoder, from_official

_UNUSED = ("head.", "norm_pre.")


class DDColorLosses(Strict):
    """Weights of the terms; 0 leaves a term out."""

    pixel: Weight = 0.1
    perceptual: Weight = 5.0
    adversarial: Weight = 1.0
    colourfulness: Weight = 0.5


class DDColorOptions(Strict):
    """Options of the recipe.

    Args:
        losses: weights of the terms.
        colourfulness: ``code``: 1 - cf of RGB in [0, 1] with absolute opponents, summed over the images of one GPU, of
            which there were ``colourfulness_batch``; ``paper``: 1 - cf / 100 of RGB in 0..255 with signed opponents, as
            Hasler and Suesstrunk defined it, the mean over the batch.
        colourfulness_batch: images per GPU of the official training.
        color_enhance: saturation of the originals that the perceptual and the adversarial loss compare with; the paper
            does not mention it, the code has 1.2.
        encoder: where the encoder starts: a file (timm's, or Meta's convnext_*_22k_224.pth); ``hub``: what timm offers
            under the tag ``fb_in22k``, Meta's file again, or for a backbone that has none, under timm's default tag; or
            ``random``.
        discriminator_width: channels of its first layer.
        generator, discriminator: optimisers.
    """

    losses: DDColorLosses = DDColorLosses()
    colourfulness: Literal["code", "paper"] = "code"
    colourfulness_batch: int = Field(default=4, ge=1)
    color_enhance: float = Field(default=1.2, ge=0, le=10)
    encoder: str = "random"
    discriminator_width: int = Field(default=64, ge=4, le=1024)  # self-attention has an eighth of twice as many
    generator: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-4, betas=(0.9, 0.99), weight_decay=0.01)
    discriminator: OptimizerConfig = OptimizerConfig(kind="adam", lr=1e-4, betas=(0.9, 0.99))


class DDColorRecipe(Recipe[DDColor, DDColorOptions]):
    """One update of the generator, then one of the discriminator."""

    options_type = DDColorOptions
    without_files = ("losses.perceptual=0", "encoder=random")

    def __init__(self, model: DDColor, options: DDColorOptions) -> None:
        super().__init__(model, options)
        self.notes += load_encoder(model.encoder, options.encoder)
        self.discriminator: SpectralDiscriminator | None = None
        self.perceptual: PerceptualLoss | None = None
        if options.losses.adversarial:
            self.discriminator = SpectralDiscriminator(options.discriminator_width)
            self.networks["discriminator"] = self.discriminator
        if options.losses.perceptual:
            self.perceptual = PerceptualLoss()
            self.helpers.append(self.perceptual)

    def optimizers(self) -> dict[str, Optimizer]:
        found = {"generator": make_optimizer(self.options.generator, self.model.parameters())}
        if self.discriminator is not None:
            found["discriminator"] = make_optimizer(self.options.discriminator, self.discriminator.parameters())
        return found

    def phases(self, batch: Batch) -> Iterator[Phase]:
        ab = self.model(batch.lightness).float()
        with torch.autocast(ab.device.type, enabled=False):  # colour conversions need all digits
            fake = join(batch.lightness, ab)
            real = saturate(batch.rgb, self.options.color_enhance)
        yield Phase(
            "generator",
            weighted(
                self.options.losses,
                pixel=lambda: F.l1_loss(ab, batch.ab),
                perceptual=lambda: self._perceptual(fake, real),
                adversarial=lambda: self._fooled(fake),
                colourfulness=lambda: self._dullness(fake),
            ),
        )
        if self.discriminator is not None:
            loss = adversarial(self.discriminator(real), real=True)
            loss = loss + adversarial(self.discriminator(fake.detach()), real=False)
            yield Phase("discriminator", {"discriminator": loss})

    def _perceptual(self, fake: Tensor, real: Tensor) -> Tensor:
        assert self.perceptual is not None
        return self.perceptual(fake, real)

    def _fooled(self, fake: Tensor) -> Tensor:
        assert self.discriminator is not None
        with frozen(self.discriminator):
            return adversarial(self.discriminator(fake), real=True)

    def _dullness(self, fake: Tensor) -> Tensor:
        if self.options.colourfulness == "paper":
            return 1 - 255 / 100 * colourfulness(fake, signed=True).mean()
        return self.options.colourfulness_batch * (1 - colourfulness(fake).mean())


RECIPE = DDColorRecipe


def hub_name(encoder: Encoder) -> str:
    """``<backbone>.<tag>`` of the weights that ``encoder: hub`` stands for; ImageNet-22k where there are such."""
    config: Any = encoder.body.pretrained_cfg
    architecture = config["architecture"]
    wanted = f"{architecture}.fb_in22k"  # timm's defaults were tuned on ImageNet-1k afterwards
    return wanted if timm.is_model_pretrained(wanted) else f"{architecture}.{config['tag']}".removesuffix(".")


def load_encoder(encoder: Encoder, origin: str) -> list[str]:
    """Start a DDColor encoder from a classifier; its added norms keep their untrained weights.

    Args:
        encoder: a timm backbone.
        origin: see ``DDColorOptions.encoder``.

    Returns:
        Notes for the user: which weights were taken.

    Raises:
        WeightsError: the weights cannot be had, or do not fit.
    """
    if origin == "random":
        return []
    state = _from_hub(encoder) if origin == "hub" else _from_file(Path(origin).expanduser())
    problems = state_problems(encoder.body.state_dict(), state)
    if problems:
        raise WeightsError(
            f"the weights {origin} do not fit the encoder: {'; '.join(problems)}. "
            "Expected an ImageNet classifier with the backbone of this model."
        )
    encoder.body.load_state_dict(state)
    return [f"the encoder starts from {f'{hub_name(encoder)} of timm' if origin == 'hub' else origin}"]


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"the encoder weights {path} are not here. Download convnext_{{tiny,large}}_22k_224.pth from "
            "https://dl.fbaipublicfiles.com/convnext/ and name the file, let timm fetch its own "
            "(--set recipe.encoder=hub), or start untrained (--set recipe.encoder=random)."
        )
    state = {key: tensor for key, tensor in read_state_dict(path).items() if not key.startswith(_UNUSED)}
    if any(key.startswith("downsample_layers.") for key in state):  # Meta's names are those inside DDColor's files
        state = from_official({f"encoder.arch.{k}": v for k, v in state.items() if not k.startswith("norm.")})
        return {key.removeprefix("encoder.body."): tensor for key, tensor in state.items()}
    body = {key: tensor for key, tensor in state.items() if not key.startswith("norm.")}
    return {key.replace("stem.", "stem_", 1).replace("stages.", "stages_", 1): t for key, t in body.items()}


def _from_hub(encoder: Encoder) -> dict[str, Tensor]:
    name = hub_name(encoder)
    try:
        return timm.create_model(name, features_only=True, pretrained=True).state_dict()
    except Exception as error:  # the hub client raises whatever the network does
        raise WeightsError(
            f"timm cannot fetch the ImageNet weights of {name}: {next(iter(str(error).splitlines()), '')} "
            "Name a file instead (--set recipe.encoder=PATH), or start untrained (--set recipe.encoder=random)."
        ) from error
