"""Discriminators: what an adversarial loss asks whether colours look real."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from bench.colorizer import state_problems
from bench.errors import ConfigError, WeightsError


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al., CVPR 2017, arXiv 1611.07004): one real-or-fake logit per overlapping patch.

    Args:
        inputs: channels seen; 3 for lightness and chroma side by side.
        width: channels of the first layer; they double from layer to layer, up to 8 times ``width``.
        layers: strided layers; 3 let a logit see 70 x 70 pixels, as in the paper (2 give 34, 4 give 142).
    """

    def __init__(self, inputs: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        channels = [width * min(2**k, 8) for k in range(layers + 1)]
        modules: list[nn.Module] = [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for k, (before, after) in enumerate(pairwise(channels), start=1):
            stride = 2 if k < layers else 1
            modules += [
                nn.Conv2d(before, after, 4, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*modules, nn.Conv2d(channels[-1], 1, 4, padding=1))
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 1, h, w) logits, high for real; 256 x 256 gives 30 x 30 with 3 layers."""
        return self.model(image)

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict strictly, also one whose layers are nested as in the Shariatnia tutorial.

        Raises:
            WeightsError: keys are missing, unexpected or of another shape.
        """
        if any(re.fullmatch(r"model\.\d+\.\d+\.\w+", key) for key in state):
            state = {_flat(key): tensor for key, tensor in state.items()}
        problems = state_problems(self.state_dict(), state)
        if problems:
            raise WeightsError(
                f"the weights do not fit this discriminator: {'; '.join(problems)}. "
                "Expected a PatchGAN with the same inputs, width and layers."
            )
        self.load_state_dict(dict(state))


class SpectralDiscriminator(nn.Module):
    """DDColor's discriminator (``DynamicUNetDiscriminator`` of piddnad/DDColor): spectral norm, one self-attention.

    Args:
        width: channels of the first layer; each block doubles them.
        blocks: strided blocks after the first; 3 in the paper.
    """

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.smallest = 4 * 2 ** (blocks + 1)
        layers: list[nn.Module] = [_spectral(3, width, 4, 2), nn.ReLU(), _spectral(width, width, 3), nn.ReLU()]
        for block in range(blocks):
            layers += [_spectral(width, 2 * width, 4, 2), nn.ReLU()]
            if block == 0:
                layers.append(SelfAttention(2 * width))
            layers += [_spectral(2 * width, 2 * width, 3), nn.ReLU()]
            width *= 2
        head = nn.Conv2d(width, 1, 4, bias=False)
        nn.init.kaiming_normal_(head.weight)
        self.layers = nn.Sequential(*layers, spectral_norm(head))

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) sRGB in [0, 1] -> (B, 1, h, w) logits, high for real; 256 x 256 gives 13 x 13 with 3 blocks.

        Raises:
            ConfigError: the image is too small.
        """
        if min(rgb.shape[-2:]) < self.smallest:
            raise ConfigError(
                f"the discriminator needs at least {self.smallest} x {self.smallest} pixels, not "
                f"{rgb.shape[-2]} x {rgb.shape[-1]}. Set augment.size, or recipe.losses.adversarial=0."
            )
        return self.layers(rgb)


def _spectral(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return spectral_norm(conv)


class SelfAttention(nn.Module):
    """Self-attention of SAGAN (Zhang et al. 2019, arXiv 1805.08318) with spectral norm; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (
            spectral_norm(nn.Conv1d(channels, outputs, 1, bias=False))
            for outputs in (channels // 8, channels // 8, channels)
        )
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)  # (B, C, HW)
        affinity = self.query(pixels).transpose(1, 2) @ self.key(pixels)
        return (self.gamma * (self.value(pixels) @ affinity.softmax(dim=1)) + pixels).view_as(x)


def _flat(key: str) -> str:
    """``model.<layer>.<0 convolution | 1 norm>.<leaf>`` -> ``model.<index>.<leaf>``; only layer 0 has two modules."""
    match = re.fullmatch(r"model\.(\d+)\.([01])\.(\w+)", key)
    if match is None:
        return key
    layer, part, leaf = int(match[1]), int(match[2]), match[3]
    return f"model.{max(3 * layer - 1, 0) + part}.{leaf}"


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Initialise as pix2pix does: convolutions N(0, std), batch norm scale N(1, std), all biases zero. In place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
