"""The columns that a Run can fill: the numbers of the catalogue, and what the model costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.metrics import NUMBERS
from bench.runs import Estimate, Run
from bench.tables.sheet import Better, Column


@dataclass(frozen=True)
class Measure:
    """A column, and what a Run has to say in it: None where its protocol does not ask for that number."""

    column: Column
    read: Callable[[Run], Estimate | None]


def _of_metric(name: str) -> Measure:
    number = NUMBERS[name]
    column = Column(name, number.label, number.better, number.decimals, number.unit)
    return Measure(column, lambda run: run.metrics.get(name))


def _of_cost(
    name: str, label: str, unit: str, decimals: int, better: Better, read: Callable[[Run], float | None], per: float = 1
) -> Measure:
    def estimate(run: Run) -> Estimate:
        value = read(run)
        if value is None:
            return Estimate(reason="not known of this system")
        return Estimate(value=value / per, n=run.dataset.n)

    return Measure(Column(name, label, better, decimals, unit), estimate)


EFFICIENCY: dict[str, Measure] = {
    measure.column.key: measure
    for measure in (
        _of_cost("parameters", "params", "M", 2, "none", lambda run: run.model.parameters, per=1e6),
        _of_cost("macs", "MACs", "G", 2, "none", lambda run: run.model.macs, per=1e9),
        _of_cost("latency", "ms/image", "", 2, "lower", lambda run: run.speed.latency_ms),
        # Decoding and metrics are in these two, so that they tell no model from another.
        _of_cost("images_per_second", "images/s, whole pass", "", 1, "none", lambda run: run.speed.images_per_second),
        _of_cost("memory", "memory, whole pass", "MB", 0, "none", lambda run: run.speed.peak_memory_mb),
    )
}
SPEED = frozenset({"latency", "images_per_second", "memory"})  # what depends on the machine
MEASURES: dict[str, Measure] = {name: _of_metric(name) for name in NUMBERS} | EFFICIENCY
