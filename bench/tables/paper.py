"""The tables of a paper, with what was measured here beside every published number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.published import EVERYWHERE, OurMethod, Pair, Paper, PaperTable, PublishedNumber, best_match, load_paper
from bench.runs import Run
from bench.tables.measures import EFFICIENCY, MEASURES
from bench.tables.sheet import Cell, Column, Row, Sheet

Matches = dict[PublishedNumber, Pair | None]
WITHIN = "within noise: the published value lies in the 95 % interval"


def paper_sheets(runs: Sequence[Run], paper: str, tables: Sequence[str] = ()) -> list[Sheet]:
    """Sheets with a section per dataset and a row per method of the paper; every cell holds the published number, and
    beside it what a Run of ours measured, with marks that say why the two do not compare, if they do not.

    Args:
        runs: any; those count that stand for a row (see ``bench.published.best_match``).
        paper: short name, one of ``bench.published.papers()``.
        tables: short names; none = all of the paper.

    Raises:
        UnknownNameError: there is no such paper or table.
    """
    known = load_paper(paper)
    return [_sheet(runs, known, known.table(name)) for name in tables or known.tables]


def _sheet(runs: Sequence[Run], paper: Paper, table: PaperTable) -> Sheet:
    numbers = paper.numbers_of(table)
    matches = {number: best_match(runs, paper, table, number) for number in numbers}
    metrics = [metric for metric in paper.names if any(number.metric == metric for number in numbers)]
    return Sheet(
        title=table.title,
        section_head="dataset",
        row_head="method",
        columns=[_column(paper, metric, [n for n in numbers if n.metric == metric]) for metric in metrics],
        rows=_rows(paper, table, matches),
        notes=_notes(paper, table, matches),
        measured="reported" if set(numbers) <= dict(paper.reported()).keys() else "measured",
    )


def _column(paper: Paper, metric: str, numbers: Sequence[PublishedNumber]) -> Column:
    """Printed to as many digits as the paper prints."""
    ours = paper.names[metric]
    decimals = max(len(number.written.partition(".")[2]) for number in numbers)
    if ours.name is None:
        return Column(metric, ours.label, ours.better, decimals)
    return replace(MEASURES[ours.name].column, key=metric, decimals=decimals)


def _rows(paper: Paper, table: PaperTable, matches: Matches) -> list[Row]:
    """Methods in the order of the file; numbers that depend on no dataset stand in every section."""
    datasets = [name for name in dict.fromkeys(number.dataset for number in matches) if name != EVERYWHERE]
    methods = dict.fromkeys(number.method for number in matches)
    rows = []
    for dataset in datasets:
        for method in methods:
            own = [n for n in matches if n.method == method and n.dataset in (dataset, EVERYWHERE)]
            if any(number.dataset == dataset for number in own):
                note = table.methods.get(method, OurMethod()).note
                cells = {number.metric: _cell(number, matches[number], paper, table) for number in own}
                rows.append(Row(dataset, method, cells, (note,) if note else ()))
    return rows


def _cell(number: PublishedNumber, pair: Pair | None, paper: Paper, table: PaperTable) -> Cell:
    reports = dict(paper.reported())
    if number in reports:
        aim = reports[number]
        marks = (f"reported in {number.source}",)
        return Cell(number.value, published=aim.value if aim else None, marks=marks, ranked=False)
    if pair is None:
        return Cell(published=number.value, reason=_why_not([number], paper, table))
    if pair.estimate.value is None:
        return Cell(published=number.value, reason=pair.estimate.reason)
    if paper.names[number.metric].name in EFFICIENCY:  # whatever was coloured with it
        return Cell(pair.estimate.value, published=number.value)
    within = (WITHIN,) if pair.within and not pair.caveats else ()
    estimate, marks = pair.estimate, (*pair.caveats, *pair.marks, *within)
    return Cell(estimate.value, estimate.low, estimate.high, number.value, marks=marks, ranked=not pair.caveats)


def _why_not(numbers: Sequence[PublishedNumber], paper: Paper, table: PaperTable) -> str:
    """Why numbers of one method, of one kind, have no Run."""
    if paper.names[numbers[0].metric].name is None:
        return "depends on the device"
    method = table.methods.get(numbers[0].method, OurMethod())
    if method.model is None and not method.originals:
        return "not here; images it coloured can be measured with --predictions"
    datasets = dict.fromkeys(paper.datasets[n.dataset] for n in numbers if n.dataset in paper.datasets)
    where = f" on {', '.join(datasets)}" if datasets else ""
    if method.originals:
        return f"no Run{where} holds the originals' own"
    return f"no Run of {'this variant of ' if table.trained_here else ''}{method.model}{where}"


def _notes(paper: Paper, table: PaperTable, matches: Matches) -> list[str]:
    sources = ", ".join(dict.fromkeys(number.source for number in matches))
    found = [f"published: {paper.title}, {sources}", *([table.note] if table.note else [])]
    found += _absences(paper, table, matches)
    pairs = [pair for pair in matches.values() if pair is not None]
    sure = [pair for pair in pairs if not pair.caveats and pair.within is None and pair.estimate.value is not None]
    if names := ", ".join(
        dict.fromkeys(p.published.metric for p in sure if paper.names[p.published.metric].name not in EFFICIENCY)
    ):
        found.append(f"{names}: no interval, so whether the difference is noise is not known")
    return found


def _absences(paper: Paper, table: PaperTable, matches: Matches) -> list[str]:
    """Why numbers are missing, each reason once: of metrics that a Run lacks, and of methods that no Run stands for."""
    reports = dict(paper.reported())
    found: dict[str, dict[str, None]] = {}
    lacking: dict[str, list[PublishedNumber]] = {}
    for number, pair in matches.items():
        if pair is not None:
            if pair.estimate.value is None and pair.estimate.reason:
                found.setdefault(pair.estimate.reason, {})[number.metric] = None
        elif paper.names[number.metric].name is None:
            found.setdefault(_why_not([number], paper, table), {})[number.metric] = None
        elif number not in reports and number.dataset != EVERYWHERE:  # those of no dataset go with the others
            lacking.setdefault(number.method, []).append(number)
    for method, numbers in lacking.items():
        found.setdefault(_why_not(numbers, paper, table), {})[method] = None
    return [f"not measured: {', '.join(names)} – {reason}" for reason, names in found.items()]
