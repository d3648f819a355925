"""Which Runs a table, a plot or a report is made from: those asked for, and of several alike the newest."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from bench.errors import BenchError
from bench.runs import Run, Store


def select(
    store: Store | Path,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    protocols: Sequence[str] = (),
) -> list[Run]:
    """The newest Run of everything that was measured, in the order asked for.

    Args:
        store: of the Runs, or its folder.
        models: names, or patterns such as ``*-mini``; none = all.
        datasets: ``coco`` or ``imagenet/val5k``, or patterns; none = all.
        protocols: names or hashes; none = all.

    Returns:
        sorted by the order of the names, then by name; never empty.

    Raises:
        BenchError: the store is empty, or nothing in it is called so; says what is there.
    """
    store = store if isinstance(store, Store) else Store(store)
    runs = list(store)
    if not runs:
        raise BenchError(
            f"there is no Run in {store.root}. Measure something first: bench run --model ddcolor-mini --dataset "
            "samples; or name another folder with --runs."
        )
    runs = _asked(runs, "model", models, lambda run: [run.model.name])
    runs = _asked(runs, "dataset", datasets, lambda run: [run.dataset.name, f"{run.dataset.name}/{run.dataset.split}"])
    runs = _asked(runs, "protocol", protocols, lambda run: [run.protocol.name, run.protocol.hash])
    return list(newest(runs).values())


def newest(runs: Iterable[Run]) -> dict[tuple[str, ...], Run]:
    """Of Runs that measured the same, the last complete one, else the last; in the order given."""
    found: dict[tuple[str, ...], Run] = {}
    for run in runs:
        known = found.get(subject(run))
        if known is None or (run.complete, run.environment.end) > (known.complete, known.environment.end):
            found[subject(run)] = run
    return found


def subject(run: Run) -> tuple[str, ...]:
    """What was measured, apart from the code, the libraries and the machine: Runs that share it are repetitions."""
    without_file = run.model.digest if run.model.source in ("memory", "predictions") else None
    return (
        run.model.name,
        run.model.source,
        run.model.sha256 or without_file or run.model.weights,
        json.dumps(run.model.options, sort_keys=True, default=str),
        run.dataset.name,
        run.dataset.split,
        run.dataset.digest,
        run.protocol.hash,
        str(run.hints),
        str(run.colourings),
        run.environment.precision,
    )


def by_protocol(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that may share a column: the same protocol, to the hash. In the order of their first Runs."""
    order = list(dict.fromkeys(run.protocol.hash for run in runs))
    runs = sorted(runs, key=lambda run: order.index(run.protocol.hash))
    return [list(group) for _, group in groupby(runs, key=lambda run: run.protocol.hash)]


def _asked(runs: Sequence[Run], kind: str, patterns: Sequence[str], names: Callable[[Run], Sequence[str]]) -> list[Run]:
    if not patterns:
        return list(runs)

    def place(run: Run) -> int | None:
        hits = (i for i, pattern in enumerate(patterns) if any(fnmatch.fnmatchcase(n, pattern) for n in names(run)))
        return next(hits, None)

    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for run in runs for name in names(run)):
            there = ", ".join(sorted({name for run in runs for name in names(run)}))
            raise BenchError(f"no Run has the {kind} {pattern!r}. There are: {there}.")
    placed = [(where, run) for run in runs if (where := place(run)) is not None]
    return [run for _, run in sorted(placed, key=lambda pair: pair[0])]
