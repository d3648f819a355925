"""Conditional diffusion of chroma in CIELAB: noise becomes a*, b* under the guidance of a never-noised lightness.

The network is that of ErwannMillon/Color-diffusion (commit 86da94a): a U-Net with linear attention that sees L* and the
noisy ab, and a second encoder of L* whose features join it at every resolution. The process around it (bench.diffusion)
is mended: it ends in pure noise, from which sampling starts (the original's ends at 17 % of signal), predicts v, clamps
x0 to the range of ab and samples in tens of steps; lightness features are computed once per image, not once per step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.colorizer import Colorizer, Generator, Hints
from bench.diffusion import Prediction, Process, Sampler, image_generators
from bench.registry import ModelCard

CARDS = (
    ModelCard(
        name="lab-diffusion",
        family="lab-diffusion",
        title="Lab diffusion",
        year=2023,
        repository="https://github.com/ErwannMillon/Color-diffusion",
        parameters=58_009_602,
        macs=1_022_587_437_056,
        licence="unknown",
        working_size=256,
        stochastic=True,
        note="The original colours faces at 64 x 64; here the chroma of a 256 px photograph is denoised on that same "
        "64 x 64 grid and upsampled. Written anew (the repository has no licence and no weights) and checked against "
        "a transcription of its network; 3,494,784 parameters that the original never uses (its lightness encoder's "
        "time layers and last convolution) are left out. Deviations, all in the process: 1000 steps with zero terminal "
        "SNR instead of 350 without, v- instead of epsilon-prediction, DDIM with 50 steps instead of ancestral "
        "sampling of every one.",
    ),
    ModelCard(
        name="lab-diffusion-mini",
        family="lab-diffusion",
        title="Lab diffusion (mini)",
        year=2023,
        repository="https://github.com/ErwannMillon/Color-diffusion",
        parameters=1_350_802,
        macs=2_702_102_528,
        licence="unknown",
        working_size=128,
        stochastic=True,
        note="The same architecture at 1/43 of the size, for 128 px and a CPU; chroma on a 32 x 32 grid, 20 DDIM "
        "steps. Written anew too: the original repository has no licence.",
    ),
)

AB_RANGE = 110.0
HEAD_WIDTH = 32


class StandardisedConv(nn.Conv2d):
    """3x3 convolution whose kernels are brought to mean 0 and variance 1 (Qiao et al. 2019, arXiv 1903.10520)."""

    settled: Tensor | None  # the standardised kernels, once they no longer change

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.register_buffer("settled", None, persistent=False)

    def standardised(self) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return (self.weight - mean) * (variance + 1e-5).rsqrt()

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.standardised() if self.settled is None else self.settled, self.bias)


class ResidualBlock(nn.Module):
    """Two standardised convolutions; the time step scales and shifts what the first one found."""

    def __init__(self, inputs: int, outputs: int, time: int | None = None) -> None:
        super().__init__()
        self.time = nn.Linear(time, 2 * outputs) if time else None
        self.conv1, self.norm1 = StandardisedConv(inputs, outputs), nn.GroupNorm(8, outputs)
        self.conv2, self.norm2 = StandardisedConv(outputs, outputs), nn.GroupNorm(8, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.norm1(self.conv1(x))
        if self.time is not None and time is not None:
            scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, dim=1)
            h = h * (scale + 1) + shift
        return F.silu(self.norm2(self.conv2(F.silu(h)))) + self.shortcut(x)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, with a gain and no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.gain


class Attention(nn.Module):
    """Pre-norm residual self-attention over all pixels."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * HEAD_WIDTH, 1, bias=False)
        self.out = nn.Conv2d(heads * HEAD_WIDTH, channels, 1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, heads, 32, HW)."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, HEAD_WIDTH)).unbind(1)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.transpose(-1, -2) for part in self.split(x))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return x + self.out(mixed.flatten(1, 2).view(len(x), -1, *x.shape[-2:]))


class LinearAttention(Attention):
    """The same in time linear in the pixels: softmax on queries and keys apart (Shen et al. 2021, arXiv 1812.01243)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.out_norm = ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        context = v / v.shape[-1] @ k.softmax(dim=-1).transpose(-1, -2)  # (B, heads, 32, 32)
        mixed = context @ (q.softmax(dim=-2) * HEAD_WIDTH**-0.5)  # (B, heads, 32, HW)
        return x + self.out_norm(self.out(mixed.reshape(len(x), -1, *x.shape[-2:])))


class DownStage(nn.Module):
    """What happens at one resolution on the way down: two blocks and attention."""

    def __init__(self, width: int, heads: int, time: int | None = None) -> None:
        super().__init__()
        self.first, self.second = ResidualBlock(width, width, time), ResidualBlock(width, width, time)
        self.attention = LinearAttention(width, heads)

    def forward(self, x: Tensor, time: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The features after the first block and at the end, both of which the way up sees again."""
        first = self.first(x, time)
        return first, self.attention(self.second(first, time))


class UpStage(nn.Module):
    """The same on the way up, where each block is joined by a skip connection."""

    def __init__(self, inputs: int, outputs: int, heads: int, time: int) -> None:
        super().__init__()
        self.first, self.second = ResidualBlock(inputs, outputs, time), ResidualBlock(inputs, outputs, time)
        self.attention = LinearAttention(outputs, heads)

    def forward(self, x: Tensor, skips: tuple[Tensor, Tensor], time: Tensor) -> Tensor:
        x = self.first(torch.cat((x, skips[1]), dim=1), time)
        return self.attention(self.second(torch.cat((x, skips[0]), dim=1), time))


def downsample(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Dropout(dropout), nn.Conv2d(4 * inputs, outputs, 1))


def upsample(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Dropout(dropout), nn.Conv2d(inputs, outputs, 3, padding=1))


class LightnessEncoder(nn.Module):
    """The U-Net's way down without time: one feature map per resolution."""

    def __init__(self, widths: Sequence[int], heads: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 7, padding=3)
        self.stages = nn.ModuleList(DownStage(width, heads) for width in widths[:-1])
        self.downs = nn.ModuleList(downsample(a, b, dropout) for a, b in pairwise(widths[:-1]))

    def forward(self, lightness: Tensor) -> list[Tensor]:
        _, x = self.stages[0](self.stem(lightness))
        features = [x]
        for down, stage in zip(self.downs, self.stages[1:], strict=True):
            _, x = stage(down(x))
            features.append(x)
        return features


class UNet(nn.Module):
    """Noise remover; ``widths`` are those of the stem and of each level."""

    def __init__(self, widths: Sequence[int], heads: int, dropout: float) -> None:
        super().__init__()
        width, inner, time = widths[0], widths[-1], 4 * widths[0]
        *levels, last = pairwise(widths)
        self.stem = nn.Conv2d(3, width, 7, padding=3)
        self.time = nn.Sequential(nn.Linear(width, time), nn.GELU(), nn.Linear(time, time))
        self.stages = nn.ModuleList(DownStage(a, heads, time) for a in widths[:-1])
        self.downs = nn.ModuleList(downsample(2 * a, b, dropout) for a, b in levels)
        self.downs.append(nn.Conv2d(2 * last[0], last[1], 3, padding=1))
        self.middle1, self.middle2 = ResidualBlock(inner, inner, time), ResidualBlock(inner, inner, time)
        self.middle_attention = Attention(inner, heads)
        self.up_stages = nn.ModuleList(UpStage(a + b, b, heads, time) for a, b in reversed((*levels, last)))
        self.ups = nn.ModuleList(upsample(b, a, dropout / 2) for a, b in (last, *levels[:0:-1]))
        self.ups.append(nn.Conv2d(widths[1], width, 3, padding=1))
        self.last = ResidualBlock(2 * width, width, time)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor, features: Sequence[Tensor], step: Tensor) -> Tensor:
        """(B, 3, h, w) L* and noisy ab, the encoder's features, (B,) steps -> (B, 2, h, w)."""
        x = start = self.stem(x)
        time = self.time(sinusoid(step, start.shape[1]))
        skips = []
        for stage, down, feature in zip(self.stages, self.downs, features, strict=True):
            skips.append(stage(x, time))
            x = down(torch.cat((skips[-1][1], feature), dim=1))
        x = self.middle2(self.middle_attention(self.middle1(x, time)), time)
        for stage, up, skip in zip(self.up_stages, self.ups, reversed(skips), strict=True):
            x = up(stage(x, skip, time))
        return self.head(self.last(torch.cat((x, start), dim=1), time))


def sinusoid(step: Tensor, dim: int) -> Tensor:
    """(B,) time steps -> (B, dim): sines, then cosines."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=step.device) * -(math.log(10000) / (half - 1)))
    angle = step[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class Condition(NamedTuple):
    """What the U-Net knows of a photograph; the same at every step.

    Args:
        lightness: (B, 1, h, w), L* on the chroma grid, scaled to [-1, 1].
        features: of the lightness encoder, finest first.
    """

    lightness: Tensor
    features: list[Tensor]


class LabDiffusion(Colorizer):
    """Chroma drawn from its distribution given the lightness.

    Args:
        widths: channels of the stem, then of each level; multiples of 8.
        heads: of every attention, 32 channels each.
        dropout: before each downsampling; half of it after each upsampling.
        shrink: chroma lives on a grid this many times coarser than the photograph.
        prediction, sampler, steps: see ``bench.diffusion.Process``; the original predicts ``"epsilon"``.
        working_size: side the weights were trained at.
    """

    stochastic = True

    def __init__(
        self,
        widths: Sequence[int] = (128, 128, 256, 384, 384),
        heads: int = 4,
        dropout: float = 0.3,
        shrink: int = 4,
        prediction: Prediction = "v",
        sampler: Sampler = "ddim",
        steps: int = 50,
        working_size: int = 256,
    ) -> None:
        super().__init__()
        self.process = Process(prediction, sampler, steps)
        self.shrink = shrink
        self.working_size = working_size
        self.stride = shrink * 2 ** (len(widths) - 2)
        self.encoder = LightnessEncoder(widths, heads, dropout)
        self.unet = UNet(widths, heads, dropout)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        condition = self.condition(lightness)
        ab = AB_RANGE * self.process.sample(
            lambda noisy, step: self.denoise(noisy, condition, step),
            shape=(2, *condition.lightness.shape[-2:]),
            generators=image_generators(generator, len(lightness)),
            device=lightness.device,
        )
        return F.interpolate(ab, lightness.shape[-2:], mode="bilinear") if self.shrink > 1 else ab

    def condition(self, lightness: Tensor) -> Condition:
        """(B, 1, H, W) L* -> what ``denoise`` needs of it."""
        coarse = F.avg_pool2d(lightness, self.shrink) / 50 - 1
        return Condition(coarse, self.encoder(coarse))

    def denoise(self, noisy_ab: Tensor, condition: Condition, step: Tensor) -> Tensor:
        """One evaluation of the U-Net.

        Args:
            noisy_ab: (B, 2, H / shrink, W / shrink), chroma / 110 with noise.
            condition: of ``self.condition(lightness)``.
            step: (B,) integer time steps in [0, 999].

        Returns:
            (B, 2, H / shrink, W / shrink): v, x0 or epsilon, as ``process.prediction`` says.
        """
        return self.unet(torch.cat((condition.lightness, noisy_ab), dim=1), condition.features, step)

    def coarse_chroma(self, ab: Tensor) -> Tensor:
        """(B, 2, H, W) CIE ab -> x0: (B, 2, H / shrink, W / shrink) in [-1, 1]."""
        return F.avg_pool2d(ab, self.shrink) / AB_RANGE

    def prepare_for_inference(self) -> LabDiffusion:
        """Also standardises the kernels once instead of at every step."""
        for module in self.modules():
            if isinstance(module, StandardisedConv):
                module.settled = module.standardised().detach()
        super().prepare_for_inference()
        return self

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours or of the original's Lightning module (``unet.*`` and ``encoder.*``); strictly."""
        if "unet.init_conv.weight" in state:
            state = from_original(state)
        super().load_weights(state)
        for module in self.modules():
            if isinstance(module, StandardisedConv):
                module.settled = None


_ORIGINAL_NAMES = (
    (r"^(unet|encoder)\.init_conv\.", r"\1.stem."),
    (r"^unet\.time_mlp\.1\.", "unet.time.0."),
    (r"^unet\.time_mlp\.3\.", "unet.time.2."),
    (r"\.downs\.(\d)\.0\.", r".stages.\1.first."),
    (r"\.downs\.(\d)\.1\.", r".stages.\1.second."),
    (r"\.downs\.(\d)\.2\.fn\.", r".stages.\1.attention."),
    (r"\.ups\.(\d)\.0\.", r".up_stages.\1.first."),
    (r"\.ups\.(\d)\.1\.", r".up_stages.\1.second."),
    (r"\.ups\.(\d)\.2\.fn\.", r".up_stages.\1.attention."),
    (r"\.(downs|ups)\.(\d)\.3\.", r".\1.\2."),
    (r"\.mid_block(\d)\.", r".middle\1."),
    (r"\.mid_attn\.fn\.", ".middle_attention."),
    (r"\.final_res_block\.", ".last."),
    (r"\.final_conv\.", ".head."),
    (r"\.fn\.to_qkv\.", ".qkv."),
    (r"\.fn\.to_out\.1\.g$", ".out_norm.gain"),
    (r"\.fn\.to_out\.(0\.)?", ".out."),
    (r"\.norm\.g$", ".norm.gain"),
    (r"\.mlp\.1\.", ".time."),
    (r"\.block(\d)\.proj\.", r".conv\1."),
    (r"\.block(\d)\.norm\.", r".norm\1."),
    (r"\.res_conv\.", ".shortcut."),
)
# The original's lightness encoder holds these and never uses their output.
_ORIGINAL_UNUSED = re.compile(r"^encoder\.(time_mlp\.|downs\.\d\.[01]\.mlp\.|downs\.3\.3\.)")


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the original's keys; a key that no rule knows keeps its name, so strict loading reports it."""
    renamed = {}
    for key, tensor in state.items():
        if _ORIGINAL_UNUSED.match(key):
            continue
        for pattern, replacement in _ORIGINAL_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def lab_diffusion(**options: Any) -> LabDiffusion:
    return LabDiffusion(**options)


def lab_diffusion_mini(**options: Any) -> LabDiffusion:
    """About 1.35 M parameters: 16-72 channels, chroma on a 32 x 32 grid, 20 DDIM steps; made for 128 px."""
    mini: dict[str, Any] = {"widths": (16, 24, 32, 48, 72), "heads": 2, "dropout": 0.0, "steps": 20}
    return LabDiffusion(**mini | {"working_size": 128} | options)
