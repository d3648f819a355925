"""What stands where in a table, whatever its form: heads, the text of every cell, letters for marks, notes below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Literal

from bench.tables.sheet import EMPTY, Cell, Column, Row, Sheet

ARROWS = {"higher": "↑", "lower": "↓", "target": "", "none": ""}
DASH = "–"
PUBLISHED, DIFFERENCE = "published", "diff."
_LETTERS = "abcdefghijklmnoprstuvwxyz"  # Unicode has no raised q
_SUPERSCRIPTS = str.maketrans(_LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


@dataclass(frozen=True)
class Head:
    """The head of a column: its label, and the heads of its parts (a single empty one where it has no parts)."""

    label: str
    parts: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Field:
    """The text of one cell, or of one part of it.

    Args:
        text: the number as printed; empty where there is nothing to say.
        interval: half of its interval, with the sign ±; empty without one.
        letters: of the legend, for the marks of this cell.
        rank: 1 for the best, 2 for the second, 0 for the rest.
        kind: what it holds; ``absent``: a number was expected and not measured.
        reason: why it is absent.
    """

    text: str
    interval: str = ""
    letters: str = ""
    rank: int = 0
    kind: Literal["number", "published", "difference", "absent"] = "number"
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """One row.

    Args:
        marks: of the row, to be written beside its label.
        letters: of the legend, for marks that are explained there instead.
        fields: as many as the heads have parts.
    """

    section: str
    label: str
    marks: tuple[str, ...]
    letters: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Layout:
    """A table that only lacks its markup.

    Args:
        legend: (letters, mark) in the order in which they occur.
        notes: sentences below the table.
    """

    title: str
    section_head: str
    row_head: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    legend: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether any field has a rank, so that the form must say how it shows one."""
        return any(field.rank for line in self.lines for field in line.fields)

    def sections(self) -> list[tuple[str, list[Line]]]:
        """The lines of each section, in order."""
        names = dict.fromkeys(line.section for line in self.lines)
        return [(name, [line for line in self.lines if line.section == name]) for name in names]


def lay_out(sheet: Sheet, intervals: bool = True, marks_below: bool = False) -> Layout:
    """Everything of a sheet as text; only the markup is left to the forms.

    A column in which a cell has a published number is split into parts: published, measured and, where a cell has both,
    their difference.

    Args:
        intervals: whether numbers are followed by half of their interval.
        marks_below: whether rows, too, have letters of the legend instead of marks beside their labels.
    """
    sheet = _printable(sheet)
    rows = [[row.cells.get(column.key, EMPTY) for column in sheet.columns] for row in sheet.rows]
    of_rows = [tuple(row.marks) if marks_below else () for row in sheet.rows]
    letters = _letters(
        mark
        for marks, cells in zip(of_rows, rows, strict=True)
        for mark in (*marks, *(m for c in cells for m in c.marks))
    )
    best, best_published = sheet.ranks(), sheet.ranks("published")
    parts = [_parts(column, sheet.measured) for column in zip(*rows, strict=True)] or [("",) for _ in sheet.columns]
    lines = []
    for i, (row, cells) in enumerate(zip(sheet.rows, rows, strict=True)):
        fields: list[Field] = []
        for cell, column, split in zip(cells, sheet.columns, parts, strict=True):
            rank = best.get((i, column.key), 0)
            measured = _measured(cell, column, "".join(letters[mark] for mark in cell.marks), rank, intervals)
            if split == ("",):
                fields.append(measured)
            else:
                texts = _published(cell, column, best_published.get((i, column.key), 0)), measured
                fields += [*texts, *([_difference(cell, column)] if DIFFERENCE in split else [])]
        below = "".join(letters[mark] for mark in of_rows[i])
        lines.append(Line(row.section, row.label, () if marks_below else tuple(row.marks), below, tuple(fields)))
    return Layout(
        title=sheet.title,
        section_head=sheet.section_head,
        row_head=sheet.row_head,
        heads=tuple(Head(_label(column), split) for column, split in zip(sheet.columns, parts, strict=True)),
        lines=tuple(lines),
        legend=tuple((letter, mark) for mark, letter in letters.items()),
        notes=(*_signs([field for line in lines for field in line.fields], sheet), *sheet.notes),
    )


def printable(text: str) -> str:
    """Text on one line, with a sign instead of what steers a terminal, reverses the line or is no character at all."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def superscript(letters: str) -> str:
    """Letters of the legend as raised characters of Unicode, for forms without markup of their own."""
    return letters.translate(_SUPERSCRIPTS)


def written(value: float, decimals: int) -> str:
    """A number as it is printed: with a true minus sign, and never a negative zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _printable(sheet: Sheet) -> Sheet:
    """The sheet with every text in it fit to be shown."""

    def of_cell(cell: Cell) -> Cell:
        return replace(
            cell,
            text=None if cell.text is None else printable(cell.text),
            marks=tuple(map(printable, cell.marks)),
            reason=None if cell.reason is None else printable(cell.reason),
        )

    def of_row(row: Row) -> Row:
        cells = {key: of_cell(cell) for key, cell in row.cells.items()}
        return Row(printable(row.section), printable(row.label), cells, tuple(map(printable, row.marks)))

    return replace(
        sheet,
        title=printable(sheet.title),
        section_head=printable(sheet.section_head),
        row_head=printable(sheet.row_head),
        measured=printable(sheet.measured),
        columns=[replace(column, label=printable(column.label)) for column in sheet.columns],
        rows=[of_row(row) for row in sheet.rows],
        notes=[printable(note) for note in sheet.notes],
    )


def _letters(marks: Iterable[str]) -> dict[str, str]:
    """a, b, c, ... for every mark, in the order in which they occur; aa, ab, ... once these are used up."""
    names = chain(_LETTERS, map("".join, product(_LETTERS, repeat=2)))
    return dict(zip(dict.fromkeys(marks), names, strict=False))


def _label(column: Column) -> str:
    return f"{column.label}{ARROWS[column.better]}" + (f" ({column.unit})" if column.unit else "")


def _parts(cells: Sequence[Cell], measured: str) -> tuple[str, ...]:
    if all(cell.published is None for cell in cells):
        return ("",)
    both = any(cell.published is not None and cell.value is not None for cell in cells)
    return (PUBLISHED, measured, DIFFERENCE) if both else (PUBLISHED, measured)


def _measured(cell: Cell, column: Column, letters: str, rank: int, intervals: bool) -> Field:
    if cell.text is not None:
        return Field(cell.text, letters=letters, rank=rank)
    if cell.value is None:
        expected = cell.reason is not None or cell.published is not None
        return Field(DASH, letters=letters, kind="absent", reason=cell.reason or "") if expected else Field("")
    half = None if cell.low is None or cell.high is None else (cell.high - cell.low) / 2
    spread = f"±{written(half, column.decimals)}" if intervals and half is not None else ""
    return Field(written(cell.value, column.decimals), spread, letters, rank)


def _published(cell: Cell, column: Column, rank: int) -> Field:
    text = "" if cell.published is None else written(cell.published, column.decimals)
    return Field(text, rank=rank, kind="published")


def _difference(cell: Cell, column: Column) -> Field:
    if cell.value is None or cell.published is None:
        return Field("", kind="difference")
    text = written(cell.value - cell.published, column.decimals)
    return Field(text if text[0] == "−" or float(text) == 0 else f"+{text}", kind="difference")


def _signs(fields: Sequence[Field], sheet: Sheet) -> list[str]:
    """What the signs in the table mean, if it has any."""
    meanings = (
        (f"± is {sheet.spread}", any(field.interval for field in fields)),
        (
            f"{DIFFERENCE} is {sheet.measured} minus published",
            any(field.kind == "difference" and field.text for field in fields),
        ),
        (f"{DASH} is not measured", any(field.kind == "absent" for field in fields)),
    )
    text = "; ".join(meaning for meaning, occurs in meanings if occurs)
    return [text] if text else []
