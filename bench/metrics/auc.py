"""Area under the cumulative error curve (Zhang, Isola and Efros 2016, section 3.1: "raw accuracy")."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.color import rgb_to_lab
from bench.metrics.base import DistributionMetric, full_precision

_LAST = 150  # thresholds 0, 1, ..., 150
_STEP = 10  # side of a bin in ab
_A, _B = (-9, 10), (-11, 9)  # first and last bin centre, / 10, that sRGB reaches
_BINS = (_A[1] - _A[0] + 1) * (_B[1] - _B[0] + 1)


class AuC(DistributionMetric):
    """How many pixels have an ab error of at most t, as a curve over t = 0..150, and the area under it in percent.

    ``auc`` counts every pixel alike. ``auc_rebalanced`` weighs a pixel by 1 / p of the bin of its original colour (10 x
    10 in ab), where p is the share of that bin among the originals measured: the mean over the occurring bins of the
    area of each. The paper takes p from ImageNet's training set, so its rebalanced values are not quite comparable.

    The state counts pixels by bin and error: integers, so merging is exact, and no second pass is needed.
    """

    counts: Tensor

    def __init__(self) -> None:
        super().__init__(("auc", "auc_rebalanced"))
        self.add_sum("counts", _BINS, _LAST + 2, dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor | None = None) -> None:
        """Take in a batch, see ``Metric.update``."""
        images, originals = self.pair(prediction, target)
        with full_precision(self.device):
            ab, truth = rgb_to_lab(images)[:, 1:], rgb_to_lab(originals)[:, 1:]
        error = (ab - truth).square().sum(1).sqrt()
        least = error.ceil().clamp(max=_LAST + 1).long()  # the first threshold that is met
        a, b = (truth / _STEP).round().long().unbind(1)
        place = (((a - _A[0]) * (_B[1] - _B[0] + 1) + b - _B[0]) * (_LAST + 2) + least).flatten()
        # scatter_add_ rather than bincount: it needs not ask the device how long the result is.
        seen = torch.zeros_like(self.counts).flatten().scatter_add_(0, place, torch.ones_like(place))
        self.counts = self.counts + seen.view_as(self.counts)

    def compute(self) -> dict[str, Tensor]:
        """Both areas in percent; NaN before the first image."""
        areas = _area(self.counts[self.counts.sum(1) > 0])
        return {"auc": _area(self.counts.sum(0)), "auc_rebalanced": areas.mean()}


def _area(counts: Tensor) -> Tensor:
    """(..., 152) pixels by the first threshold they meet -> (...,) normalised area by the trapezoidal rule, percent."""
    curve = counts.cumsum(-1).double() / counts.sum(-1, keepdim=True)
    return 100 * torch.trapezoid(curve[..., : _LAST + 1], dim=-1) / _LAST
