"""Tables as HTML: a fragment for any page, and a whole page of them. No scripts, nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from bench.tables.layout import PUBLISHED, Field, Layout, Line

_RANKS = {0: "", 1: "best", 2: "second"}
_PUBLISHED = ' class="published"'


def html_table(layout: Layout) -> str:
    """``<table class="sheet">`` with a caption, a ``<tbody>`` per section and the notes in its ``<tfoot>``.

    Classes: ``section`` (a section's row), ``published``, ``difference``, ``absent``,
    ``best``, ``second``, ``interval``, ``marks``.
    """
    width = 1 + sum(len(head.parts) for head in layout.heads)
    bodies = [
        f'<tbody>\n<tr class="section"><th scope="rowgroup" colspan="{width}">{escape(section)}</th></tr>\n'
        + "".join(_row(line) for line in lines)
        + "</tbody>\n"
        for section, lines in layout.sections()
    ]
    legend = "; ".join(f"<sup>{letters}</sup> {escape(mark)}" for letters, mark in layout.legend)
    notes = [legend, *map(escape, layout.notes), "best in bold, second underlined" if layout.ranked else ""]
    items = "".join(f"<li>{note}</li>" for note in notes if note)
    foot = f'<tfoot>\n<tr><td colspan="{width}"><ul>{items}</ul></td></tr>\n</tfoot>\n' if items else ""
    return (
        f'<table class="sheet">\n<caption>{escape(layout.title)}</caption>\n<thead>\n{_heads(layout)}</thead>\n'
        f"{''.join(bodies)}{foot}</table>\n"
    )


def html_page(tables: Sequence[str]) -> str:
    """A page that shows tables in light and dark, on a screen of any width."""
    style = Path(__file__).with_name("sheet.css").read_text(encoding="utf-8")
    body = "".join(f'<div class="scroll">\n{table}</div>\n' for table in tables)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Results</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _heads(layout: Layout) -> str:
    two = any(head.parts != ("",) for head in layout.heads)
    rows = ' rowspan="2"' if two else ""
    above = f'<th scope="col"{rows}>{escape(layout.row_head)}</th>'
    below = ""
    for head in layout.heads:
        if head.parts == ("",):
            above += f'<th scope="col"{rows}>{escape(head.label)}</th>'
        else:
            above += f'<th scope="colgroup" colspan="{len(head.parts)}">{escape(head.label)}</th>'
            below += "".join(
                f'<th scope="col"{_PUBLISHED if part == PUBLISHED else ""}>{escape(part)}</th>' for part in head.parts
            )
    return f"<tr>{above}</tr>\n" + (f"<tr>{below}</tr>\n" if two else "")


def _row(line: Line) -> str:
    marks = f' <span class="marks">({escape(", ".join(line.marks))})</span>' if line.marks else ""
    cells = "".join(_cell(field) for field in line.fields)
    return f'<tr><th scope="row">{escape(line.label)}{marks}</th>{cells}</tr>\n'


def _cell(field: Field) -> str:
    names = " ".join(filter(None, (_RANKS[field.rank], "" if field.kind == "number" else field.kind)))
    attributes = (f' class="{names}"' if names else "") + (f' title="{escape(field.reason)}"' if field.reason else "")
    text = f"<span>{escape(field.text)}</span>" if field.rank else escape(field.text)
    interval = f' <span class="interval">{escape(field.interval)}</span>' if field.interval else ""
    return f"<td{attributes}>{text}{interval}{f'<sup>{field.letters}</sup>' if field.letters else ''}</td>"
