"""A paper's tables: its numbers as they are, ours beside them, and why the two do not compare."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from made_runs import made

from bench.errors import UnknownNameError
from bench.tables.layout import lay_out
from bench.tables.paper import WITHIN, paper_sheets
from bench.tables.render import render
from bench.tables.sheet import Cell, Row, Sheet
from bench.tables.terminal import sheets_as_text

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
OTHER_FID = "another FID than that of the papers' scripts"
VAL50K = {"dataset__split": "val50k", "dataset__n": 50_000, "dataset__expected": 50_000, "dataset__digest": "e" * 64}


def table1(*runs: Any) -> Sheet:
    (sheet,) = paper_sheets(runs, "ddcolor", ["1"])
    return sheet


def row(sheet: Sheet, method: str, dataset: str = "ImageNet val5k") -> Row:
    (found,) = (row for row in sheet.rows if (row.section, row.label) == (dataset, method))
    return found


def cell(sheet: Sheet, method: str, metric: str, dataset: str = "ImageNet val5k") -> Cell:
    return row(sheet, method, dataset).cells[metric]


@pytest.mark.parametrize("paper", ["ddcolor", "multicolor"])
def test_every_published_number_stands_in_its_place(paper: str) -> None:
    shown = {
        (row.section, row.label, key): cell.published
        for sheet in paper_sheets([], paper)
        for row in sheet.rows
        for key, cell in row.cells.items()
    }
    with (PUBLISHED / f"{paper}.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["table"] != "Reproduction report"]
    assert len(lines) > 7
    for line in lines:
        places = [value for (section, *rest), value in shown.items()
                  if rest == [line["method"], line["metric"]] and line["dataset"] in (section, "-")]  # fmt: skip
        assert places
        assert set(places) == {float(line["value"].removesuffix("x"))}


def test_table_1_has_the_paper_s_rows_and_columns() -> None:
    sheet = table1()
    assert [column.label for column in sheet.columns] == ["FID", "CF", "ΔCF", "PSNR", "params"]
    assert list(dict.fromkeys(row.section for row in sheet.rows)) == ["ImageNet val5k", "ImageNet val50k", "COCO-Stuff"]
    methods = [row.label for row in sheet.rows if row.section == "ImageNet val5k"]
    assert methods[0] == "CIC"
    assert methods[-2:] == ["DDColor-large", "Ground truth"]
    assert cell(sheet, "Ground truth", "CF").published == 38.21
    assert row(sheet, "Ground truth").marks == ("implied",)
    texts = [field.text for line in lay_out(sheet).lines for field in line.fields]
    assert "227.9" in texts
    assert "227.90" not in texts  # no digit that the paper does not print


def test_without_runs_nothing_is_measured_and_every_cell_says_so() -> None:
    sheet = table1()
    cells = [cell for row in sheet.rows for cell in row.cells.values()]
    assert all(cell.value is None and cell.reason for cell in cells)
    assert cell(sheet, "DDColor-large", "FID").reason == "no Run of ddcolor on imagenet/val5k"
    assert "--predictions" in str(cell(sheet, "ColTran", "FID").reason)
    assert "– is not measured" in lay_out(sheet).notes


def test_every_reason_stands_once_below_the_table_in_every_form() -> None:
    sheet = table1(made(metrics={"fid": 3.95, "cf": 38.0, "dcf": "no originals", "psnr": 23.5}))
    notes = [note for note in sheet.notes if note.startswith("not measured: ")]
    reasons = [note.partition(" – ")[2] for note in notes]
    assert len(reasons) == len(set(reasons))
    assert notes[0] == "not measured: dCF – no originals"
    assert "not measured: DDColor-large – no Run of ddcolor on imagenet/val50k, coco/val2017" in notes
    assert "not measured: CIC – no Run of eccv16 on imagenet/val5k" in notes
    assert "not measured: Ground truth – no Run on imagenet/val5k, imagenet/val50k holds the originals' own" in notes
    cells = {cell.reason for row in sheet.rows for key, cell in row.cells.items() if key != "params_M"}
    for reason in cells - {None}:  # a note may name several datasets
        assert any(str(reason).partition(" on ")[0] in told for told in reasons)
    for form in ("md", "html", "tex"):
        assert "no Run of ddcolor on imagenet/val50k, coco/val2017" in render(sheet, form)
    assert "no Run of ddcolor on imagenet/val50k, coco/val2017" in sheets_as_text([sheet])


def test_the_ground_truth_is_what_the_originals_measured() -> None:
    own = {"originals": {"cf": {"value": 38.3, "low": 37.9, "high": 38.7, "n": 5000}}}
    sheet = table1(made("eccv16", {"cf": 20.0}, **own))
    assert cell(sheet, "Ground truth", "CF") == Cell(38.3, 37.9, 38.7, 38.21, marks=(WITHIN,))
    told = cell(sheet, "Ground truth", "CF", "ImageNet val50k").reason
    assert told == "no Run on imagenet/val50k holds the originals' own"


def test_images_of_the_very_method_are_compared_and_say_that_they_are_images() -> None:
    coloured = {"model__source": "predictions", "model__weights": "predictions", "model__family": "predictions"}
    sheet = table1(made("CT2", {"psnr": (23.5, 23.4, 23.6), "cf": (38.4, 38.3, 38.6)}, **coloured))
    assert cell(sheet, "CT2", "PSNR") == Cell(23.5, 23.4, 23.6, 23.50, marks=("predictions", WITHIN))
    assert cell(sheet, "CT2", "CF").ranked


def test_a_comparable_number_stands_beside_the_published_one() -> None:
    metrics = {"fid": 3.95, "cf": (38.0, 37.6, 38.4), "psnr": (23.5, 23.4, 23.6)}
    sheet = table1(made(metrics=metrics, model__parameters=227_869_328))
    assert cell(sheet, "DDColor-large", "FID") == Cell(3.95, published=3.92, marks=(OTHER_FID,), ranked=False)
    assert cell(sheet, "DDColor-large", "CF") == Cell(38.0, 37.6, 38.4, 38.26, marks=(WITHIN,))
    assert cell(sheet, "DDColor-large", "PSNR") == Cell(23.5, 23.4, 23.6, 23.85)
    for dataset in ("ImageNet val5k", "ImageNet val50k", "COCO-Stuff"):
        assert cell(sheet, "DDColor-large", "params_M", dataset).value == pytest.approx(227.869328)
    assert cell(sheet, "DDColor-large", "FID", "ImageNet val50k").value is None
    theirs = table1(made(metrics={"fid": 3.95, "fid_ct2": 3.78}))
    assert cell(theirs, "DDColor-large", "FID") == Cell(3.78, published=3.92, marks=("FID (CT2)",))
    assert "FID: no interval, so whether the difference is noise is not known" in theirs.notes


def test_what_does_not_compare_is_shown_marked_and_neither_ranked_nor_called_noise() -> None:
    wide = {"fid": 1.0, "cf": (38.0, 20.0, 60.0)}
    part = made("ddcolor-tiny", wide, dataset__n=38, dataset__complete=False)
    sheet = table1(part, made(metrics={"fid": 3.95, "cf": 38.0}))
    shown = cell(sheet, "DDColor-tiny", "CF")
    assert (shown.value, shown.published, shown.marks, shown.ranked) == (38.0, 37.66, ("subset 38/5000",), False)
    layout = lay_out(sheet)
    (line,) = (line for line in layout.lines if (line.section, line.label) == ("ImageNet val5k", "DDColor-tiny"))
    assert [field.rank for field in line.fields[:3]] == [2, 0, 0]  # second in the paper
    assert ("b", "subset 38/5000") in layout.legend


def test_each_dataset_takes_its_own_run() -> None:
    sheet = table1(made(metrics={"fid": 3.95}), made(metrics={"fid": 0.99}, **VAL50K))
    assert cell(sheet, "DDColor-large", "FID").value == 3.95
    assert cell(sheet, "DDColor-large", "FID", "ImageNet val50k").value == 0.99


def test_a_number_that_a_run_could_not_measure_has_its_reason() -> None:
    sheet = table1(made(metrics={"fid": "no Inception", "cf": 38.0}))
    assert cell(sheet, "DDColor-large", "FID") == Cell(published=3.92, reason="no Inception")
    assert "not measured: FID – no Inception" in sheet.notes


def test_ablations_take_the_runs_of_their_variants() -> None:
    weights = "decoder-and-loss.colour-decoder-only.seed0.safetensors"
    runs = [
        made(metrics={"fid": 3.95}),
        made(metrics={"fid": 4.3}, model__options={"queries": "20"}),
        made(metrics={"fid": 4.1}, model__source="file", model__weights=weights),
    ]
    sheets = paper_sheets(runs, "ddcolor", ["queries", "decoder-and-loss"])
    queries, decoder = ({row.label: row.cells["FID"].value for row in sheet.rows} for sheet in sheets)
    assert queries == {
        "20 queries": 4.3,
        "50 queries": None,
        "100 queries": 3.95,
        "200 queries": None,
        "500 queries": None,
    }
    assert decoder == {
        "no color decoder, no colorfulness loss": None, "colorfulness loss only": None,
        "color decoder only": 4.1, "both": 3.95,
    }  # fmt: skip
    assert cell(sheets[1], "color decoder only", "FID").marks == ("trained here", OTHER_FID)
    assert (
        "not measured: 50 queries, 200 queries, 500 queries – no Run of this variant of ddcolor on imagenet/val5k"
        in (sheets[0].notes)
    )


def test_speeds_of_another_device_stay_alone() -> None:
    (sheet,) = paper_sheets([made(metrics={"fid": 3.95})], "ddcolor", ["runtime"])
    speeds = {row.label: row.cells.get("FPS", Cell()) for row in sheet.rows}
    assert speeds["DDColor-large"] == Cell(published=21, reason="depends on the device")
    assert all(cell.value is None for cell in speeds.values())


def test_reports_of_others_stand_beside_the_numbers_they_aimed_at() -> None:
    (sheet,) = paper_sheets([], "ddcolor", ["reports"])
    first, second = sheet.rows
    heads = {part for head in lay_out(sheet).heads for part in head.parts}
    assert heads == {"published", "reported", "diff."}
    assert "diff. is reported minus published" in " ".join(lay_out(sheet).notes)
    assert "measured" in lay_out(table1()).heads[0].parts
    mark = ("reported in GitHub issue piddnad/DDColor#9",)
    assert first.cells["FID"] == Cell(3.78, published=3.92, marks=mark, ranked=False)
    assert first.cells["CF"] == Cell(34.33, published=38.26, marks=mark, ranked=False)
    assert (second.cells["FID"].value, second.cells["FID"].published) == (17.96, None)


def test_all_tables_are_laid_out_and_an_unknown_one_is_refused() -> None:
    assert len(paper_sheets([], "ddcolor")) == 7
    with pytest.raises(UnknownNameError, match="unknown table of ddcolor '2'"):
        paper_sheets([], "ddcolor", ["2"])
