"""The Fréchet distance between Gaussians, and the metric that streams the Gaussians of two sets of images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.metrics.base import DistributionMetric, full_precision, slices

Array = NDArray[np.float64]

_SIDES = ("prediction", "target")
_ACCELERATOR_BATCH = 32
_CPU_BATCH = 4  # a padded batch costs as much as a full one: on a CPU that is seconds


def frechet_distance(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians (Dowson and Landau 1982; Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), with the trace of the root from symmetric eigenvalues: real by
    construction, valid for singular covariances, and several times faster than a matrix square root.

    Args:
        mean1, mean2: (D,) float64.
        cov1, cov2: (D, D) float64, symmetric positive semi-definite.

    Returns:
        The distance; exactly 0 for equal arguments, never below 0.
    """
    if np.array_equal(mean1, mean2) and np.array_equal(cov1, cov2):
        return 0.0
    difference = mean1 - mean2
    distance = difference @ difference + np.trace(cov1) + np.trace(cov2) - 2 * _trace_of_root(cov1, cov2)
    return max(float(distance), 0.0)


def _trace_of_root(cov1: Array, cov2: Array) -> float:
    """tr (C1 C2)^1/2. With C1 = F F^T, the eigenvalues of C1 C2 are those of the symmetric F^T C2 F."""
    factor = _factor(cov1)
    eigenvalues = np.linalg.eigvalsh(factor.T @ cov2 @ factor)
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())


def _factor(cov: Array) -> Array:
    """F with F F^T = C: Cholesky where C has full rank (2.2 times faster in all), else from eigenvectors."""
    try:
        return np.asarray(np.linalg.cholesky(cov), np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
        real = values > values[-1] * len(values) * np.finfo(np.float64).eps  # what is below is rounding
        return np.asarray(vectors[:, real] * np.sqrt(values[real]), np.float64)


@dataclass(frozen=True)
class Statistics:
    """A Gaussian fitted to the features of a set of images.

    Args:
        n: images.
        mean: (D,) float64.
        cov: (D, D) float64, unbiased (divided by n - 1, as numpy.cov).
    """

    n: int
    mean: Array
    cov: Array

    @classmethod
    def from_sums(cls, n: int, total: Array, outer: Array) -> Statistics:
        """From the number of features, their sum (D,) and the sum of their outer products (D, D)."""
        mean = total / n
        return cls(n, mean, (outer - n * np.outer(mean, mean)) / (n - 1))


class FrechetMetric(DistributionMetric):
    """Fréchet distance between the features of predictions and of originals.

    Features may not depend on how the caller batches: where the extractor is a network, images wait until a batch of
    fixed size is full, and the last batch is padded. States are float64 sums, so parts merge exactly.

    Args:
        number: the name of the distance.
        dimension: of the features.
        batch_size: images per pass of the extractor; 0 = no network, any batch will do; None = 32 (4 on a CPU).
    """

    prediction_n: Tensor
    target_n: Tensor

    def __init__(self, number: str, dimension: int, batch_size: int | None = None) -> None:
        super().__init__((number,))
        self.batch_size = batch_size
        for side in _SIDES:
            self.add_sum(f"{side}_n")
            self.add_sum(f"{side}_sum", dimension)
            self.add_sum(f"{side}_outer", dimension, dimension)
        self._waiting: dict[str, Tensor] = {}
        self._known: Statistics | None = None

    @abstractmethod
    def prepare(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB -> (B, ...) input of ``features``, of the same size for images of any size."""

    @abstractmethod
    def features(self, prepared: Tensor) -> Tensor:
        """(B, ...) prepared images -> (B, D) features."""

    def update(self, prediction: Tensor, target: Tensor | None = None) -> None:
        """Take in a batch; ``target`` is not looked at after ``load_target_statistics``."""
        if self._known is not None:
            self._take("prediction", self.images(prediction))
            return
        if target is None:
            raise ValueError(f"{type(self).__name__} compares with originals; a target was expected, got None")
        self._take("prediction", self.images(prediction))
        self._take("target", self.images(target))

    @torch.no_grad()
    def _take(self, side: str, images: Tensor) -> None:
        with full_precision(self.device):
            prepared = self.prepare(images)
        size = self._fixed_batch()
        if not size:
            for part in slices(len(prepared), self.device):
                self._add(side, prepared[part], len(prepared[part]))
            return
        if side in self._waiting:
            prepared = torch.cat((self._waiting.pop(side), prepared))
        full = len(prepared) - len(prepared) % size
        for start in range(0, full, size):
            self._add(side, prepared[start : start + size], size)
        if full < len(prepared):
            self._waiting[side] = prepared[full:].clone()

    def _fixed_batch(self) -> int:
        if self.batch_size is None:
            return _CPU_BATCH if self.device.type == "cpu" else _ACCELERATOR_BATCH
        return self.batch_size

    @torch.no_grad()
    def _add(self, side: str, prepared: Tensor, n: int) -> None:
        """Add the features of the first ``n`` of a batch to the sums of one side."""
        with full_precision(self.device):
            found = self.features(prepared)[:n].double()
        for state, value in (("n", n), ("sum", found.sum(0)), ("outer", found.T @ found)):
            setattr(self, f"{side}_{state}", getattr(self, f"{side}_{state}") + value)

    def flush(self) -> None:
        """Measure the images that still wait, in batches padded to the fixed size."""
        while self._waiting:
            side, images = self._waiting.popitem()
            padding = images[-1:].expand(self._fixed_batch() - len(images), *images.shape[1:])
            self._add(side, torch.cat((images, padding)), len(images))

    def reset(self) -> None:
        """Forget all images; statistics given by ``load_target_statistics`` stay."""
        super().reset()
        self._waiting = {}

    def state_tensors(self) -> dict[str, Tensor]:
        """As for every metric; without the originals' states where these are known beforehand."""
        states = super().state_tensors()
        return states if self._known is None else {k: v for k, v in states.items() if k.startswith("prediction_")}

    def load_target_statistics(self, statistics: Statistics) -> None:
        """Use these statistics of the originals from now on, in place of any measured here."""
        self._known = statistics
        self._waiting.pop("target", None)

    def target_statistics(self) -> Statistics:
        """Of the originals: they depend on the dataset and the protocol alone, so every model can share them."""
        return self._known or self._statistics("target")

    def _statistics(self, side: str) -> Statistics:
        self.flush()
        n, total, outer = (getattr(self, f"{side}_{state}").cpu().numpy() for state in ("n", "sum", "outer"))
        return Statistics.from_sums(int(n), total, outer)

    def compute(self) -> dict[str, Tensor]:
        """The distance so far; NaN for fewer than two images on either side."""
        self.flush()
        known = self._known.n if self._known else int(self.target_n)
        if min(int(self.prediction_n), known) < 2:
            return self._report(float("nan"))
        prediction, target = self._statistics("prediction"), self.target_statistics()
        return self._report(frechet_distance(prediction.mean, prediction.cov, target.mean, target.cov))

    def _report(self, distance: float) -> dict[str, Any]:
        return {self.numbers[0]: torch.tensor(distance, dtype=torch.float64, device=self.device)}
