"""Tables as Markdown (GitHub's)."""

from __future__ import annotations

import re

from bench.tables.layout import Field, Layout, superscript

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_RANKS = {0: "{}", 1: "**{}**", 2: "*{}*"}


def markdown_table(layout: Layout) -> str:
    """A title, the table, notes. Ends with a line break."""
    heads = [" ".join(filter(None, (head.label, part))) for head in layout.heads for part in head.parts]
    rows = []
    for section, lines in layout.sections():
        for i, line in enumerate(lines):
            marks = f" ({', '.join(line.marks)})" if line.marks else ""
            names = (escape(section) if i == 0 else "", escape(line.label + marks))
            rows.append([*names, *(_cell(field) for field in line.fields)])
    legend = "; ".join(f"{superscript(letters)} {mark}" for letters, mark in layout.legend)
    notes = [legend, *layout.notes, "best in bold, second in italics" if layout.ranked else ""]
    table = [
        [escape(head) for head in (layout.section_head, layout.row_head, *heads)],
        ["---", "---", *("---:" for _ in heads)],
        *rows,
    ]
    text = "\n".join("| " + " | ".join(row) + " |" for row in table)
    below = "\n".join(f"- {escape(note)}" for note in notes if note)
    return f"**{escape(layout.title)}**\n\n{text}\n" + (f"\n{below}\n" if below else "")


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cell(field: Field) -> str:
    text = escape(field.text)
    number = _RANKS[field.rank].format(text) if text else ""
    return " ".join(filter(None, (number, field.interval))) + superscript(field.letters)
