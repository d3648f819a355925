"""DeOldify (Antic 2019, jantic/DeOldify, archived in 2024; no paper): a U-Net on a ResNet paints gray RGB in colour.

``deoldify`` is the artistic model (ResNet-34, two 3x3 convolutions per decoder block), ``deoldify-stable`` the stable
and the video one (ResNet-101, one). Decoder convolutions carry spectral norm, the second decoder block attends to
itself (SAGAN, arXiv 1805.08318), upsampling is a blurred pixel shuffle (arXiv 1806.02658), and the input joins again
before the last residual block. Built on torch alone; agrees to 1e-6 with a transcription of the graph that the original
builds with fastai 1, never with the original itself, whose files could not be had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from bench.color import gray_rgb, rgb_to_lab
from bench.colorizer import Colorizer, Generator, Hints
from bench.registry import ModelCard, Weights

CARDS = (
    ModelCard(
        name="deoldify",
        family="deoldify",
        title="DeOldify (artistic)",
        year=2019,
        repository="https://github.com/jantic/DeOldify",
        parameters=63_646_881,
        macs=957_524_508_928,
        licence="MIT",
        working_size=560,
        weights=(
            Weights(
                name="artistic",
                url="https://data.deepai.org/deoldify/ColorizeArtistic_gen.pth",
                file="ColorizeArtistic_gen.pth",
                licence="MIT",
                note="ImageNet at 192 px, NoGAN",
            ),
        ),
        note="Works at 16 x render_factor pixels, 35 by default as in the original; less is faster and bolder. The "
        "original keeps luma (YUV) and rounds to bytes before it scales the colours up; here the same luma is kept at "
        "the working size, and the photograph's L* at full size. Names and shapes of the official file follow from "
        "the original's code and agree with a third party's list of its tensors; the file itself was not opened.",
    ),
    ModelCard(
        name="deoldify-stable",
        family="deoldify",
        title="DeOldify (stable)",
        year=2019,
        repository="https://github.com/jantic/DeOldify",
        parameters=218_222_197,
        macs=689_829_336_832,
        licence="MIT",
        working_size=560,
        weights=(
            Weights(
                name="stable",
                url="https://www.dropbox.com/s/axsd2g85uyixaho/ColorizeStable_gen.pth?dl=1",
                file="ColorizeStable_gen.pth",
                licence="MIT",
                note="ImageNet at 192 px, NoGAN; less colourful than artistic, fewer gray limbs",
            ),
            Weights(
                name="video",
                url="https://data.deepai.org/deoldify/ColorizeVideo_gen.pth",
                file="ColorizeVideo_gen.pth",
                licence="MIT",
                note="the same network after 2.2 % of ImageNet, for steady video; the original uses render_factor=21",
            ),
        ),
        note="See deoldify: the same deviations.",
    ),
)

Design = Literal["deep", "wide"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LUMA = (0.114, 0.587, 0.299)  # of R, G, B: the original hands RGB to a function that expects BGR


class Encoder(nn.Module):
    """A torchvision ResNet without its classifier."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        net = torchvision.models.get_model(backbone, weights=None)
        self.conv1, self.bn1, self.maxpool = net.conv1, net.bn1, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        last = [stage[-1] for stage in (self.layer1, self.layer2, self.layer3, self.layer4)]
        self.channels = [
            64,
            *((block.conv3 if hasattr(block, "conv3") else block.conv2).out_channels for block in last),
        ]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 and 32."""
        features = [F.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(features[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def he(conv: nn.Conv1d | nn.Conv2d) -> nn.Module:
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class SelfAttention(nn.Module):
    """SAGAN's: every pixel adds ``gamma`` times a mean of all values, weighted by key . query without scaling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = spectral_norm(he(nn.Conv1d(channels, channels // 8, 1, bias=False)))
        self.key = spectral_norm(he(nn.Conv1d(channels, channels // 8, 1, bias=False)))
        self.value = spectral_norm(he(nn.Conv1d(channels, channels, 1, bias=False)))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)
        # The original normalises over what it calls queries: each key gathers from all of them.
        seekers, sought, values = (part(pixels).transpose(1, 2) for part in (self.key, self.query, self.value))
        gathered = F.scaled_dot_product_attention(seekers, sought, values, scale=1.0)
        return x + self.gamma * gathered.transpose(1, 2).view_as(x)


class ConvBlock(nn.Sequential):
    """Spectrally normalised 3x3 convolution, ReLU, batch norm."""

    def __init__(self, inputs: int, outputs: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = spectral_norm(he(nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)))
        self.relu = nn.ReLU(inplace=True)
        if norm:
            self.norm = nn.BatchNorm2d(outputs)


class Shuffle(nn.Module):
    """Upsample by 2: 1x1 convolution (spectral and batch norm, or weight norm), ReLU, pixel shuffle, 2x2 mean."""

    def __init__(self, inputs: int, outputs: int, norm: bool = True) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, 4 * outputs, 1, bias=not norm)
        he(conv)
        with torch.no_grad():  # ICNR: the four sub-pixels of a channel start equal
            conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))
        self.conv = spectral_norm(conv) if norm else weight_norm(conv)
        self.norm = nn.BatchNorm2d(4 * outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.relu(self.norm(self.conv(x))), 2)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class UpBlock(nn.Module):
    """One step of the decoder: upsample, concatenate the encoder's feature, convolve."""

    def __init__(self, inputs: int, skip: int, up: int, widths: Sequence[int], attention: bool) -> None:
        super().__init__()
        self.up = Shuffle(inputs, up)
        self.skip_norm = batch_norm(skip)
        ends = pairwise((up + skip, *widths))
        self.convs = nn.Sequential(*(ConvBlock(a, b) for a, b in ends))
        if attention:
            self.convs[-1].add_module("attention", SelfAttention(widths[-1]))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        if x.shape[-2:] != skip.shape[-2:]:  # an odd row or column that the encoder's strides rounded up
            x = F.interpolate(x, skip.shape[-2:], mode="nearest")
        return self.convs(F.relu(torch.cat((x, self.skip_norm(skip)), dim=1)))


def batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.bias, 1e-3)
    return norm


def decoder_plan(design: Design, channels: Sequence[int], factor: float) -> list[tuple[int, int, list[int]]]:
    """(skip, upsampled, convolved) channels of each decoder block, coarsest first."""
    *skips, inputs = channels
    plan = []
    for i, skip in enumerate(reversed(skips), 1):
        share = 2 if i == len(skips) else 1  # the finest block has half the width
        if design == "deep":
            up = inputs // 2
            widths = [int((up + skip) // share * factor)] * 2
        else:
            up = int(256 * factor) // share
            widths = [up]
        plan.append((skip, up, widths))
        inputs = widths[-1]
    return plan


class DeOldify(Colorizer):
    """Gray RGB in, RGB out; chroma is what is left of it at the input's own luma.

    Args:
        backbone: a torchvision ResNet.
        design: ``"deep"``, two convolutions per decoder block, or ``"wide"``, one.
        factor: multiplies the width of the decoder (``nf_factor`` of the original).
        render_factor: the network sees squares of 16 times as many pixels.
    """

    stride = 16
    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(
        self,
        backbone: str = "resnet34",
        design: Design = "deep",
        factor: float = 1.5,
        render_factor: int = 35,
    ) -> None:
        super().__init__()
        if design not in ("deep", "wide"):
            raise ValueError(f"design must be deep or wide, not {design!r}")
        self.working_size = 16 * render_factor
        self.encoder = Encoder(backbone)
        inputs = self.encoder.channels[-1]
        self.encoder_norm = batch_norm(inputs)
        self.middle = nn.Sequential(ConvBlock(inputs, 2 * inputs), ConvBlock(2 * inputs, inputs))
        self.blocks = nn.ModuleList()
        for i, (skip, up, widths) in enumerate(decoder_plan(design, self.encoder.channels, factor)):
            self.blocks.append(UpBlock(inputs, skip, up, widths, attention=i == 1))
            inputs = widths[-1]
        self.last_up = Shuffle(inputs, inputs, norm=False)
        inputs += 3
        self.refine = nn.Sequential(*(ConvBlock(inputs, inputs, norm=False) for _ in range(2)))
        self.head = spectral_norm(he(nn.Conv2d(inputs, 3, 1)))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(3, 1, 1), persistent=False)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        painted = self.paint(lightness).float().clamp(0, 1)
        # With U and V fixed, giving a pixel another luma adds the difference to each of its channels.
        luma = (painted * self.luma).sum(dim=1, keepdim=True)
        return rgb_to_lab((painted + gray_rgb(lightness) - luma).clamp(0, 1))[:, 1:]

    def paint(self, lightness: Tensor) -> Tensor:
        """(B, 1, H, W) L* -> (B, 3, H, W) sRGB as the network gives it, in [-0.27, 1.17]: what it is trained on."""
        return self.network((gray_rgb(lightness) - self.mean) / self.std) * self.std + self.mean

    def network(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) ImageNet-normalised RGB -> the same, in (-3, 3)."""
        *skips, deepest = self.encoder(x)
        y = self.middle(F.relu(self.encoder_norm(deepest)))
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            y = block(y, skip)
        y = torch.cat((self.last_up(y), x), dim=1)
        return 6 * torch.sigmoid(self.head(y + self.refine(y))) - 3

    def prepare_for_inference(self) -> DeOldify:
        """Also folds spectral and weight norm into the weights."""
        self.eval()  # in training mode folding would run one more power iteration
        self.fold()
        super().prepare_for_inference()
        return self

    def fold(self) -> None:
        for module in list(self.modules()):
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours (with or without folded norms) or an official one; strictly."""
        if "layers.0.0.weight" in state:
            state = from_official(state)
        if not any(".parametrizations." in key for key in state):
            self.fold()
        super().load_weights(state)


_OFFICIAL_NAMES = (
    (r"^layers\.0\.0\.", "encoder.conv1."),
    (r"^layers\.0\.1\.", "encoder.bn1."),
    (r"^layers\.0\.([4-7])\.", lambda match: f"encoder.layer{int(match[1]) - 3}."),
    (r"^layers\.1\.", "encoder_norm."),
    (r"^layers\.3\.", "middle."),
    (r"^layers\.([4-7])\.", lambda match: f"blocks.{int(match[1]) - 4}."),
    (r"^layers\.8\.conv\.0\.", "last_up.conv."),
    (r"^layers\.10\.layers\.", "refine."),
    (r"^layers\.11\.0\.", "head."),
    (r"\.shuf\.conv\.0\.", ".up.conv."),
    (r"\.shuf\.conv\.1\.", ".up.norm."),
    (r"^(blocks\.\d)\.bn\.", r"\1.skip_norm."),
    (r"^(blocks\.\d)\.conv\.", r"\1.convs.0."),
    (r"^(blocks\.\d)\.conv1\.", r"\1.convs.0."),
    (r"^(blocks\.\d)\.conv2\.", r"\1.convs.1."),
    (r"^(blocks\.\d\.convs\.\d|middle\.\d|refine\.\d)\.0\.", r"\1.conv."),
    (r"^(blocks\.\d\.convs\.\d|middle\.\d)\.2\.", r"\1.norm."),
    (r"^(blocks\.\d\.convs\.\d)\.3\.", r"\1.attention."),
    (r"^last_up\.conv\.weight_g$", "last_up.conv.parametrizations.weight.original0"),
    (r"^last_up\.conv\.weight_v$", "last_up.conv.parametrizations.weight.original1"),
    (r"\.weight_orig$", ".parametrizations.weight.original"),
    (r"\.weight_([uv])$", r".parametrizations.weight.0._\1"),
)


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official file; a key that no rule knows keeps its name, so strict loading reports it."""
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in _OFFICIAL_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def deoldify_artistic(**options: Any) -> DeOldify:
    artistic: dict[str, Any] = {"backbone": "resnet34", "design": "deep", "factor": 1.5}
    return DeOldify(**artistic | options)


def deoldify_stable(**options: Any) -> DeOldify:
    stable: dict[str, Any] = {"backbone": "resnet101", "design": "wide", "factor": 2}
    return DeOldify(**stable | options)
