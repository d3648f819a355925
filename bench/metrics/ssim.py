"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.errors import ImageError
from bench.metrics.base import PairMetric

_SIGMA = 1.5
_RADIUS = 5  # 3.5 sigma, as scikit-image truncates
_BELL = [math.exp(-0.5 * (offset / _SIGMA) ** 2) for offset in range(-_RADIUS, _RADIUS + 1)]
_WEIGHTS = [weight / sum(_BELL) for weight in _BELL]
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
    for dimension in (-2, -1):
        length = maps.shape[dimension] - 2 * _RADIUS
        # Shifted sums: a convolution of single channels takes eight times as long on a CPU.
        blurred = maps.narrow(dimension, 0, length) * _WEIGHTS[0]
        for offset, weight in enumerate(_WEIGHTS[1:], start=1):
            blurred.add_(maps.narrow(dimension, offset, length), alpha=weight)
        maps = blurred
    return maps


class SSIM(PairMetric):
    """Mean of the SSIM of each image. It hardly separates colorizations: a gray image already reaches 0.93."""

    def __init__(self) -> None:
        super().__init__("ssim")

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ssim(prediction, target)
