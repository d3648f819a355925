"""Two Runs against each other, photograph by photograph: which model is better, by how much, and how sure that is."""

from __future__ import annotations

import fnmatch
import glob
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.labels import VARIANT, Aspect, told_apart
from bench.metrics import NUMBERS, Number
from bench.runs import Run, Store, Which, per_image, sample_name
from bench.selection import select
from bench.statistics import SignedRank, bootstrap_means, holm, interval, signed_rank

LEVEL = 0.05
_DIGITS = 8  # of a digest in a label


@dataclass(frozen=True)
class Side:
    """One of the two Runs.

    Args:
        run: the record.
        folder: where it lies.
        label: what tells it from the other.
    """

    run: Run
    folder: Path
    label: str

    @property
    def dataset(self) -> str:
        return f"{self.run.dataset.name}/{self.run.dataset.split}"

    def rows(self) -> pd.DataFrame:
        """Its values per photograph; see ``bench.runs.per_image``."""
        return per_image(self.folder)

    def picture(self, index: int, which: Which) -> Path:
        """Where the prediction for a photograph, or its original, lies if it was kept."""
        return self.folder / "samples" / sample_name(index, which)


@dataclass(frozen=True)
class Difference:
    """One number of two Runs on the same photographs.

    Args:
        number: which.
        mean_a, mean_b: over the photographs.
        low, high: 95 % bootstrap interval of ``mean_a - mean_b``; None for a single photograph.
        wins_a, wins_b: share of the photographs on which that side is better; the rest are equal.
        test: of the photographs' differences, turned so that a positive effect means that A is better.
        p: of the test, corrected for the other numbers of the comparison.
    """

    number: Number
    mean_a: float
    mean_b: float
    low: float | None
    high: float | None
    wins_a: float
    wins_b: float
    test: SignedRank
    p: float | None = None

    @property
    def value(self) -> float:
        return self.mean_a - self.mean_b

    @property
    def better(self) -> str | None:
        """``"a"`` or ``"b"`` where both the ranks and the interval of the mean say so; else None."""
        if self.by_ranks is None or self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        by_mean = "a" if _sign(self.number) * self.value > 0 else "b"
        return by_mean if by_mean == self.by_ranks else None

    @property
    def by_ranks(self) -> str | None:
        """``"a"`` or ``"b"`` where the corrected test is sure of it; else None."""
        if self.p is None or self.p >= LEVEL or not self.test.effect:
            return None
        return "a" if self.test.effect > 0 else "b"


@dataclass(frozen=True)
class Comparison:
    """Two Runs on the same photographs under the same protocol.

    Args:
        a, b: the two.
        rows: of the photographs that both measured: ``name``, ``index``, and ``<number>_a``, ``<number>_b`` for each
            number compared.
        differences: number -> what was found, in the order of ``bench.metrics.NUMBERS``.
        absent: why other numbers were not compared.
    """

    a: Side
    b: Side
    rows: pd.DataFrame
    differences: dict[str, Difference]
    absent: dict[str, str]

    def advantage(self, number: str) -> pd.Series[float]:
        """By how much A is better on each photograph, in the unit of the number."""
        return _sign(NUMBERS[number]) * (self.rows[f"{number}_a"] - self.rows[f"{number}_b"])


def compare(
    store: Store | Path, a: str, b: str, datasets: Sequence[str] = (), protocols: Sequence[str] = ()
) -> list[Comparison]:
    """Compare two models wherever both were measured alike.

    Args:
        store: of the Runs, or its folder.
        a, b: a model's name, ``name@weights``, or the folder (or result.json) of one Run.
        datasets, protocols: as in ``bench.selection.select``; none = all that the two share.

    Returns:
        one for each dataset and protocol; never empty.

    Raises:
        BenchError: no such Runs, several to choose from, or none with the same photographs and protocol.
    """
    store = store if isinstance(store, Store) else Store(store)
    found = [_group(_find(store, name, datasets, protocols)) for name in (a, b)]
    shared = [key for key in found[0] if key in found[1]]
    # Of ``net`` and ``net@mine``, the first means the second too: no pair, unless they mean nothing else.
    shared = [key for key in shared if not _one_run(found[0][key], found[1][key])] or (shared if a == b else [])
    if not shared:
        raise BenchError(
            f"{a} and {b} were never measured on the same photographs by the same protocol. "
            + " ".join(f"{name}: {'; '.join(_described(group))}." for name, group in zip((a, b), found, strict=True))
            + f" Measure both alike: {' and '.join(_measuring(group) for group in found)}."
        )
    pairs = [[_only(name, group[key]) for name, group in zip((a, b), found, strict=True)] for key in shared]
    return [compare_runs(*_labelled(*pair)) for pair in pairs]


def compare_runs(a: Side, b: Side) -> Comparison:
    """Compare two Runs of the same photographs and protocol; see ``compare``.

    Raises:
        BenchError: no number has values of the same photographs in both.
    """
    rows_a, rows_b = a.rows(), b.rows()
    names = [name for name in NUMBERS if name in a.run.metrics or name in b.run.metrics]
    absent = {name: reason for name in names if (reason := _why_not(name, (a, rows_a), (b, rows_b)))}
    compared = [name for name in names if name not in absent]
    if not compared:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        raise BenchError(
            f"{a.label} and {b.label} on {a.dataset} have no number to compare photograph by photograph ({reasons})."
        )
    rows = rows_a[["name", "index", *compared]].merge(rows_b[["name", *compared]], on="name", suffixes=("_a", "_b"))
    finite = np.isfinite(rows.drop(columns=["name", "index"]).to_numpy(float)).all(axis=1)
    rows = rows.loc[finite].reset_index(drop=True)
    if rows.empty:
        raise BenchError(f"{a.label} and {b.label} measured no photograph of {a.dataset} both.")
    return Comparison(a, b, rows, _differences(rows, compared, a.run.seed), absent)


def _differences(rows: pd.DataFrame, names: Sequence[str], seed: int) -> dict[str, Difference]:
    values_a, values_b = (rows[[f"{name}_{side}" for name in names]].to_numpy(float) for side in "ab")
    replicates = bootstrap_means(values_a - values_b, seed=seed)
    found = {}
    for i, name in enumerate(names):
        advantage = _sign(NUMBERS[name]) * (values_a[:, i] - values_b[:, i])
        low, high = interval(replicates[:, i]) if len(rows) > 1 else (None, None)
        found[name] = Difference(
            number=NUMBERS[name],
            mean_a=float(values_a[:, i].mean()),
            mean_b=float(values_b[:, i].mean()),
            low=low,
            high=high,
            wins_a=float((advantage > 0).mean()),
            wins_b=float((advantage < 0).mean()),
            test=signed_rank(advantage),
        )
    p_values = {name: d.test.p for name, d in found.items() if d.test.p is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {name: replace(difference, p=corrected.get(name)) for name, difference in found.items()}


def _sign(number: Number) -> int:
    """What turns a difference so that more is better."""
    return 1 if number.better == "higher" else -1


def _why_not(name: str, *sides: tuple[Side, pd.DataFrame]) -> str | None:
    """Why a number is not compared; None where it is."""
    for side, _ in sides:
        estimate = side.run.metrics.get(name)
        if estimate is None:
            return f"not measured for {side.label}"
        if estimate.value is None:
            return estimate.reason or f"not measured for {side.label}"
    if NUMBERS[name].better == "target":
        return f"neither more nor less of it is better; {NUMBERS['dcf_image'].label} tells how far from the original"
    if not all(name in rows for _, rows in sides):
        return "one number of the whole set, without a value for each photograph"
    return None


def _find(store: Store, name: str, datasets: Sequence[str], protocols: Sequence[str]) -> list[Side]:
    """The Runs that a name or a path means."""
    path = Path(name)
    folder = path.parent if path.name == "result.json" else path
    run = Store(folder.parent).load(Path(folder.name)) if folder.name else None
    if run is None:
        return [Side(run, store.root / run.folder, run.model.name) for run in _named(store, name, datasets, protocols)]
    for kind, wanted, names in (
        ("dataset", datasets, (run.dataset.name, f"{run.dataset.name}/{run.dataset.split}")),
        ("protocol", protocols, (run.protocol.name, run.protocol.hash)),
    ):
        if wanted and not any(fnmatch.fnmatchcase(n, pattern) for n in names for pattern in wanted):
            raise BenchError(f"the Run in {folder} has the {kind} {names[0]}, not {', '.join(wanted)}.")
    return [Side(run, folder, run.model.name)]


def _named(store: Store, name: str, datasets: Sequence[str], protocols: Sequence[str]) -> list[Run]:
    known = {run.model.name for run in store}
    model, at, weights = name.rpartition("@")
    if name in known or not at:
        model, weights = name, ""
    runs = select(store, [glob.escape(model)], datasets, protocols)
    if not weights:
        return runs
    chosen = [run for run in runs if weights in (run.model.weights, run.model.sha256)]
    if not chosen:
        there = ", ".join(sorted({run.model.weights for run in runs}))
        raise BenchError(f"no Run of {model} has the weights {weights!r}. There are: {there}.")
    return chosen


Key = tuple[str, str]
"""Digest of the dataset, hash of the protocol: Runs that share both saw the same pictures."""


def _group(sides: Sequence[Side]) -> dict[Key, list[Side]]:
    groups: dict[Key, list[Side]] = defaultdict(list)
    for side in sides:
        groups[side.run.dataset.digest, side.run.protocol.hash].append(side)
    return dict(groups)


def _one_run(a: Sequence[Side], b: Sequence[Side]) -> bool:
    return len({side.folder.resolve() for side in (*a, *b)}) == 1


def _measuring(group: dict[Key, list[Side]]) -> str:
    """A command that measures the same elsewhere."""
    run = next(iter(group.values()))[0].run
    weights = f" --weights {run.model.weights}" if run.model.source in ("file", "random") else ""
    return f"bench run --model {run.model.name}{weights} --dataset NAME"


def _described(group: dict[Key, list[Side]]) -> list[str]:
    return [
        f"{sides[0].dataset} (n = {sides[0].run.dataset.n}, digest {digest[:_DIGITS]}) "
        f"by {sides[0].run.protocol.name} ({protocol})"
        for (digest, protocol), sides in group.items()
    ]


def _only(name: str, sides: Sequence[Side]) -> Side:
    if len(sides) > 1:
        choices = "; ".join(f"{side.folder} ({_facts(side.run)})" for side in sides)
        raise BenchError(
            f"{name} was measured in several ways on {sides[0].dataset}. Name one by its weights "
            f"({name}@{sides[0].run.model.weights}) or its folder: {choices}."
        )
    return sides[0]


def _facts(run: Run) -> str:
    return ", ".join(aspect.written([run])(run) for aspect in VARIANT)


# Beyond what a label usually names, Runs differ in code, libraries or machine (in their key), or in time alone.
_ASPECTS = (
    *VARIANT,
    Aspect((lambda run: run.key,)),
    Aspect((lambda run: f"{run.environment.end:%Y-%m-%d %H:%M:%S}",)),
)


def _labelled(a: Side, b: Side) -> tuple[Side, Side]:
    """With labels that tell the two apart.

    Raises:
        BenchError: both are one Run.
    """
    if a.folder.resolve() == b.folder.resolve():
        raise BenchError(f"both are the Run in {a.folder}. Name two Runs.")
    labels = told_apart([(side.run, side.run.model.name) for side in (a, b)], _ASPECTS)
    if labels[0] == labels[1]:  # a copy of the Run
        labels = [f"{label} ({side.folder})" for label, side in zip(labels, (a, b), strict=True)]
    return replace(a, label=labels[0]), replace(b, label=labels[1])
