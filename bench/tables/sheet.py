"""A table before it has a form: columns, rows, cells with what must be said beside them. Renderers give it one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "target", "none"]


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Args:
        key: unique within the sheet.
        label: its head.
        better: which way is better; ``target`` = the closer to the original's value, which no cell tells, so it is not
            ranked.
        decimals: digits worth printing.
        unit: e.g. ``"dB"``, ``"%"``; may be empty.
    """

    key: str
    label: str
    better: Better = "none"
    decimals: int = 2
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """One number, or why there is none.

    Args:
        value: as measured; None where it was not.
        low, high: ends of its 95 % interval.
        published: what a paper says for the same place; None in tables of measurements alone.
        text: instead of a number.
        marks: what a reader must know.
        reason: why there is no value.
        ranked: whether it competes for the best of its column; a reference, or what others do not compare with, does
            not.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None
    text: str | None = None
    marks: tuple[str, ...] = ()
    reason: str | None = None
    ranked: bool = True


EMPTY = Cell()


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        section: rows of one section stand together under its name and are ranked among themselves (a dataset, say).
        label: head of the row (a model, say).
        cells: key of a column -> cell; a key that is absent is an empty cell.
        marks: what a reader must know of the whole row.
    """

    section: str
    label: str
    cells: Mapping[str, Cell]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A whole table.

    Args:
        title: of the table; one sentence without a full stop.
        section_head, row_head: heads of the first two columns, e.g. ``"dataset"``, ``"model"``.
        columns: in order.
        rows: in order, those of a section together.
        notes: sentences that stand under the table.
        spread: what the ± of a cell is: half of the distance between its ``low`` and ``high``.
        measured: heads the values that stand beside published ones.
    """

    title: str
    section_head: str
    row_head: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    spread: str = "half of the 95 % interval"
    measured: str = "measured"

    def ranks(self, of: Literal["value", "published"] = "value") -> dict[tuple[int, str], int]:
        """(row, column key) -> 1 for the best of its section and column, 2 for the second; ties share a rank.

        Values that print alike are equal. Sections with a single value are not ranked, nor are columns where nothing
        is better or worse.

        Args:
            of: the numbers that are compared: the measured ones (of cells that compete), or the published ones.
        """
        found: dict[tuple[int, str], int] = {}
        for column in self.columns:
            if column.better not in ("higher", "lower"):
                continue
            for section in dict.fromkeys(row.section for row in self.rows):
                values = {
                    i: round(number, column.decimals)
                    for i, row in enumerate(self.rows)
                    if row.section == section
                    and (number := _competing(row.cells.get(column.key, EMPTY), of)) is not None
                }
                best = sorted(set(values.values()), reverse=column.better == "higher")[:2]
                if len(values) > 1:
                    found |= {(i, column.key): best.index(v) + 1 for i, v in values.items() if v in best}
        return found


def _competing(cell: Cell, of: Literal["value", "published"]) -> float | None:
    if of == "published":
        return cell.published
    return cell.value if cell.ranked else None
