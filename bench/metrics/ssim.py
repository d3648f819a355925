"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import ImageError
from bench.metrics.base import PairMetric

_SIGMA = 1.5
_RADIUS = 5  # 3.5 sigma, as scikit-image truncates
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_CENTRE = 127.5  # float32 loses fewer digits about zero


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the channels and the window positions that lie within the image.

    The same as scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=255, channel_axis=...)``.

    Args:
        prediction, target: (B, 3, H, W) uint8 RGB.

    Returns:
        (B,) float32 in [-1, 1].

    Raises:
        ImageError: a side is shorter than the window of 11 pixels.
    """
    height, width = prediction.shape[-2:]
    if min(height, width) <= 2 * _RADIUS:
        raise ImageError(
            f"ssim needs images of at least {2 * _RADIUS + 1} pixels a side, got {width} x {height}. "
            "Choose a protocol with a larger size, or leave ssim out."
        )
    x, y = prediction.float() - _CENTRE, target.float() - _CENTRE
    mean_x, mean_y, xx, yy, xy = _blur(torch.stack((x, y, x * x, y * y, x * y)))
    variances, covariance = xx - mean_x**2 + yy - mean_y**2, xy - mean_x * mean_y
    mean_x, mean_y = mean_x + _CENTRE, mean_y + _CENTRE
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return (likeness / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))).mean(dim=(1, 2, 3))


def _blur(maps: Tensor) -> Tensor:
    """(..., H, W) -> (..., H - 10, W - 10) Gaussian means of the windows that fit."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, device=maps.device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights = (weights / weights.sum()).to(maps.dtype)
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return flat.view(*maps.shape[:-2], *flat.shape[-2:])


class SSIM(PairMetric):
    """Mean of the SSIM of each image. It hardly separates colorizations: a gray image already reaches 0.93."""

    def __init__(self) -> None:
        super().__init__("ssim")

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ssim(prediction, target)
