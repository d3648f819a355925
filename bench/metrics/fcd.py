"""Fréchet chroma distance: how far the colours of one set of images are from those of another, without any weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.color import rgb_to_lab
from bench.metrics.frechet import FrechetMetric

_NODES = 9  # per axis of the histogram, symmetric about neutral
_KNEE = 8.0  # chroma at which the axis turns from linear to logarithmic
_STEP = 0.75  # between nodes, in units of asinh(chroma / _KNEE): nodes at 0, 6.6, 17, 37.5 and 80
_CELLS = 2  # rows and columns of the layout
_BANDS = 3  # lightness: dark, middle, bright
_CHROMA_UNIT = 50.0  # brings layout and bands to the spread of the histogram
_SCALE = 10.0  # of the whole descriptor, for numbers of a readable size

_FLAT = 1.0  # mean squared gradient, in Lab units, that counts as nothing but rounding

DIMENSION = _NODES**2 + 5 * _CELLS**2 + 4 * _BANDS + 3


def chroma_descriptor(images: Tensor) -> Tensor:
    """What colours an image has, where, and how they go with its lightness.

    Four parts, all of the Lab image at half its resolution, each there for an error that the others miss:

    * 81: the square root of a 9 x 9 histogram of (a*, b*) with bilinear votes. Nodes lie densely near neutral, where
      four fifths of the pixels of photographs are. The root (Hellinger) keeps rare vivid colours from drowning.
    * 20: mean a*, b*, chroma and standard deviation of a*, b* in the cells of a 2 x 2 grid: the layout.
    * 12: mass, a*, b* and chroma of three overlapping bands of lightness: which colours go with light and dark.
    * 3: cosines between the gradients of lightness and of a*, b* and (in magnitude) both: whether colours end where
      things end. Chroma that bleeds, or is plausible but belongs to another photograph, is noticed here.

    Args:
        images: (B, 3, H, W) uint8 RGB, at least 4 pixels a side.

    Returns:
        (B, 116) float32.
    """
    # Half the resolution is enough for chroma, and a quarter of the work.
    lightness, ab = F.avg_pool2d(rgb_to_lab(images), 2).split((1, 2), dim=1)
    chroma = _length(ab)[:, None]
    colour = torch.cat((ab, chroma), dim=1) / _CHROMA_UNIT  # (B, 3, H, W)
    parts = (_histogram(ab).sqrt(), _layout(colour), _bands(lightness, colour), _edges(lightness, ab))
    return _SCALE * torch.cat([part.flatten(1) for part in parts], dim=1)


def _length(vectors: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W) Euclidean; on a CPU many times faster than ``norm`` over a short dimension."""
    return vectors.square().sum(1).sqrt()


def _votes(position: Tensor, nodes: int) -> Tensor:
    """(B, N) positions in units of nodes -> (B, nodes, N) linear votes that add up to 1."""
    places = torch.arange(nodes, device=position.device, dtype=position.dtype).view(1, nodes, 1)
    return (1 - (position.clamp(0, nodes - 1).unsqueeze(1) - places).abs()).clamp(min=0)


def _histogram(ab: Tensor) -> Tensor:
    """(B, 2, H, W) -> (B, nodes, nodes) shares of the pixels."""
    position = torch.asinh(ab.flatten(2) / _KNEE) / _STEP + _NODES // 2
    a, b = _votes(position[:, 0], _NODES), _votes(position[:, 1], _NODES)
    return a @ b.transpose(1, 2) / a.shape[-1]


def _layout(colour: Tensor) -> Tensor:
    """(B, 3, H, W) a, b, chroma -> (B, 5, cells, cells) their means and the standard deviations of a, b."""
    mean = F.adaptive_avg_pool2d(colour, _CELLS)
    square = F.adaptive_avg_pool2d(colour[:, :2] ** 2, _CELLS)
    return torch.cat((mean, (square - mean[:, :2] ** 2).clamp(min=0).sqrt()), dim=1)


def _bands(lightness: Tensor, colour: Tensor) -> Tensor:
    """(B, 1, H, W) L* and (B, 3, H, W) a, b, chroma -> (B, bands, 4) mass of each band and its share of the colour."""
    votes = _votes(lightness.flatten(1) / 100 * (_BANDS - 1), _BANDS)
    weighed = torch.cat((torch.ones_like(lightness), colour), dim=1).flatten(2)
    return votes @ weighed.transpose(1, 2) / votes.shape[-1]


def _edges(lightness: Tensor, ab: Tensor) -> Tensor:
    """(B, 1, H, W) L* and (B, 2, H, W) -> (B, 3) cosines of the gradients of L* and a*, L* and b*, |L*| and |ab|."""
    lab = torch.cat((lightness, ab), dim=1)
    here = lab[..., :-1, :-1]
    gradient = torch.stack((lab[..., :-1, 1:] - here, lab[..., 1:, :-1] - here), dim=2)  # (B, 3, 2, H - 1, W - 1)
    energy = gradient.square().sum(2).mean((-2, -1))  # (B, 3)
    signed = (gradient[:, :1] * gradient[:, 1:]).sum(2).mean((-2, -1))  # (B, 2)
    both = (_length(gradient[:, 0]) * _length(gradient[:, 1:].flatten(1, 2))).mean((-2, -1))  # (B,)
    chroma = torch.cat((energy[:, 1:], energy[:, 1:].sum(1, keepdim=True)), dim=1)
    return torch.cat((signed, both[:, None]), dim=1) / ((energy[:, :1] + _FLAT) * (chroma + _FLAT)).sqrt()


class FCD(FrechetMetric):
    """Fréchet distance between Gaussians of ``chroma_descriptor`` over predictions and over originals.

    It grows when colours fade, turn in hue, bleed, move to another place, or belong to another photograph, and it works
    wherever torch does. Its values mean something only beside other values of FCD under the same protocol and number
    of images; it is no FID and no stand-in for it.
    """

    def __init__(self) -> None:
        super().__init__("fcd", DIMENSION, batch_size=0)

    def prepare(self, images: Tensor) -> Tensor:
        return images

    def features(self, prepared: Tensor) -> Tensor:
        return chroma_descriptor(prepared)
