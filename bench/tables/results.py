"""Runs as sheets: one per protocol, a section per dataset, a row per Run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import UnknownNameError
from bench.labels import dataset_label
from bench.metrics import NUMBERS
from bench.runs import Estimate, Run
from bench.selection import by_protocol
from bench.tables.marks import REFERENCE, competes, device_name, marks, subset
from bench.tables.measures import EFFICIENCY, MEASURES, SPEED
from bench.tables.sheet import Cell, Column, Row, Sheet

_FAILURES_SHOWN = 5
_DIGITS = 8  # of a digest in a label


def results_sheets(
    runs: Sequence[Run], metrics: Sequence[str] = (), sort: str | None = None, efficiency: bool = False
) -> list[Sheet]:
    """Runs as tables: one sheet per protocol (to the hash), a section per set of photographs, a row per Run.

    Args:
        runs: in the order of the rows.
        metrics: columns, names of ``bench.metrics.NUMBERS``, ``parameters``, ``macs``, ``latency``,
            ``images_per_second`` or ``memory``; none = every number that any of the Runs measured.
        sort: column to sort the rows of a section by, the best first; rows without a value come last.
        efficiency: also parameters, multiply-accumulates, latency, images per second and peak memory.

    Raises:
        UnknownNameError: there is no such column.
    """
    for name in (*metrics, *([sort] if sort else [])):
        if name not in MEASURES:
            raise UnknownNameError("number", name, MEASURES)
    return [_sheet(group, metrics, sort, efficiency) for group in by_protocol(runs)]


def _sheet(runs: Sequence[Run], metrics: Sequence[str], sort: str | None, efficiency: bool) -> Sheet:
    """``runs`` share one protocol."""
    measured = [n for n in NUMBERS if any(n in run.metrics and run.metrics[n].value is not None for run in runs)]
    names = list(dict.fromkeys([*(metrics or measured), *(EFFICIENCY if efficiency else ())]))
    sections = _sections(runs)
    first = {label: i for i, label in reversed(list(enumerate(sections)))}
    order = sorted(range(len(runs)), key=lambda i: (first[sections[i]], *_place(runs[i], sort)))
    protocol = runs[0].protocol
    return Sheet(
        title=f"Protocol {protocol.name} ({protocol.hash})",
        section_head="dataset",
        row_head="model",
        columns=[Column("n", "n", decimals=0), *(_column(name, runs) for name in names)],
        rows=[
            Row(sections[i], runs[i].model.name, _cells(runs[i], names), (*marks(runs[i]), *_apart(runs[i], runs)))
            for i in order
        ],
        notes=[
            *_absences(runs, metrics or [n for n in MEASURES if n in names or any(n in run.metrics for run in runs)]),
            *_cautions(runs, names),
            *(failure for i in order for failure in _failures(runs[i])),
        ],
    )


def _column(name: str, runs: Sequence[Run]) -> Column:
    """Speeds measured on different machines stand side by side, but none is called the best."""
    column = MEASURES[name].column
    mixed = name in SPEED and len({_machine(run) for run in runs}) > 1
    return replace(column, better="none") if mixed else column


def _sections(runs: Sequence[Run]) -> list[str]:
    """The dataset of each Run, told apart where the same name stands for different photographs."""
    digests: dict[str, dict[str, str | None]] = {}
    labels = [dataset_label(run.dataset.name, run.dataset.split) for run in runs]
    for run, label in zip(runs, labels, strict=True):
        digests.setdefault(label, {})[run.dataset.digest] = subset(run)
    return [label + _which(run.dataset.digest, digests[label]) for run, label in zip(runs, labels, strict=True)]


def _which(digest: str, digests: Mapping[str, str | None]) -> str:
    if len(digests) == 1:
        return ""
    if len(set(digests.values())) == len(digests):
        return f" ({digests[digest]})" if digests[digest] else ""
    return f" ({digest[:_DIGITS]})"


def _place(run: Run, sort: str | None) -> tuple[bool, float]:
    """Where a Run stands in its section."""
    if sort is None:
        return False, 0
    estimate = _estimate(run, sort)
    if estimate.value is None:
        return True, 0
    return False, estimate.value if MEASURES[sort].column.better == "lower" else -estimate.value


def _cells(run: Run, names: Sequence[str]) -> dict[str, Cell]:
    cells = {"n": Cell(run.dataset.n, text=subset(run))}
    for name in names:
        estimate = _estimate(run, name)
        reason = estimate.reason if estimate.value is None else None
        cells[name] = Cell(estimate.value, estimate.low, estimate.high, reason=reason, ranked=competes(run))
    return cells


def _estimate(run: Run, name: str) -> Estimate:
    return MEASURES[name].read(run) or Estimate(reason="not asked for")


def _apart(run: Run, runs: Sequence[Run]) -> list[str]:
    """What tells a Run from others of the same model, and its device where there are several."""
    alike = {(other.model.weights, other.model.sha256) for other in runs if other.model.name == run.model.name}
    named = run.model.source not in ("file", "random", "predictions")  # the marks of these say it already
    found = [f"weights {run.model.weights}"] if named and len({name for name, _ in alike}) > 1 else []
    if len({digest for name, digest in alike if name == run.model.weights}) > 1:
        found.append(f"sha256 {(run.model.sha256 or 'none')[:_DIGITS]}")
    return found + ([device_name(run)] if len({device_name(other) for other in runs}) > 1 else [])


def _absences(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Why numbers are missing, each reason once."""
    lacking: dict[str, dict[str, set[int]]] = {}
    for i, run in enumerate(runs):
        for name in names:
            estimate = _estimate(run, name)
            if estimate.value is None and estimate.reason:
                lacking.setdefault(estimate.reason, {}).setdefault(name, set()).add(i)
    found = []
    for reason, numbers in lacking.items():
        places = sorted(set().union(*numbers.values()))
        models = dict.fromkeys(runs[i].model.name for i in places)
        whose = f" (of {', '.join(models)})" if len(places) < len(runs) else ""
        found.append(f"not measured: {', '.join(numbers)}{whose} – {reason}")
    return found


def _cautions(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """What one could misread."""
    found = []
    if part := next(filter(None, map(subset, runs)), None):
        found.append(f"n such as {part}: a part of the photographs; compare with the same photographs only")
    if strays := max(run.dataset.strays for run in runs):
        found.append(f"up to {strays} of the photographs are from outside the split")
    if "fcd" in names:
        found.append("FCD depends on n: compare it with itself, on the same photographs")
    references = list(dict.fromkeys(run.model.name for run in runs if run.model.family == REFERENCE))
    if references and len(references) < len({run.model.name for run in runs}):
        found.append(f"{' and '.join(references)}: for reference, not ranked")
    if SPEED & set(names):
        settings = list(dict.fromkeys(_speed_setting(run) for run in runs))
        differ = "differ and are not ranked: " if len({_machine(run) for run in runs}) > 1 else ""
        found.append(f"speed and memory: {differ}{'; '.join(settings)}")
    if "latency" in names:
        found.append("ms/image: the model alone, one photograph at a time at the protocol's size, median")
    if {"images_per_second", "memory"} & set(names):
        found.append("whole pass: with decoding, all metrics and their networks, so not ranked")
    return found


def _machine(run: Run) -> str:
    """All that the latency depends on besides the model."""
    device = run.environment.device
    threads = f", {device['threads']} threads" if device.get("type") == "cpu" and device.get("threads") else ""
    return f"{device_name(run)}{threads}, {run.environment.precision}"


def _speed_setting(run: Run) -> str:
    """All that the speed of the whole pass depends on besides the model."""
    processes = f", {run.speed.processes} processes" if run.speed.processes > 1 else ""
    return f"{_machine(run)}, batches of {run.speed.batch_size}{processes}"


def _failures(run: Run) -> list[str]:
    found = [f"{run.dataset.name}: {f.name} was not measured: {f.reason}" for f in run.failures[:_FAILURES_SHOWN]]
    more = len(run.failures) - _FAILURES_SHOWN
    return found + ([f"{run.dataset.name}: and {more} more, see result.json"] if more > 0 else [])
