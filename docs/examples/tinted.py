"""A toned print: one chroma for each lightness."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.colorizer import Colorizer, Generator, Hints
from bench.registry import ModelCard

CARDS = (ModelCard(name="Tinted", family="tinted", title="Toned print", licence="MIT", trainable=False, parameters=0),)


class Tinted(Colorizer):
    """Interpolates linearly between the chroma of 11 grays, from L* 0 to L* 100."""

    tint: Tensor

    def __init__(self) -> None:
        super().__init__()
        fade = torch.linspace(0, torch.pi, 11).sin()  # black and white stay neutral
        self.register_buffer("tint", torch.stack((6 * fade, 18 * fade)), persistent=False)  # (2, 11) a*, b*: sepia

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        steps = torch.arange(11, device=lightness.device).view(11, 1, 1)
        nearness = (1 - (lightness / 10 - steps).abs()).clamp(min=0)  # (B, 11, H, W), two neighbours share each pixel
        return F.conv2d(nearness, self.tint[:, :, None, None])  # (B, 2, H, W)
