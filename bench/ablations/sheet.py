"""The table of an ablation, from Runs alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.ablations.config import Ablation
from bench.metrics import NUMBERS
from bench.runs import Estimate, Run
from bench.tables.layout import written
from bench.tables.marks import subset
from bench.tables.results import dataset_label
from bench.tables.sheet import Cell, Column, Row, Sheet

WITHIN = "within seed spread"
DIFFERENCE = "_difference"
"""Suffix of the key of a column of differences."""

Seeds = dict[int, Run]


def ablation_sheet(ablation: Ablation, runs: Sequence[Run], failures: Mapping[str, str] | None = None) -> Sheet:
    """Each variant's mean over the seeds, its spread between them, and its difference to the reference.

    The spread is half the range of two seeds, the standard deviation (n - 1) of three or more; of one seed there is
    none. A difference is *within the seed spread* if its size does not exceed the larger spread of the two variants.

    Args:
        ablation: what was to be trained.
        runs: any Runs. Those of the ablation's weights count; of several of one training on one dataset, the newest,
            and only if its photographs and its protocol are those of the newest Run on that dataset.
        failures: name of a file of weights -> why there are none.
    """
    columns = [column for name in ablation.metrics for column in _columns(name)]
    rows: list[Row] = []
    shown: list[Run] = []
    for section, variants in _by_dataset(ablation, runs).items():
        shown += [run for seeds in variants.values() for run in seeds.values()]
        label = dataset_label(*section)
        rows += [_row(ablation, label, variant, variants, failures or {}) for variant in ablation.variants]
    notes = _notes(ablation, shown, failures or {})
    between = "the spread between seeds: half the range of two, the standard deviation of more"
    return Sheet(ablation.title, "dataset", "variant", columns, rows, notes, between)


def spread(values: Sequence[float]) -> float | None:
    """Between seeds: half the range of two values, the standard deviation (n - 1) of more, None of one."""
    if len(values) < 2:
        return None
    return abs(values[0] - values[1]) / 2 if len(values) == 2 else statistics.stdev(values)


def _columns(name: str) -> tuple[Column, Column]:
    number = NUMBERS[name]
    return (
        Column(name, number.label, number.better, number.decimals, number.unit),
        Column(name + DIFFERENCE, f"{number.label} diff.", "none", number.decimals, number.unit),
    )


def _by_dataset(ablation: Ablation, runs: Sequence[Run]) -> dict[tuple[str, str], dict[str, Seeds]]:
    """Dataset and split -> variant -> seed -> Run; datasets in the order of the ablation, then by name."""
    sought = {ablation.weights_name(v, seed): (v, seed) for v in ablation.variants for seed in ablation.seeds}
    ours = sorted((r for r in runs if r.model.weights in sought), key=lambda r: r.environment.end)
    newest = {_dataset(run): run for run in ours}
    found: dict[tuple[str, str], dict[str, Seeds]] = {}
    for run in ours:
        last = newest[_dataset(run)]
        if (run.dataset.digest, run.protocol.hash) == (last.dataset.digest, last.protocol.hash):
            variant, seed = sought[run.model.weights]
            found.setdefault(_dataset(run), {v: {} for v in ablation.variants})[variant][seed] = run
    order = {name: i for i, name in enumerate(ablation.datasets)}

    def place(key: tuple[str, str]) -> int:
        return order.get("/".join(key), order.get(key[0], len(order)))

    return {key: found[key] for key in sorted(found, key=lambda key: (place(key), key))}


def _dataset(run: Run) -> tuple[str, str]:
    return run.dataset.name, run.dataset.split


@dataclass(frozen=True)
class _Summary:
    """One number of one variant over its seeds; ``mean`` is None where a seed lacks it, and ``reason`` says why."""

    mean: float | None
    spread: float | None = None
    reason: str | None = None


def _summary(name: str, runs: Seeds) -> _Summary:
    if not runs:
        return _Summary(None, reason="not trained yet")
    estimates = [runs[seed].metrics.get(name, Estimate(reason="not in the protocol")) for seed in sorted(runs)]
    values = [estimate.value for estimate in estimates if estimate.value is not None]
    if len(values) < len(estimates):
        return _Summary(None, reason=next(estimate.reason for estimate in estimates if estimate.value is None))
    return _Summary(statistics.fmean(values), spread(values))


def _row(
    ablation: Ablation, section: str, variant: str, variants: Mapping[str, Seeds], failures: Mapping[str, str]
) -> Row:
    runs, reference = variants[variant], variants[ablation.compared_to]
    cells: dict[str, Cell] = {}
    for name in ablation.metrics:
        found = _summary(name, runs)
        cells[name] = _mean_cell(found)
        if variant != ablation.compared_to:
            cells[name + DIFFERENCE] = _difference_cell(found, _summary(name, reference), NUMBERS[name].decimals)
    marks = []
    if len(runs) < len(ablation.seeds):
        marks.append(f"{len(runs)} of {len(ablation.seeds)} seeds")
    if any(ablation.weights_name(variant, seed) in failures for seed in ablation.seeds):
        marks.append("training diverged")
    if any(not run.complete for run in runs.values()):
        marks.append("incomplete")
    return Row(section, variant, cells, tuple(marks))


def _mean_cell(found: _Summary) -> Cell:
    if found.mean is None or found.spread is None:
        return Cell(found.mean, reason=found.reason)
    return Cell(found.mean, found.mean - found.spread, found.mean + found.spread)


def _difference_cell(found: _Summary, reference: _Summary, decimals: int) -> Cell:
    if found.mean is None or reference.mean is None:
        return Cell(reason=found.reason or reference.reason)
    difference = found.mean - reference.mean
    text = ("+" if round(difference, decimals) > 0 else "") + written(difference, decimals)
    known = found.spread is not None and reference.spread is not None
    within = known and abs(difference) <= max(found.spread or 0, reference.spread or 0)
    return Cell(difference, text=text, marks=(WITHIN,) if within else ())


def _notes(ablation: Ablation, runs: Sequence[Run], failures: Mapping[str, str]) -> list[str]:
    n = len(ablation.seeds)
    if n == 1:
        notes = ["One seed: how much numbers differ between seeds is not known, so no difference is told from chance."]
    else:
        notes = [
            f"Means over {n} seeds.",
            f"{WITHIN}: the difference is no larger than the larger spread of the two variants.",
        ]
    notes.append(f"diff.: the mean less that of {ablation.compared_to!r}.")
    changes = f" with {', '.join(ablation.set)}" if ablation.set else ""
    step = "last step" if ablation.weights == "last" else "best validation"
    notes.append(f"Trained by {ablation.base}{changes}; weights of the {step}.")
    for key, run in {_dataset(run): run for run in runs}.items():
        count = subset(run) or f"{run.dataset.n:,}"
        notes.append(f"{dataset_label(*key)}: {count} photographs, protocol {run.protocol.name} ({run.protocol.hash}).")
    lacking: dict[str, dict[str, None]] = {}
    for name, estimate in ((name, run.metrics.get(name)) for run in runs for name in ablation.metrics):
        if estimate is not None and estimate.value is None and estimate.reason:
            lacking.setdefault(estimate.reason, {})[name] = None
    notes += [f"not measured: {', '.join(names)} – {reason}" for reason, names in lacking.items()]
    return notes + [f"{weights}: {reason}" for weights, reason in failures.items()]
