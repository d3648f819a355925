"""Watches the losses: a run that has gone wrong stops at once, and says where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.training.parallel import mean_over_processes

_BURN_IN = 50  # observations before a mean means anything
_MEMORY = 0.98
_ADVICE = (
    "Training stopped; last good checkpoint: {}. Continue from it with --resume and a smaller learning rate "
    "(--set recipe.OPTIMISER.lr=...), --set clip=1.0, or --set precision=fp32."
)


class DivergenceError(BenchError):
    """A loss or a weight is not a number or infinite, or a loss has exploded."""


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
        raise DivergenceError(f"step {step}: the loss term {name!r} {problem}. {_ADVICE.format(last_good)}")


@torch.no_grad()
def check_finite(step: int, states: Mapping[str, Iterable[Tensor]], last_good: str) -> None:
    """Raise DivergenceError if a tensor holds a number that is none: a checkpoint with it would be worth nothing.

    Args:
        step: of the run.
        states: what each is called in the error -> tensors.
        last_good: checkpoint.
    """
    # The largest and smallest element in turn: exact, and without a copy of the size of the weights.
    finite = {
        name: torch.stack([torch.stack(t.aminmax()).isfinite().all() for t in tensors if t.is_floating_point()]).all()
        for name, tensors in states.items()
    }
    broken = [name for name, good in zip(finite, torch.stack(list(finite.values())).tolist(), strict=True) if not good]
    if broken:
        names, advice = " and ".join(broken), _ADVICE.format(last_good)
        raise DivergenceError(f"step {step}: {names} hold numbers that are none. {advice}")


class Recent:
    """Loss terms that still lie on the device, so that steps need not wait for their values."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, str]] = []
        self._values: list[Tensor] = []

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        for name, value in terms.items():
            self._keys.append((step, name))
            self._values.append(value)

    def means(self, guard: Guard, last_good: str) -> dict[str, float]:
        """Term -> its mean over these steps and all processes, each value checked by ``guard``; then none is left."""
        if not self._keys:
            return {}
        values = mean_over_processes(torch.stack(self._values)).tolist()
        found: dict[str, list[float]] = {}
        for (step, name), value in zip(self._keys, values, strict=True):
            guard.check(step, name, value, last_good)
            found.setdefault(name, []).append(value)
        self._keys, self._values = [], []
        return {name: sum(each) / len(each) for name, each in found.items()}
