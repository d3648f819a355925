"""Watches the losses: a run that has gone wrong stops at once, and says where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.training.parallel import mean_over_processes

_BURN_IN = 50  # observations before a mean means anything
_MEMORY = 0.98


class DivergenceError(BenchError):
    """A loss is not a number, infinite, or has exploded."""


class Guard:
    """Running means of the absolute value of every term.

    Args:
        limit: a term may not exceed this many times its running mean.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.means: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def check(self, step: int, name: str, value: float, last_good: str) -> None:
        """Raises DivergenceError with the step, the term and the last good checkpoint."""
        mean, count = self.means.get(name, 0.0), self.counts.get(name, 0)
        if not math.isfinite(value):
            problem = f"is {value}"
        elif count >= _BURN_IN and abs(value) > self.limit * max(mean, 1e-6):
            problem = f"exploded: {value:.4g}, {abs(value) / max(mean, 1e-6):.0f} times its mean of {mean:.4g}"
        else:
            memory = min(_MEMORY, count / (count + 1))
            self.means[name], self.counts[name] = memory * mean + (1 - memory) * abs(value), count + 1
            return
        raise DivergenceError(
            f"step {step}: the loss term {name!r} {problem}. Training stopped; last good checkpoint: {last_good}. "
            "Continue from it with --resume and a smaller learning rate, --set clip=1.0, or --set precision=fp32."
        )


class Recent:
    """Loss terms that still lie on the device, so that steps need not wait for their values."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, str]] = []
        self._values: list[Tensor] = []

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        for name, value in terms.items():
            self._keys.append((step, name))
            self._values.append(value)

    def take(self) -> Sequence[tuple[int, str, float]]:
        """(step, term, mean over the processes) in order; then nothing is left."""
        if not self._keys:
            return []
        values = mean_over_processes(torch.stack(self._values)).tolist()
        found = [(step, name, value) for (step, name), value in zip(self._keys, values, strict=True)]
        self._keys, self._values = [], []
        return found
