"""How much several colourings of one photograph differ: what a stochastic model offers to choose from."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.color import rgb_to_lab
from bench.metrics.base import ImageMetric


class Diversity(ImageMetric):
    """Mean ab distance per pixel over all pairs of colourings of a photograph; 0 for a deterministic model.

    The colourings are given to ``measure_set`` at once, since no pair of them is prediction and original.
    """

    def __init__(self) -> None:
        super().__init__(("diversity",))

    @torch.no_grad()
    def measure_set(self, colourings: Tensor) -> dict[str, Tensor]:
        """(K, B, 3, H, W) uint8 RGB, K >= 2 -> {"diversity": (B,) float64} in Lab units."""
        ab = rgb_to_lab(colourings)[:, :, 1:]
        distances = [
            (ab[i] - ab[j]).square().sum(dim=1).sqrt().mean(dim=(1, 2))
            for i in range(len(ab))
            for j in range(i + 1, len(ab))
        ]
        return {"diversity": torch.stack(distances).mean(dim=0).double()}

    def values(self, prediction: Tensor, target: Tensor | None) -> dict[str, Tensor]:
        raise TypeError("diversity compares colourings of one photograph: use measure_set")
