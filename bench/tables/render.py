"""Tables as Markdown, CSV, LaTeX and HTML. Whatever came from a disk is escaped in each."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import UnknownNameError
from bench.tables import FORMATS
from bench.tables.csv import csv_table
from bench.tables.html import html_page, html_table
from bench.tables.latex import PREAMBLE, latex_table
from bench.tables.layout import lay_out
from bench.tables.markdown import markdown_table
from bench.tables.sheet import Sheet


def render(sheet: Sheet, form: str, intervals: bool = True) -> str:
    """One table in one form.

    Args:
        form: ``md``; ``csv`` (see ``bench.tables.csv``); ``tex``, a ``table`` (see ``bench.tables.latex``); ``html``, a
            ``<table class="sheet">`` to put into a page.
        intervals: whether numbers are followed by half of their interval; CSV always has its ends.

    Raises:
        UnknownNameError: there is no such form.
    """
    if form == "csv":
        return csv_table(sheet)
    forms = {"md": markdown_table, "tex": latex_table, "html": html_table}
    if form not in forms:
        raise UnknownNameError("format", form, FORMATS)
    return forms[form](lay_out(sheet, intervals, marks_below=form == "tex"))


def render_file(sheets: Sequence[Sheet], form: str, intervals: bool = True) -> str:
    """Several tables as the content of one file: as ``render``, but HTML is a whole page, and CSV has one head."""
    if form == "csv":
        return csv_table(*sheets)
    tables = [render(sheet, form, intervals) for sheet in sheets]
    if form == "html":
        return html_page(tables)
    return "\n".join([PREAMBLE, *tables] if form == "tex" else tables)
