"""Colourfulness: how colourful images are, and how far that is from their originals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.metrics.base import ImageMetric
from bench.statistics import interval


def colourfulness(images: Tensor, signed: bool = False) -> Tensor:
    """sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 + mean yb^2), rg = R - G, yb = (R + G) / 2 - B.

    Hasler and Süsstrunk (2003) take the opponents with their sign; the scripts of colorization papers (CT2,
    ColorFormer, DDColor) take their absolute values, about 9 % lower on photographs.

    Args:
        images: (B, 3, H, W) uint8 RGB.
        signed: the original definition.

    Returns:
        (B,) float32; variances are those of the population.
    """
    r, g, b = images.float().flatten(2).unbind(1)
    opponents = torch.stack((r - g, (r + g) / 2 - b), dim=1)
    var, mean = torch.var_mean(opponents if signed else opponents.abs(), dim=2, correction=0)  # (B, 2)
    return var.sum(1).sqrt() + 0.3 * mean.square().sum(1).sqrt()


class Colourfulness(ImageMetric):
    """cf and cf_hasler of the predictions; with originals also dcf and dcf_image.

    Columns: the values of each prediction, ``cf_target`` of its original, and ``dcf_image``, their absolute difference.

    Args:
        has_target: whether there are originals.
    """

    def __init__(self, has_target: bool = True) -> None:
        self.has_target = has_target
        alone = ("cf", "cf_hasler")
        if has_target:
            super().__init__((*alone, "cf_target", "dcf_image"), (*alone, "dcf", "dcf_image"))
            self.originals = {"cf": "cf_target"}
        else:
            super().__init__(alone)

    def values(self, prediction: Tensor, target: Tensor | None) -> dict[str, Tensor]:
        if not self.has_target:
            return self._alone(self.images(prediction))
        prediction, target = self.pair(prediction, target)
        values = self._alone(prediction)
        cf_target = colourfulness(target)
        return {**values, "cf_target": cf_target, "dcf_image": (values["cf"] - cf_target).abs()}

    @staticmethod
    def _alone(prediction: Tensor) -> dict[str, Tensor]:
        return {"cf": colourfulness(prediction), "cf_hasler": colourfulness(prediction, signed=True)}

    def reduce(self, means: Mapping[str, Any]) -> dict[str, Any]:
        """``dcf`` is the absolute difference of two means (DDColor), ``dcf_image`` a mean of differences (CT2)."""
        numbers = {"cf": means["cf"], "cf_hasler": means["cf_hasler"]}
        if self.has_target:
            numbers |= {"dcf": abs(means["cf"] - means["cf_target"]), "dcf_image": means["dcf_image"]}
        return numbers

    def intervals(self, replicates: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """That of ``dcf`` comes from the signed difference: percentiles of an absolute value never reach 0."""
        found = super().intervals(replicates)
        if self.has_target:
            low, high = interval(replicates["cf"] - replicates["cf_target"])
            nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
            found["dcf"] = (nearest, max(abs(low), abs(high)))
        return found
