"""Tables and plans to read in the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.console import PIPED_WIDTH
from bench.runs import Run
from bench.tables.layout import Field, Layout, Line, lay_out, superscript
from bench.tables.results import results_sheets
from bench.tables.sheet import Sheet

if TYPE_CHECKING:
    from bench.matrix import Plan

_GAP = 2  # characters between two columns
_INDENT = "  "
_RANKS = {0: "", 1: "bold", 2: "underline"}


def print_sheet(sheet: Sheet, console: Console, intervals: bool = True) -> None:
    """Print a table; one that is wider than the console is continued below, under the same rows.

    Args:
        intervals: whether numbers are followed by half of their interval.
    """
    layout = lay_out(sheet, intervals)
    console.print(Text(layout.title, style="bold"))
    for i, table in enumerate(_tables(layout, console.width)):
        console.print(*([""] if i else []), table, sep="\n")
    legend = "; ".join(f"{superscript(letters)} {mark}" for letters, mark in layout.legend)
    for note in (legend, *layout.notes, "best in bold, second underlined" if layout.ranked else ""):
        if note:
            console.print(Text(note, style="dim"))


def print_sheets(sheets: Sequence[Sheet], console: Console, intervals: bool = True) -> None:
    """Several tables, with an empty line between them."""
    for i, sheet in enumerate(sheets):
        if i:
            console.print()
        print_sheet(sheet, console, intervals)


def sheets_as_text(sheets: Sequence[Sheet], intervals: bool = True) -> str:
    """What ``print_sheets`` prints to a file, without colours."""
    file = io.StringIO()
    print_sheets(sheets, Console(file=file, width=PIPED_WIDTH, highlight=False, force_terminal=False), intervals)
    return file.getvalue()


def print_results(runs: Sequence[Run], console: Console) -> None:
    """What ``bench run`` shows: the numbers, why some are missing, and which photographs failed."""
    print_sheets(results_sheets(runs), console)


def print_plan(plan: Plan, console: Console) -> None:
    """What ``bench run --dry-run`` shows."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("model", "weights", "dataset", "photographs", "protocol", "numbers"):
        table.add_column(column)
    for model in [*plan.models, *([plan.predictions.title] if plan.predictions else [])]:
        for dataset in plan.datasets:
            protocol = f"{plan.protocol.name} ({plan.protocol.hash})"
            weights = plan.weights or "default"
            cells = (model, weights, dataset.key, dataset.count, protocol, ", ".join(plan.protocol.metrics))
            table.add_row(*map(escape, cells))
    console.print(table)


def _tables(layout: Layout, width: int) -> Iterator[Table]:
    """One table if it fits; else several with the same rows, whose sections stand above them to save width.

    Columns are never cut, and the parts of one stay together.
    """
    columns = _columns(layout)
    section = _widest([layout.section_head, *(line.section for line in layout.lines)])
    label = _widest([layout.row_head, *(_row_label(line).plain for line in layout.lines)])
    if section + label + sum(column.width + _GAP for group in columns for column in group) + _GAP <= width:
        yield _table(layout, [column for group in columns for column in group])
        return
    label = min(max(section, label + len(_INDENT)), max(2 * width // 5, 16))
    room = width - label
    block: list[_Column] = []
    for group in columns:
        if block and sum(column.width + _GAP for column in (*block, *group)) > room:
            yield _sectioned(layout, block, label)
            block = []
        block += group
    yield _sectioned(layout, block, label)


def _table(layout: Layout, columns: Sequence[_Column]) -> Table:
    """With a column for the sections."""
    table = _empty(layout.section_head, layout.row_head, *columns)
    previous = None
    for i, line in enumerate(layout.lines):
        name = "" if line.section == previous else line.section
        table.add_row(Text(name), _row_label(line), *(column.cells[i] for column in columns))
        previous = line.section
    return table


def _sectioned(layout: Layout, columns: Sequence[_Column], label: int) -> Table:
    """With a line for each section; ``label``: width of the first column."""
    table = _empty(layout.row_head, *columns)
    table.columns[0].max_width = label
    previous = None
    for i, line in enumerate(layout.lines):
        if line.section != previous:
            table.add_row(Text(line.section, style="italic"))
            previous = line.section
        table.add_row(Padding(_row_label(line), (0, 0, 0, len(_INDENT))), *(column.cells[i] for column in columns))
    return table


def _empty(*columns: str | _Column) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        if isinstance(column, str):
            table.add_column(column, overflow="fold", vertical="top")
        else:
            table.add_column(Text(column.head), no_wrap=True)
    return table


@dataclass(frozen=True)
class _Column:
    """One part of a column, aligned: every text of it is as wide as the column."""

    head: str
    cells: tuple[Text, ...]
    width: int


def _columns(layout: Layout) -> list[list[_Column]]:
    """For every head its parts. All stands to the right, but a label above several parts begins where they begin."""
    fields = iter(zip(*(line.fields for line in layout.lines), strict=True))
    two = any(head.parts != ("",) for head in layout.heads)
    groups = []
    for head in layout.heads:
        above = [head.label, *("" for _ in head.parts[1:])]
        group = []
        for label, part in zip(above, head.parts, strict=True):
            texts = _aligned(next(fields, ()))
            lines = [label, part] if part else ["", label] if two else [label]
            width = _widest([*lines, *(text.plain for text in texts)])
            lines = [f"{line:<{width}}" if part and line == label else f"{line:>{width}}" for line in lines]
            for text in texts:
                text.pad_left(width - cell_len(text.plain))
            group.append(_Column("\n".join(lines), texts, width))
        groups.append(group)
    return groups


def _aligned(fields: Sequence[Field]) -> tuple[Text, ...]:
    """Intervals under intervals and letters under letters, so that the decimal points of a column stand in line."""
    interval = _widest([field.interval for field in fields])
    letters = _widest([field.letters for field in fields])
    texts = []
    for field in fields:
        style = "dim" if field.kind == "absent" else _RANKS[field.rank]
        spread = f" {field.interval:>{interval}}" if interval else ""
        texts.append(Text.assemble((field.text, style), (spread, "dim"), f"{superscript(field.letters):<{letters}}"))
    return tuple(texts)


def _row_label(line: Line) -> Text:
    marks = f" ({', '.join(line.marks)})" if line.marks else ""
    return Text.assemble(line.label, (marks, "yellow"))


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)
