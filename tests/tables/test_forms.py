"""The forms of a table: what stands in them, and that names from a disk stay names."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from bench.errors import UnknownNameError
from bench.tables import FORMATS
from bench.tables.layout import lay_out, written
from bench.tables.render import render, render_file
from bench.tables.sheet import Cell, Column, Row, Sheet
from bench.tables.terminal import print_sheet

COLUMNS = [Column("fid", "FID", "lower"), Column("psnr", "PSNR", "higher", unit="dB")]
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" 'single' `tick`",
    r"\input{/etc/passwd} $x^2$ 50% #1 {a} ~b & c_d",
    "| pipe | **bold** [link](javascript:alert(1)) ![x](y)",
    "[bold red]markup[/bold red] [/]",
    "[2em] * --- ?`!` \\\\ <<x>>",
    "=HYPERLINK(1), +1; -1",
    "Zoë Ångström Łódź 中文 🎨",
)
STEERING = "line\nbreak \x1b[31mred\x07 \u202eesrever"  # moves cursors, rings, reverses: shown as harmless signs
SHOWN = "line break \ufffd[31mred\ufffd \ufffdesrever"


def sheet(*rows: Row, title: str = "Title", notes: tuple[str, ...] = ()) -> Sheet:
    return Sheet(title, "dataset", "model", COLUMNS, rows, notes)


def measured(section: str, label: str, psnr: float, *marks: str, fid: float | None = None) -> Row:
    return Row(section, label, {"psnr": Cell(psnr, psnr - 1, psnr + 0.5), "fid": Cell(fid, reason="none")}, marks)


class _Grid(HTMLParser):
    """Texts of the cells of a page, row by row, and the tags it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th", "caption", "li"):
            self.rows = self.rows or [[]]
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "caption", "li"):
            self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def cells_of_markdown(text: str) -> _Grid:
    return _Grid(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def lines_of_latex(text: str) -> Iterator[list[str]]:
    """Cells of every row of the tabulars."""
    for body in re.findall(r"\\begin\{tabular\}\{.*?\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        for line in body.splitlines():
            if line.endswith(r"\\"):
                yield re.split(r"(?<!\\) ?& ?", line.removesuffix(r"\\").strip())


def test_numbers_are_printed_to_their_digits_and_the_best_stand_out() -> None:
    layout = lay_out(sheet(measured("s", "a", 22.222, fid=4.005), measured("s", "b", 21.0), measured("s", "c", 20.0)))
    texts = [[(field.text, field.interval, field.rank) for field in line.fields] for line in layout.lines]
    assert texts == [
        [("4.00", "", 0), ("22.22", "±0.75", 1)],  # a single value of FID is not the best of anything
        [("–", "", 0), ("21.00", "±0.75", 2)],
        [("–", "", 0), ("20.00", "±0.75", 0)],
    ]
    assert [head.label for head in layout.heads] == ["FID↓", "PSNR↑ (dB)"]
    assert layout.notes == ("± is half of the 95 % interval; – is not measured",)
    bare = lay_out(sheet(measured("s", "a", 22.222)), intervals=False)
    assert bare.lines[0].fields[1].interval == ""
    assert "±" not in " ".join(bare.notes)


def test_a_minus_is_a_minus_and_zero_has_no_sign() -> None:
    assert [written(v, 2) for v in (-1.234, -0.001, 0.0, 1e6)] == ["−1.23", "0.00", "0.00", "1000000.00"]


def test_published_and_measured_stand_side_by_side_with_their_difference() -> None:
    cells = [
        Cell(3.95, 3.9, 4.0, 3.92, marks=("y", "x")),
        Cell(published=8.72),
        Cell(8.719, published=8.72, marks=("x",)),
    ]
    layout = lay_out(sheet(*(Row("s", str(i), {"fid": cell}) for i, cell in enumerate(cells))))
    assert layout.heads[0].parts == ("published", "measured", "diff.")
    assert layout.heads[1].parts == ("",)
    assert [[field.text for field in line.fields] for line in layout.lines] == [
        ["3.92", "3.95", "+0.03", ""], ["8.72", "–", "", ""], ["8.72", "8.72", "0.00", ""],
    ]  # fmt: skip
    assert [line.fields[1].letters for line in layout.lines] == ["ab", "", "b"]
    assert layout.legend == (("a", "y"), ("b", "x"))
    assert [line.fields[0].rank for line in layout.lines] == [1, 2, 2]


def test_without_anything_measured_there_is_no_difference() -> None:
    layout = lay_out(sheet(Row("s", "a", {"fid": Cell(published=8.72, reason="no Run")})))
    assert layout.heads[0].parts == ("published", "measured")
    assert (layout.lines[0].fields[1].kind, layout.lines[0].fields[1].reason) == ("absent", "no Run")


def test_more_marks_than_letters_are_told_apart() -> None:
    marks = [f"mark {i}" for i in range(40)]
    legend = lay_out(sheet(Row("s", "a", {"fid": Cell(1, marks=tuple(marks))}))).legend
    assert [mark for _, mark in legend] == marks
    assert len({letters for letters, _ in legend}) == 40


def hostile_sheet() -> Sheet:
    rows = [measured(name, f"{name} model", 20.0 + i, f"{name} mark") for i, name in enumerate((*HOSTILE, STEERING))]
    cell = Cell(text=HOSTILE[0], marks=(HOSTILE[2],))
    return sheet(*rows, Row("last", HOSTILE[5], {"fid": cell}), title=HOSTILE[0], notes=HOSTILE)


def test_hostile_names_are_text_in_html() -> None:
    page = render_file([hostile_sheet()], "html")
    grid = _Grid(page)
    allowed = "html head meta title style body div table caption thead tbody tfoot tr th td span sup ul li"
    assert grid.tags <= set(allowed.split())
    texts = [text for row in grid.rows for text in row]
    for name in (*HOSTILE, SHOWN):
        assert name in texts
        assert f"{name} model ({name} mark)" in texts
    assert not set(re.findall(r"\s(\w+)=", page)) - {
        "lang", "charset", "name", "content", "class", "scope", "colspan", "rowspan", "title",
    }  # fmt: skip


def test_hostile_names_are_text_in_markdown() -> None:
    grid = cells_of_markdown(render(hostile_sheet(), "md"))
    assert grid.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "em", "ul", "li"}
    texts = [text for row in grid.rows for text in row]
    for name in (*HOSTILE, SHOWN):
        assert name in texts
        assert f"{name} model ({name} mark)" in texts
    assert {len(row) for row in grid.rows[:-1]} == {4}  # the last holds the notes, too


def test_hostile_names_are_text_in_csv() -> None:
    table = pd.read_csv(io.StringIO(render(hostile_sheet(), "csv")))
    assert set(HOSTILE) < set(table["dataset"])
    assert f"{HOSTILE[3]} model" in set(table["model"])
    assert STEERING in set(table["dataset"])


def test_hostile_names_are_text_in_the_terminal() -> None:
    screen = Console(file=io.StringIO(), width=300, highlight=False)
    print_sheet(hostile_sheet(), screen)
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    for name in (*HOSTILE, SHOWN):
        assert f"{name} model ({name} mark)" in text
    assert "\x1b" not in text


def test_latex_is_well_formed_whatever_the_names() -> None:
    text = render(hostile_sheet(), "tex")
    bare = re.sub(r"\\[\\{}]", "", text.replace("\\\\", ""))
    assert bare.count("{") == bare.count("}")
    begun, ended = re.findall(r"\\begin\{(\w+\*?)\}", text), re.findall(r"\\end\{(\w+\*?)\}", text)
    assert sorted(begun) == sorted(ended) == ["table", "tabular"]
    assert "\\input{" not in text
    assert text.isascii()
    for cells in lines_of_latex(text):
        assert len(cells) == (1 if cells[0].startswith(r"\multicolumn{3}") else 3)
        assert not re.search(r"(?<!\\)[#%~^_]", " ".join(cells))
        assert not cells[0].startswith(("[", "*"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_with_pdftex(tmp_path: Path) -> None:
    tables = render_file([hostile_sheet(), published_sheet()], "tex")
    document = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert not [line for line in done.stdout.splitlines() if line.startswith(("!", "Overfull", "Missing character"))]
    if shutil.which("pdftotext"):
        shown = subprocess.run(
            ["pdftotext", "table.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        text = " ".join(shown.stdout.split())
        for expected in ("<script>alert(1)</script> model", "50% #1 {a}", "**bold**", "[U+4E2D]", "--- ?", "3.92"):
            assert expected in text, text


def published_sheet() -> Sheet:
    cell = Cell(3.95, 3.9, 4.0, 3.92, marks=("subset 38/5000",))
    return sheet(Row("s", "a", {"fid": cell}), Row("s", "b", {"fid": Cell(published=8.72)}))


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_shows_published_measured_difference_and_marks(form: str) -> None:
    text = render(published_sheet(), form)
    for expected in ("3.92", "3.95", "8.72", "subset 38/5000"):
        assert expected in text
    assert "not measured" in text
    if form != "csv":
        assert "0.03" in text
        assert "±" in text or r"$\pm$" in text
        assert "0.05" not in render(published_sheet(), form, intervals=False)  # half of the interval


def test_best_and_second_are_styled_in_each_form() -> None:
    made = sheet(measured("s", "a", 24.0), measured("s", "b", 23.0), measured("s", "c", 22.0))
    assert re.findall(r"\\(textbf|underline)\{(.*?)\}", render(made, "tex")) == [
        ("textbf", "24.00"),
        ("underline", "23.00"),
    ]
    assert re.findall(r'class="(best|second)"><span>(.*?)<', render(made, "html")) == [
        ("best", "24.00"),
        ("second", "23.00"),
    ]
    text = render(made, "md")
    assert "| **24.00** ±0.75 |" in text
    assert "| *23.00* ±0.75 |" in text
    assert "| 22.00 ±0.75 |" in text
    screen = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    print_sheet(made, screen)
    assert isinstance(screen.file, io.StringIO)
    assert "\x1b[1m24.00\x1b[0m" in screen.file.getvalue()
    assert "\x1b[4m23.00\x1b[0m" in screen.file.getvalue()


def test_an_unknown_form_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="csv, html, md, tex"):
        render(published_sheet(), "pdf")


def test_several_tables_in_one_csv_have_one_head() -> None:
    table = pd.read_csv(io.StringIO(render_file([published_sheet(), published_sheet()], "csv")))
    assert table["published"].tolist() == [3.92, 8.72] * 2
    assert table["marks"].tolist() == ["subset 38/5000", "not measured"] * 2


@pytest.mark.parametrize("width", [40, 80, 120, 180])
def test_no_number_is_cut_however_narrow_the_terminal(width: int) -> None:
    columns = [Column(f"c{i}", f"number {i}", "higher") for i in range(12)]
    cells = {column.key: Cell(100 + i, 90.0 + i, 110.0 + i, marks=("m",)) for i, column in enumerate(columns)}
    made = Sheet("Title", "dataset", "model", columns, [Row("a dataset", "a model of some length", cells)])
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    print_sheet(made, screen)
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for i in range(12):
        assert f"{100 + i}.00 ±10.00ᵃ" in text
        assert f"number {i}↑" in text
