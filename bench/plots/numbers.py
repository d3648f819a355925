"""The numbers of Runs, for axes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import BenchError, UnknownNameError
from bench.metrics import NUMBERS
from bench.runs import Estimate, Run

_ARROWS = {"higher": " ↑", "lower": " ↓", "target": "", "none": ""}
_UNMEASURED = Estimate(reason="it was not among the numbers of the protocol")


def axis_label(name: str) -> str:
    """``PSNR (dB) ↑``"""
    number = NUMBERS[name]
    return f"{number.label}{f' ({number.unit})' if number.unit else ''}{_ARROWS[number.better]}"


def estimate(run: Run, name: str) -> Estimate:
    """A number of a Run; without a value, and with the reason, where it was not measured."""
    return run.metrics.get(name, _UNMEASURED)


def measured(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that any of the Runs has."""
    return [name for name in names if any(estimate(run, name).value is not None for run in runs)]


def require(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Raises an error unless each of ``names`` is a number that some Run has; it says why not, and which there are.

    Raises:
        UnknownNameError: there is no such number.
        BenchError: no Run has it.
    """
    for name in names:
        if name not in NUMBERS:
            raise UnknownNameError("metric", name, NUMBERS)
        if not measured(runs, [name]):
            raise BenchError(unmeasured(runs, name))


def unmeasured(runs: Sequence[Run], name: str) -> str:
    """Why there is no such number in any of the Runs, and what there is instead."""
    reasons = dict.fromkeys((estimate(run, name).reason or "no reason was recorded").rstrip(".") for run in runs)
    there = ", ".join(measured(runs, list(NUMBERS))) or "none"
    return f"no Run has {name}: {'; '.join(reasons) or 'there are no Runs'}. Measured were: {there}."


def whiskers(found: Estimate) -> tuple[tuple[float], tuple[float]] | None:
    """The interval of a measured number as matplotlib's errorbar takes it; None where it has none."""
    if found.value is None or found.low is None or found.high is None:
        return None
    return ((max(0.0, found.value - found.low),), (max(0.0, found.high - found.value),))
