"""How far numbers lie apart between seeds, and how large a difference that alone may make."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def spread(values: Sequence[float]) -> float | None:
    """Between seeds: half the range of two values, the standard deviation (n - 1) of more, None of one."""
    if len(values) < 2:
        return None
    return abs(values[0] - values[1]) / 2 if len(values) == 2 else statistics.stdev(values)


@dataclass(frozen=True)
class SeedVariance:
    """The variance of one number between seeds, taken to be the same for all variants.

    Two or three seeds tell next to nothing of a variance; those of all variants together tell more.

    Args:
        value: the variances of the variants, weighted by their degrees of freedom.
        df: degrees of freedom: the sum of (seeds - 1).
    """

    value: float
    df: int

    @classmethod
    def pooled(cls, groups: Iterable[Sequence[float]]) -> SeedVariance | None:
        """Of the values of each variant; None where no variant has two."""
        several = [group for group in groups if len(group) > 1]
        df = sum(len(group) - 1 for group in several)
        if not df:
            return None
        return cls(sum((len(group) - 1) * statistics.variance(group) for group in several) / df, df)

    def half_interval(self, n: int, m: int, level: float = 0.95) -> float:
        """Half of the t-interval (Student 1908) of the difference between a mean of ``n`` seeds and one of ``m``."""
        from scipy.stats import t

        return float(t.ppf((1 + level) / 2, self.df)) * math.sqrt(self.value * (1 / n + 1 / m))
