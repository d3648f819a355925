"""Intervals for numbers that are means over images."""

from __future__ import annotations

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
