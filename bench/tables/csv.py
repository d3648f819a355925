"""Tables as CSV for pandas: tidy, one line per number, at full precision.

Columns: ``table`` (its title), the section (``dataset``), the row (``model`` or ``method``), ``number`` (the key of its
column), ``unit``, ``value``, ``low`` and ``high`` (ends of the 95 % interval), ``published``, ``text`` (where a cell
has words instead), ``marks`` (of row and cell, separated by ``; ``) and ``reason`` (why there is no value). What is not
there is empty, which pandas reads as NaN: ``read_csv(file).pivot(index="model", columns="number", values="value")``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bench.tables.sheet import Cell, Column, Row, Sheet

NOT_MEASURED = "not measured"


def csv_table(*sheets: Sheet) -> str:
    """The lines of all sheets under one head.

    Raises:
        ValueError: the sheets have other heads for their sections and rows.
    """
    heads = {(sheet.section_head, sheet.row_head) for sheet in sheets}
    if len(heads) != 1:
        raise ValueError(f"sheets with different heads do not go into one CSV: {sorted(heads)}")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    section, row = heads.pop()
    ends = ("value", "low", "high", "published")
    writer.writerow(("table", section, row, "number", "unit", *ends, "text", "marks", "reason"))
    for sheet in sheets:
        writer.writerows(_lines(sheet))
    return file.getvalue()


def _lines(sheet: Sheet) -> Iterator[tuple[object, ...]]:
    for row in sheet.rows:
        for column in sheet.columns:
            if column.key in row.cells:
                yield (sheet.title, row.section, row.label, *_line(row, column, row.cells[column.key]))


def _line(row: Row, column: Column, cell: Cell) -> tuple[object, ...]:
    numbers = (cell.value, cell.low, cell.high, cell.published)
    missing = cell.value is None and cell.text is None and NOT_MEASURED not in cell.marks
    marks = "; ".join((*row.marks, *cell.marks, *([NOT_MEASURED] if missing else [])))
    return (column.key, column.unit, *numbers, cell.text, marks, cell.reason)
