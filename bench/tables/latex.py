r"""Tables as LaTeX: best in bold, second underlined. They need ``\usepackage{booktabs,graphicx}`` and nothing else.

A table that is wider than the text is scaled down to it. Any engine will do, pdfTeX among them, whose fonts know few
characters: what these lack is written as [U+4E2D].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate

from bench.tables.layout import PUBLISHED, Field, Head, Layout, Line

PREAMBLE = r"% needs \usepackage{booktabs,graphicx}"
_WIDE = 6  # columns of numbers that fit into one column of a paper
_SHORT = {PUBLISHED: "publ.", "measured": "meas.", "reported": "rep."}
_RANKS = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\symbol{96}{}",  # these three would join to other quotes, or be a shorthand of babel's
    "'": r"\symbol{39}{}",
    '"': r"\symbol{34}{}",
    "[": "{[}",  # at the start of a row these two would belong to the \\ before them
    "*": "{*}",
    "]": "{]}",
    "–": r"\textendash{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r", "\u0327": "c"}


def latex_table(layout: Layout) -> str:
    """A ``table`` (``table*``, across both columns of a paper, if it is wide) with caption and notes."""
    parts = [part for head in layout.heads for part in head.parts]
    kind = "table*" if len(parts) > _WIDE else "table"
    letters = [max(map(len, column)) for column in zip(*(_letters(line) for line in layout.lines), strict=True)]
    rows = []
    for i, (section, lines) in enumerate(layout.sections()):
        rows += [r"\addlinespace"] if i else []
        rows.append(rf"\multicolumn{{{len(parts) + 1}}}{{@{{}}l}}{{\emph{{{escape(section)}}}}} \\")
        rows += [_row(line, letters) for line in lines]
    return "\n".join(
        (
            rf"\begin{{{kind}}}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape(layout.title)}}}",
            rf"\sbox0{{\begin{{tabular}}{{@{{}}l{'r' * len(parts)}@{{}}}}",
            r"\toprule",
            *_heads(layout.row_head, layout.heads),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            *_notes(layout),
            rf"\end{{{kind}}}",
            "",
        )
    )


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub("-(?=-)", "-{}", "".join(map(_character, text)))  # two hyphens would become a dash


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() and character.isprintable():
        return character
    base, *accents = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        letter = {"i": r"\i{}", "j": r"\j{}"}.get(base, base)
        return rf"\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _heads(row_head: str, heads: tuple[Head, ...]) -> list[str]:
    """One line of heads, or two with a rule under each head that has parts."""
    if all(head.parts == ("",) for head in heads):
        return [" & ".join(escape(text) for text in (row_head, *(head.label for head in heads))) + r" \\"]
    ends = list(accumulate((len(head.parts) for head in heads), initial=1))
    above = [rf"\multicolumn{{{len(head.parts)}}}{{c}}{{{escape(head.label)}}}" for head in heads]
    rules = [
        rf"\cmidrule(lr){{{end + 1}-{end + len(head.parts)}}}"
        for end, head in zip(ends, heads, strict=False)
        if head.parts != ("",)
    ]
    below = [escape(row_head), *(escape(_SHORT.get(part, part)) for head in heads for part in head.parts)]
    return [" & ".join(["", *above]).lstrip() + r" \\", "".join(rules), " & ".join(below) + r" \\"]


def _row(line: Line, letters: Sequence[int]) -> str:
    """``letters``: how many the label and each field have at most, so that numbers stand in line."""
    label = rf"\quad {escape(line.label)}{_raised(line.letters)}"
    fields = (_cell(field) + _raised(field.letters, room) for field, room in zip(line.fields, letters[1:], strict=True))
    return " & ".join((label, *fields)) + r" \\"


def _letters(line: Line) -> list[str]:
    return [line.letters, *(field.letters for field in line.fields)]


def _cell(field: Field) -> str:
    number = _RANKS[field.rank].format(escape(field.text)) if field.text else ""
    return number + (rf" {{\scriptsize {escape(field.interval)}}}" if field.interval else "")


def _raised(letters: str, room: int = 0) -> str:
    """Letters of the legend, and the room of those that other cells have more."""
    missing = "x" * (room - len(letters))
    return (rf"\textsuperscript{{{letters}}}" if letters else "") + (
        rf"\hphantom{{\textsuperscript{{{missing}}}}}" if missing else ""
    )


def _notes(layout: Layout) -> list[str]:
    """The legend in one line, then a line for each note."""
    legend = "; ".join(_raised(letters) + escape(mark) for letters, mark in layout.legend)
    notes = [legend, *map(escape, layout.notes), "best in bold, second underlined" if layout.ranked else ""]
    lines = " \\\\\n".join(filter(None, notes))
    return [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\raggedright\scriptsize {lines}}}"] if lines else []
