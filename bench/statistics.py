"""Intervals for numbers that are means over images, and tests of paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bootstrap_means(values: NDArray[Any], replicates: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Means of resamples with replacement (Efron 1979).

    All columns share the resamples, so whatever is made from several means keeps its pairing. Memory does not grow with
    the number of replicates times the number of images: each resample is a vector of counts.

    Args:
        values: (n, k), one row per image.
        replicates: how many resamples.
        seed: the same seed and n give the same resamples.

    Returns:
        (replicates, k) float64.

    Raises:
        ValueError: no rows, or values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"expected (n, k) values with n > 0, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite; leave out what could not be measured")
    n = len(values)
    rng = np.random.default_rng(seed)
    means = np.empty((replicates, values.shape[1]))
    for row in means:
        row[:] = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) @ values / n
    return means


def interval(samples: NDArray[Any], level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap replicates.

    Args:
        samples: (replicates,) of one number.
        level: share of the replicates within.

    Returns:
        Its lower and upper end.

    Raises:
        ValueError: ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class SignedRank:
    """What Wilcoxon's signed-rank test (1945) says of paired differences.

    Args:
        p: two-sided, that they lie around zero; None where the test cannot speak, and ``reason`` says why.
        effect: matched-pairs rank-biserial correlation (Kerby 2014): the share of the rank sum that lies above zero
            less the share below, from -1 to 1; None where every difference is zero.
        reason: why there is no ``p``.
    """

    p: float | None
    effect: float | None
    reason: str | None = None


FEWEST_PAIRS = 6
"""With fewer differences that are not zero even the clearest outcome has p >= 2 / 2^5 = 0.06."""


def signed_rank(differences: NDArray[Any]) -> SignedRank:
    """Test whether paired differences lie around zero.

    Zeros are left out, as Wilcoxon did; equal magnitudes share their mean rank. The null distribution is exact for up
    to 50 differences without ties (13 with ties), else normal with corrections for ties and continuity.

    Args:
        differences: (n,), finite.

    Raises:
        ValueError: another shape, or values that are not finite.
    """
    from scipy.stats import rankdata, wilcoxon

    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or not np.isfinite(differences).all():
        raise ValueError(f"expected (n,) finite differences, got shape {differences.shape}")
    moved = differences[differences != 0]
    if not len(moved):
        return SignedRank(None, None, "the two are equal on every photograph")
    effect = float((np.sign(moved) * rankdata(np.abs(moved))).sum() * 2 / (len(moved) * (len(moved) + 1)))
    if len(moved) < FEWEST_PAIRS:
        reason = f"{len(moved)} photographs that differ are too few for a test; {FEWEST_PAIRS} are needed"
        return SignedRank(None, effect, reason)
    return SignedRank(float(wilcoxon(moved, correction=True).pvalue), effect)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several: the chance of even one false alarm among them stays below the level.

    Holm (1979): the k-th smallest of m is multiplied by m - k + 1, made monotone, and cut at 1.
    """
    m = len(p_values)
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * (m - np.arange(m)))
    corrected = np.empty(m)
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()
