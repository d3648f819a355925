"""Comparisons of two Runs as sheets, and in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.comparison import Comparison, Difference, Side
from bench.labels import dataset_label
from bench.tables.layout import ARROWS, written
from bench.tables.marks import device_name, marks
from bench.tables.sheet import Cell, Column, Row, Sheet


def comparison_sheets(comparisons: Sequence[Comparison]) -> list[Sheet]:
    """One sheet per protocol; sections = datasets, rows = numbers."""
    groups: dict[tuple[str, ...], list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        groups[comparison.a.run.protocol.hash, comparison.a.label, comparison.b.label].append(comparison)
    return [_sheet(group) for group in groups.values()]


def verdict(comparison: Comparison) -> str:
    """What the comparison shows, in words: where either side is better, where ranks and mean disagree, what is open.

    A side is called better where the corrected test is below 0.05 and the interval of the mean difference agrees.
    """
    names = {"a": comparison.a.label, "b": comparison.b.label}
    clear: dict[str, list[str]] = {"a": [], "b": []}
    mixed, open_ = [], []
    for difference in comparison.differences.values():
        label = difference.number.label
        if difference.better:
            clear[difference.better].append(_by_how_much(difference))
        elif difference.p is None:
            open_.append(f"{label} (not tested: {difference.test.reason})")
        elif difference.by_ranks:
            favoured, gap = names[difference.by_ranks], _gap(difference)
            mixed.append(
                f"{label} (most ranks favour {favoured}, {_said(difference.p)}, but the means differ by {gap})"
            )
        else:
            open_.append(f"{label} ({_said(difference.p)})")
    said = [f"{names[side]} is better by {_listed(found)}" for side, found in clear.items() if found]
    if mixed:
        said.append(f"ranks and mean do not agree on {_listed(mixed)}")
    if open_:
        said.append(f"not enough evidence of a difference in {_listed(open_)}")
    where = f"{_dataset(comparison)} (n = {len(comparison.rows)}, protocol {comparison.a.run.protocol.name})"
    return f"On {where}: {'; '.join(said)}."


def _sheet(comparisons: Sequence[Comparison]) -> Sheet:
    a, b = comparisons[0].a, comparisons[0].b
    protocol = a.run.protocol
    return Sheet(
        title=f"{a.label} against {b.label}, photograph by photograph, protocol {protocol.name} ({protocol.hash})",
        section_head="dataset",
        row_head="metric",
        columns=[
            Column("n", "n", decimals=0),
            Column("a", a.label, decimals=4),
            Column("b", b.label, decimals=4),
            Column("difference", "difference", decimals=4),
            Column("wins_a", f"{a.label} better", decimals=0, unit="%"),
            Column("wins_b", f"{b.label} better", decimals=0, unit="%"),
            Column("effect", "r"),
            Column("p", "p", decimals=3),
            Column("p_holm", "p (Holm)", decimals=3),
        ],
        rows=[
            _row(comparison, difference) for comparison in comparisons for difference in comparison.differences.values()
        ],
        notes=_notes(comparisons),
    )


def _row(comparison: Comparison, difference: Difference) -> Row:
    number, test = difference.number, difference.test
    unit = f" ({number.unit})" if number.unit else ""
    digits = number.decimals
    missing = Cell(reason=test.reason)
    return Row(
        section=_dataset(comparison),
        label=f"{number.label}{unit} {ARROWS[number.better]}",
        cells={
            "n": Cell(len(comparison.rows)),
            "a": Cell(difference.mean_a, text=written(difference.mean_a, digits)),
            "b": Cell(difference.mean_b, text=written(difference.mean_b, digits)),
            "difference": Cell(difference.value, difference.low, difference.high, text=_gap(difference)),
            "wins_a": Cell(100 * difference.wins_a),
            "wins_b": Cell(100 * difference.wins_b),
            "effect": missing if test.effect is None else Cell(test.effect, text=_signed(test.effect, 2)),
            "p": missing if test.p is None else Cell(test.p, text=_p(test.p)),
            "p_holm": missing if difference.p is None else Cell(difference.p, text=_p(difference.p)),
        },
    )


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    a, b = comparisons[0].a, comparisons[0].b
    notes = [
        f"difference: the mean of {a.label} less the mean of {b.label}, with its 95 % bootstrap interval",
        f"r: matched-pairs rank-biserial correlation, from -1 to 1, above 0 where {a.label} is better",
        "p: Wilcoxon's signed-rank test, two-sided, without the photographs on which the two are equal; "
        "p (Holm): corrected for the other numbers of the same dataset",
    ]
    told: dict[str, list[str]] = defaultdict(list)
    for comparison in comparisons:
        few = {d.test.reason for d in comparison.differences.values() if d.test.reason}
        for note in (*_absent(comparison), *_cautions(comparison.a, comparison.b), *(f"not tested: {f}" for f in few)):
            told[note].append(_dataset(comparison))
    return notes + [
        note if len(where) == len(comparisons) else f"{', '.join(where)}: {note}" for note, where in told.items()
    ]


def _absent(comparison: Comparison) -> list[str]:
    """Why numbers are not compared, each reason once."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in comparison.absent.items():
        names[reason].append(name)
    return [f"not compared: {', '.join(alike)} – {reason}" for reason, alike in names.items()]


def _cautions(a: Side, b: Side) -> list[str]:
    """What a reader must know of the two Runs, and what besides the models differs between them."""
    found = []
    if not a.run.dataset.complete and a.run.dataset.expected:
        found.append(f"only {a.run.dataset.n} of the {a.run.dataset.expected} photographs of the split were there")
    found += [f"{side.label}: {', '.join(told)}" for side in (a, b) if (told := marks(side.run))]
    for what, first, second in (
        ("devices", *(device_name(run) for run in (a.run, b.run))),
        ("versions of the code", a.run.environment.code_digest, b.run.environment.code_digest),
    ):
        if first != second:
            found.append(f"measured with different {what}: {first} and {second}")
    if a.run.environment.libraries != b.run.environment.libraries:
        every = sorted(a.run.environment.libraries.keys() | b.run.environment.libraries.keys())
        pairs = ((name, *(run.environment.libraries.get(name, "none") for run in (a.run, b.run))) for name in every)
        differing = ", ".join(f"{name} {first} and {second}" for name, first, second in pairs if first != second)
        found.append(f"measured with different libraries: {differing}")
    return found


def _dataset(comparison: Comparison) -> str:
    return dataset_label(comparison.a.run.dataset.name, comparison.a.run.dataset.split)


def _gap(difference: Difference) -> str:
    """The mean of A less that of B, with its interval."""
    ends = [end for end in (difference.low, difference.high) if end is not None]
    value, *interval = (_signed(end, difference.number.decimals) for end in (difference.value, *ends))
    return f"{value} ({' to '.join(interval)})" if interval else value


def _by_how_much(difference: Difference) -> str:
    number = difference.number
    unit = f"{number.unit} " if number.unit else ""
    ends = sorted((abs(difference.low or 0), abs(difference.high or 0)))  # of one sign where a side is better
    spread = " to ".join(written(end, number.decimals) for end in ends)
    gap = written(abs(difference.value), number.decimals)
    return f"{gap} {unit}in {number.label} (95 % {spread}, {_said(difference.p)})"


def _signed(value: float, decimals: int) -> str:
    text = written(value, decimals)
    return text if text[0] == "−" or float(text) == 0 else f"+{text}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _said(p: float | None) -> str:
    """The sign belongs to the number: p = 0.012, p < 0.001."""
    return "no p" if p is None else f"p = {_p(p)}" if p >= 0.001 else f"p {_p(p)}"


def _listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
