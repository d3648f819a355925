"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.metrics.base import PairMetric

_LEAST_MSE = 1e-5


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """10 log10(255^2 / MSE) over all three channels and all pixels of each image.

    An MSE below 1e-5 counts as 1e-5, so identical images have a finite value, 98.13 dB.

    Args:
        prediction, target: (B, 3, H, W) uint8 RGB.

    Returns:
        (B,) float64 decibels.
    """
    difference = prediction.int() - target.int()
    mse = (difference * difference).flatten(1).sum(1, dtype=torch.int64).double() / difference[0].numel()
    return 10 * torch.log10(255**2 / mse.clamp(min=_LEAST_MSE))


class PSNR(PairMetric):
    """Mean of the PSNR of each image (not the PSNR of the pooled MSE, which is some 3.7 dB lower)."""

    def __init__(self) -> None:
        super().__init__("psnr")

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        return psnr(prediction, target)
