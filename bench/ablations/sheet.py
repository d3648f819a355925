"""The table of an ablation, from Runs alone."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.ablations.config import Ablation
from bench.ablations.seeds import SeedVariance, spread
from bench.labels import dataset_label
from bench.metrics import NUMBERS
from bench.runs import Estimate, Run
from bench.tables.layout import written
from bench.tables.marks import subset
from bench.tables.sheet import EMPTY, Cell, Column, Row, Sheet

WITHIN = "within seed spread"
DIVERGED = "training diverged"
UNTRAINED = "not trained yet"
UNMEASURED = "trained, but not measured on these photographs by this protocol yet"
DIFFERENCE = "_difference"
"""Suffix of the key of a column of differences."""

Seeds = dict[int, Run]


def ablation_sheet(
    ablation: Ablation,
    runs: Sequence[Run],
    failures: Mapping[str, str] | None = None,
    trained: Collection[str] = (),
) -> Sheet:
    """Each variant's mean over the seeds, its spread between them, and its difference to the reference.

    The spread is half the range of two seeds, the standard deviation (n - 1) of three or more; of one seed there is
    none. A difference is *within the seed spread* if zero lies in its 95 % t-interval, for which the variance between
    seeds is pooled over all variants on that dataset. Variants compete for the best of a column if all their seeds were
    measured, on every photograph.

    Args:
        ablation: what was to be trained.
        runs: any Runs. Those of the ablation's weights count; of several of one training on one dataset, the newest,
            and only if its photographs and its protocol are those of the newest Run on that dataset.
        failures: name of a file of weights -> why there are none.
        trained: names of the files of weights that there are, measured or not.
    """
    failures = failures or {}
    columns = [column for name in ablation.metrics for column in _columns(name)]
    trained = {*trained, *(run.model.weights for run in runs)}
    absent = {variant: _absence(ablation, variant, failures, trained) for variant in ablation.variants}
    rows: list[Row] = []
    shown: list[Run] = []
    for section, variants in _by_dataset(ablation, runs).items():
        shown += [run for seeds in variants.values() for run in seeds.values()]
        rows += _rows(ablation, dataset_label(*section), variants, failures, absent)
    notes = _notes(ablation, rows, shown, failures)
    between = "the spread between seeds: half the range of two, the standard deviation of more"
    return Sheet(ablation.title, "dataset", "variant", columns, rows, notes, between)


def _columns(name: str) -> tuple[Column, Column]:
    number = NUMBERS[name]
    return (
        Column(name, number.label, number.better, number.decimals, number.unit),
        Column(name + DIFFERENCE, f"{number.label} diff.", "none", number.decimals, number.unit),
    )


def _absence(ablation: Ablation, variant: str, failures: Mapping[str, str], trained: Collection[str]) -> str:
    """Why a variant has no number at all."""
    weights = {ablation.weights_name(variant, seed) for seed in ablation.seeds}
    if weights & set(failures):
        return DIVERGED
    return UNMEASURED if weights & set(trained) else UNTRAINED


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
class _Number:
    """One number of one variant for each seed; there are no values where a seed lacks it, and ``reason`` says why."""

    values: tuple[float, ...] = ()
    reason: str | None = None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None


def _number(name: str, runs: Seeds, absent: str) -> _Number:
    if not runs:
        return _Number(reason=absent)
    estimates = [runs[seed].metrics.get(name, Estimate(reason="not in the protocol")) for seed in sorted(runs)]
    values = tuple(estimate.value for estimate in estimates if estimate.value is not None)
    if len(values) < len(estimates):
        return _Number(reason=next(estimate.reason for estimate in estimates if estimate.value is None))
    return _Number(values)


def _rows(
    ablation: Ablation,
    section: str,
    variants: Mapping[str, Seeds],
    failures: Mapping[str, str],
    absent: Mapping[str, str],
) -> list[Row]:
    """One dataset."""
    marks = {variant: _marks(ablation, variant, variants[variant], failures) for variant in ablation.variants}
    cells: dict[str, dict[str, Cell]] = {variant: {} for variant in ablation.variants}
    for name in ablation.metrics:
        numbers = {variant: _number(name, variants[variant], absent[variant]) for variant in ablation.variants}
        variance = SeedVariance.pooled(number.values for number in numbers.values())
        reference = numbers[ablation.compared_to]
        for variant, number in numbers.items():
            cells[variant][name] = _mean_cell(number, ranked=not marks[variant])
            if variant != ablation.compared_to:
                difference = _difference_cell(number, reference, variance, NUMBERS[name].decimals)
                cells[variant][name + DIFFERENCE] = difference
    return [Row(section, variant, cells[variant], marks[variant]) for variant in ablation.variants]


def _marks(ablation: Ablation, variant: str, runs: Seeds, failures: Mapping[str, str]) -> tuple[str, ...]:
    """All that keeps a variant from competing with the others."""
    marks = []
    if len(runs) < len(ablation.seeds):
        marks.append(f"{len(runs)} of {len(ablation.seeds)} seeds")
    if any(ablation.weights_name(variant, seed) in failures for seed in ablation.seeds):
        marks.append(DIVERGED)
    if any(not run.complete for run in runs.values()):
        marks.append("incomplete")
    return tuple(marks)


def _mean_cell(number: _Number, ranked: bool) -> Cell:
    mean, between = number.mean, spread(number.values)
    if mean is None or between is None:
        return Cell(mean, reason=number.reason, ranked=ranked)
    return Cell(mean, mean - between, mean + between, ranked=ranked)


def _difference_cell(number: _Number, reference: _Number, variance: SeedVariance | None, decimals: int) -> Cell:
    if number.mean is None or reference.mean is None:
        return Cell(reason=number.reason or reference.reason)
    difference = number.mean - reference.mean
    text = ("+" if round(difference, decimals) > 0 else "") + written(difference, decimals)
    if variance is None:
        return Cell(difference, text=text)
    half = variance.half_interval(len(number.values), len(reference.values))
    marks = (WITHIN,) if abs(difference) <= half else ()
    return Cell(difference, difference - half, difference + half, text=text, marks=marks)


def _notes(ablation: Ablation, rows: Sequence[Row], runs: Sequence[Run], failures: Mapping[str, str]) -> list[str]:
    notes = _verdicts(ablation, rows)
    notes.append(f"diff.: the mean less that of {ablation.compared_to!r}.")
    if any(row.marks for row in rows):
        notes.append("Only variants with all their seeds, each measured on every photograph, are ranked.")
    changes = f" with {', '.join(ablation.set)}" if ablation.set else ""
    step = "last step" if ablation.weights == "last" else "best validation"
    notes.append(f"Trained by {ablation.base}{changes}; weights of the {step}.")
    for key, run in {_dataset(run): run for run in runs}.items():
        count = subset(run) or f"{run.dataset.n:,}"
        notes.append(f"{dataset_label(*key)}: {count} photographs, protocol {run.protocol.name} ({run.protocol.hash}).")
    notes += _absences(ablation, rows)
    return notes + [f"{weights}: {reason}" for weights, reason in failures.items()]


def _verdicts(ablation: Ablation, rows: Sequence[Row]) -> list[str]:
    """What is said of differences, and what that means."""
    n = len(ablation.seeds)
    if n == 1:
        return ["One seed: how much numbers differ between seeds is not known, so no difference is told from chance."]
    if all(row.cells.get(name + DIFFERENCE, EMPTY).low is None for row in rows for name in ablation.metrics):
        return [f"Means over {n} seeds. No variant has two of them yet, so no difference is told from chance."]
    return [
        f"Means over {n} seeds.",
        f"{WITHIN}: other seeds alone could make a difference of this size; zero lies in its 95 % interval (Student's "
        "t). How far seeds lie apart is estimated from all variants on the dataset together.",
        "A difference without this mark proves nothing: of differences that mean nothing, one in twenty lacks it, and "
        "a table has many.",
    ]


def _absences(ablation: Ablation, rows: Sequence[Row]) -> list[str]:
    """Why numbers are missing, each reason once."""
    lacking: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        for name in ablation.metrics:
            if reason := row.cells[name].reason:
                names, variants = lacking.setdefault(reason, ({}, {}))
                names[name] = variants[row.label] = None
    found = []
    for reason, (names, variants) in lacking.items():
        whose = f" (of {', '.join(variants)})" if len(variants) < len(ablation.variants) else ""
        found.append(f"not measured: {', '.join(names)}{whose} – {reason}")
    return found
