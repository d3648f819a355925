"""MultiColor: image colorization by learning from multiple colour spaces (Du et al., ACM MM 2024, arXiv 2408.04172).

One encoder and pixel decoder serve a colour module for each of Lab, HSV and YUV (queries, transformer decoder, colour
mapper); the colour space complementary network (CSCNet) makes RGB of their channels and the lightness. No official code
or weights exist. The decoders are DDColor's; the widths of CSCNet are those of the public re-implementation
(ivansetka/image-colorizer, commit 2d7e13a). That one ends CSCNet with batch norm and ReLU although its losses compare
the result to signed Lab, so that no negative chroma can be reached; here CSCNet has the paper's group norm and GELU,
its output is RGB, and nothing comes after its last convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.color import gray_rgb, join, mix, rgb_to_lab
from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.registry import ModelCard
from bench.training.config import OptimizerConfig
from bench.training.discriminators import PatchDiscriminator
from bench.training.losses import PerceptualLoss, adversarial, colourfulness
from bench.training.recipe import Batch, Phase, Recipe, Weight, frozen, weighted
from bench.training.schedules import make_optimizer
from models.ddcolor import IMAGENET_MEAN, IMAGENET_STD, ColorDecoder, Encoder, PixelDecoder, Shuffle, fold_spectral_norm

CARDS = (
    ModelCard(
        name="multicolor",
        family="multicolor",
        title="MultiColor",
        year=2024,
        paper="arXiv:2408.04172",
        parameters=85_009_281,
        macs=61_010_507_776,
        licence="Apache-2.0",
        working_size=256,
        note=(
            "Written from the paper, with DDColor's decoders and a ConvNeXt-T; no official code or weights exist. "
            "Unlike the public re-implementation, CSCNet does not end with a ReLU, which no negative chroma can pass. "
            "Of the RGB it predicts, the chroma is kept and the lightness is the photograph's own."
        ),
    ),
    ModelCard(
        name="multicolor-mini",
        family="multicolor",
        title="MultiColor (mini)",
        year=2024,
        paper="arXiv:2408.04172",
        parameters=1_166_737,
        macs=898_967_552,
        licence="Apache-2.0",
        working_size=128,
        note="The same architecture at 1/73 of the size, for 128 px and a CPU; not a model of the paper.",
    ),
)

SPACES = ("lab", "hsv", "yuv")
# U and V of analogue YUV (BT.601), each divided by the largest value it can have.
_YUV_CHROMA = np.array([[-0.14714119, -0.28886916, 0.43601035], [0.61497538, -0.51496512, -0.10001026]])
_YUV_CHROMA /= np.array([[0.436], [0.615]])


def color_channels(rgb: Tensor) -> dict[str, Tensor]:
    """The two colour channels of each space, scaled as the colour modules predict them.

    Args:
        rgb: (B, 3, H, W) sRGB in [0, 1].

    Returns:
        ``lab``: a*, b* / 128. ``hsv``: hue and saturation in [0, 1]. ``yuv``: U / 0.436, V / 0.615. Each (B, 2, H, W).
    """
    high, low = rgb.amax(dim=1), rgb.amin(dim=1)
    spread = high - low
    r, g, b = rgb.unbind(dim=1)
    gray = spread == 0
    safe = spread.masked_fill(gray, 1)
    sextant = torch.where(high == r, (g - b) / safe, torch.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = (sextant / 6 % 1).masked_fill(gray, 0)
    saturation = spread / high.masked_fill(high == 0, 1)
    return {
        "lab": rgb_to_lab(rgb)[:, 1:] / 128,
        "hsv": torch.stack((hue, saturation), dim=1),
        "yuv": mix(_YUV_CHROMA, rgb),
    }


class ColorModule(nn.Module):
    """The two colour channels of one colour space: refined colour queries weight the pixel embedding.

    Args:
        decoder: maps -> (B, queries, dim) colour embeddings.
        queries: of the decoder.
    """

    def __init__(self, decoder: ColorDecoder, queries: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.mapper = nn.Linear(queries, 2)

    def forward(self, maps: Mapping[int, Tensor], subpixels: Tensor, last: Shuffle) -> Tensor:
        """Feature maps and the pixel embedding that ``last`` will unfold, (B, dim, 16, h, w) -> (B, 2, 4h, 4w)."""
        # Mapping first and unfolding last is the same sum as in the paper, without its (B, queries, H, W).
        mixture = self.mapper.weight @ self.decoder(maps)  # (B, 2, dim)
        channels = last.unfold(torch.einsum("bkc,bcshw->bkshw", mixture, subpixels).flatten(1, 2))
        return channels + self.mapper.bias[:, None, None]


class CSCNet(nn.Sequential):
    """Colour space complementary network: colour channels and lightness -> RGB.

    Args:
        inputs: 2 for each colour space and 1 for lightness.
        widths: channels of the blocks, each twice (3x3 convolution, group norm, GELU); multiples of 8.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *widths)):
            for channels in (before, after):
                layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.GroupNorm(8, after), nn.GELU()]
        head = nn.Conv2d(widths[-1], 3, 3, padding=1)
        assert head.bias is not None
        nn.init.constant_(head.bias, 0.5)  # training starts at middle gray, where chroma reacts to RGB
        super().__init__(*layers, head)


class MultiColor(Colorizer):
    """The network of one encoder, one pixel decoder, three colour modules and CSCNet.

    Args:
        backbone: timm name.
        spaces: colour spaces with a module of their own, a selection of ``lab``, ``hsv`` and ``yuv``.
        queries, layers, heads, feedforward: of each colour module.
        width: channels of the pixel decoder; its embedding and the queries have half of them.
        fusion_widths: channels of the blocks of CSCNet.
        working_size: side the weights were trained at.
        backbone_options: further arguments of the timm backbone.
    """

    stride = 32
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "convnext_tiny",
        spaces: Sequence[str] = SPACES,
        queries: int = 100,
        layers: int = 9,
        heads: int = 8,
        feedforward: int = 2048,
        width: int = 512,
        fusion_widths: Sequence[int] = (32, 64, 128, 64, 32),
        working_size: int = 256,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not spaces or set(spaces) - set(SPACES):
            raise ValueError(f"spaces must be a non-empty selection of {', '.join(SPACES)}, not {spaces}")
        self.working_size = working_size
        self.encoder = Encoder(backbone, backbone_options or {})
        self.pixel_decoder = PixelDecoder(self.encoder.channels, width)
        self.color_modules = nn.ModuleDict()
        for space in spaces:
            decoder = ColorDecoder(
                self.pixel_decoder.channels, width // 2, queries, layers, heads, feedforward, order=("cross", "self")
            )
            self.color_modules[space] = ColorModule(decoder, queries)
        self.cscnet = CSCNet(2 * len(self.color_modules) + 1, fusion_widths)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        return rgb_to_lab(self.predictions(lightness)["rgb"])[:, 1:]

    def predictions(self, lightness: Tensor) -> dict[str, Tensor]:
        """Everything the losses look at.

        Args:
            lightness: (B, 1, H, W) float32 L*; H and W multiples of 32.

        Returns:
            The channels of each colour space, (B, 2, H, W), scaled as by ``color_channels``, and ``rgb``, (B, 3, H, W):
            sRGB meant for [0, 1] but not confined to it.
        """
        rgb = (gray_rgb(lightness) - self.mean) / self.std
        maps = self.pixel_decoder(self.encoder(rgb))
        last = self.pixel_decoder.last
        subpixels = last.expand(maps[4]).unflatten(1, (-1, last.scale**2))
        found = {space: module(maps, subpixels, last) for space, module in self.color_modules.items()}
        found["rgb"] = self.cscnet(torch.cat((*found.values(), lightness / 50 - 1), dim=1))
        return found

    def prepare_for_inference(self) -> MultiColor:
        """Also folds the pixel decoder's spectral norm into its weights, with the stored u and v."""
        fold_spectral_norm(self.pixel_decoder)
        super().prepare_for_inference()
        return self

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours, with or without folded spectral norm; strictly."""
        if not any(key.endswith("weight_orig") for key in state):
            fold_spectral_norm(self.pixel_decoder)
        super().load_weights(state)


def multicolor(**options: Any) -> MultiColor:
    return MultiColor(**options)


def multicolor_mini(**options: Any) -> MultiColor:
    """About 1.2 M parameters: ConvNeXt 2-2-4-2 at 24-128 channels, 32 queries, 3 layers a module; made for 128 px."""
    mini: dict[str, Any] = {
        "backbone_options": {"depths": (2, 2, 4, 2), "dims": (24, 48, 96, 128), "ls_init_value": 1e-2},
        "width": 64,
        "queries": 32,
        "layers": 3,
        "heads": 4,
        "feedforward": 64,
        "fusion_widths": (16, 24, 32, 24, 16),
        "working_size": 128,
    }
    return MultiColor(**mini | options)


class MultiColorLosses(Strict):
    """Weights of the terms.

    ``lab``, ``hsv`` and ``yuv`` are L1 on the channels of the colour modules, ``output`` on the final chroma; others
    look at the final picture.
    """

    lab: Weight = 0.1
    hsv: Weight = 10.0
    yuv: Weight = 10.0
    output: Weight = 0.1
    perceptual: Weight = 5.0
    adversarial: Weight = 1.0
    colourfulness: Weight = 0.5


class MultiColorOptions(Strict):
    """Options of the recipe.

    Args:
        losses: weights of the terms.
        real_label: what the discriminator is asked to say of originals.
        discriminator_width: channels of its first layer.
        encoder: see ``models.ddcolor_recipe.DDColorOptions``.
        generator, discriminator: optimisers.
    """

    losses: MultiColorLosses = MultiColorLosses()
    real_label: float = Field(default=0.9, gt=0, le=1)
    discriminator_width: int = Field(default=64, ge=1, le=1024)
    encoder: str = "random"
    generator: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01)
    discriminator: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01)


class MultiColorRecipe(Recipe[MultiColor, MultiColorOptions]):
    """The losses of the public re-implementation, with DDColor's perceptual loss, and L1 on the final chroma."""

    options_type = MultiColorOptions
    entries = ("predictions",)
    without_files = ("losses.perceptual=0", "encoder=random")

    def __init__(self, model: MultiColor, options: MultiColorOptions) -> None:
        super().__init__(model, options)
        if options.encoder != "random":
            from models.ddcolor_recipe import load_encoder

            self.notes += load_encoder(model.encoder, options.encoder)
        self.discriminator = PatchDiscriminator(width=options.discriminator_width)
        if options.losses.adversarial:
            self.networks["discriminator"] = self.discriminator
        if options.losses.perceptual:
            self.helpers.append(PerceptualLoss())

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "generator": make_optimizer(self.options.generator, self.model.parameters()),
            "discriminator": make_optimizer(self.options.discriminator, self.discriminator.parameters()),
        }

    def phases(self, batch: Batch) -> Iterator[Phase]:
        found = {space: channels.float() for space, channels in self.model.predictions(batch.lightness).items()}
        with torch.autocast(batch.rgb.device.type, enabled=False):  # colour conversions need all digits
            wanted = color_channels(batch.rgb)
            ab = rgb_to_lab(found["rgb"])[:, 1:]
            fake = join(batch.lightness, ab)

        def fooled() -> Tensor:
            with frozen(self.discriminator):
                return adversarial(self.discriminator(fake), real=True)

        def distance(space: str) -> Tensor:
            return F.l1_loss(found[space], wanted[space]) if space in found else ab.new_zeros(())

        terms = weighted(
            self.options.losses,
            lab=lambda: distance("lab"),
            hsv=lambda: distance("hsv"),
            yuv=lambda: distance("yuv"),
            output=lambda: F.l1_loss(ab, batch.ab),
            perceptual=lambda: self.helpers[0](fake, batch.rgb),
            adversarial=fooled,
            colourfulness=lambda: 1 - colourfulness(fake).mean(),
        )
        yield Phase("generator", terms)
        if self.options.losses.adversarial:
            real = adversarial(self.discriminator(batch.rgb), real=True, label=self.options.real_label)
            loss = real + adversarial(self.discriminator(fake.detach()), real=False)
            yield Phase("discriminator", {"discriminator": loss})


RECIPE = MultiColorRecipe
