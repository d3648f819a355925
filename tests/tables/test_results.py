"""Runs as sheets: every number is the Run's, and nothing is compared that does not compare."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from made_runs import BEGUN, made

from bench.errors import UnknownNameError
from bench.metrics import NUMBERS
from bench.runs import Run
from bench.tables.marks import competes
from bench.tables.render import render
from bench.tables.results import results_sheets
from bench.tables.sheet import Row, Sheet

CPU = {"type": "cpu", "name": "AMD EPYC"}


def row(sheet: Sheet, label: str) -> Row:
    (found,) = (row for row in sheet.rows if row.label == label)
    return found


def labels(sheet: Sheet) -> list[str]:
    return [row.label for row in sheet.rows]


def notes(sheet: Sheet) -> str:
    return "\n".join(sheet.notes)


def test_every_number_is_the_runs_to_the_last_digit() -> None:
    values: dict[str, Any] = {name: (1 / 3 + i, i / 7, i + math.pi) for i, name in enumerate(NUMBERS)}
    runs = [made("a", values), made("b", {name: (v * 1.1, low, high) for name, (v, low, high) in values.items()})]
    (sheet,) = results_sheets(runs, efficiency=True)
    table = pd.read_csv(io.StringIO(render(sheet, "csv")), float_precision="round_trip")
    for run in runs:
        own = table[table["model"] == run.model.name].set_index("number")
        for name in NUMBERS:
            estimate = run.metrics[name]
            cell = row(sheet, run.model.name).cells[name]
            assert (cell.value, cell.low, cell.high) == (estimate.value, estimate.low, estimate.high)
            assert tuple(own.loc[name, ["value", "low", "high"]]) == (estimate.value, estimate.low, estimate.high)
        assert own["value"]["parameters"] == 1.234567  # millions
        assert own["value"]["macs"] == 2.5
        assert own["value"]["latency"] == 80
        assert own["value"]["images_per_second"] == 12.5
        assert own["value"]["memory"] == 512
        assert own["value"]["n"] == 5000


def test_columns_are_the_numbers_that_were_measured_in_the_order_of_the_catalogue() -> None:
    runs = [made("a", {"ssim": 0.9, "psnr": 23, "fid": "no Inception"}), made("b", {"psnr": 22, "cf": 30})]
    (sheet,) = results_sheets(runs)
    assert [column.key for column in sheet.columns] == ["n", "psnr", "ssim", "cf"]
    assert "not measured: fid (of a) – no Inception" in sheet.notes


def test_a_number_that_was_asked_for_and_not_measured_has_its_reason() -> None:
    (sheet,) = results_sheets([made("a", {"fid": "no Inception", "psnr": 23})], metrics=["fid", "auc"])
    assert [column.key for column in sheet.columns] == ["n", "fid", "auc"]
    assert sheet.rows[0].cells["fid"].reason == "no Inception"
    assert sheet.rows[0].cells["fid"].value is None
    assert "not measured: fid – no Inception" in sheet.notes
    assert "not measured: auc – not asked for" in sheet.notes


@pytest.mark.parametrize("wrong", [{"metrics": ["psnrr"]}, {"sort": "psnrr"}])
def test_an_unknown_number_is_refused_with_those_there_are(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean psnr.*parameters"):
        results_sheets([made()], **wrong)


def test_protocols_never_share_a_sheet_even_under_one_name() -> None:
    runs = [made("a", {"psnr": 1}), made("b", {"psnr": 2}, protocol__hash="other"), made("c", {"psnr": 3})]
    sheets = results_sheets(runs)
    assert [labels(sheet) for sheet in sheets] == [["a", "c"], ["b"]]
    assert sheets[0].title == f"Protocol paper ({runs[0].protocol.hash})"
    assert sheets[1].title == "Protocol paper (other)"


def test_sections_are_named_as_datasets_are_asked_for() -> None:
    splits = (("imagenet", "val5k"), ("imagenet", "val50k"), ("coco", "val2017"), ("folder:x", "all"))
    runs = [made("a", dataset__name=n, dataset__split=s, dataset__digest=n + s) for n, s in splits]
    (sheet,) = results_sheets(runs)
    assert [r.section for r in sheet.rows] == ["imagenet", "imagenet/val50k", "coco", "folder:x/all"]


def test_different_photographs_of_one_dataset_are_different_sections() -> None:
    whole = made("a", {"psnr": 20})
    part = made("b", {"psnr": 30}, dataset__n=38, dataset__complete=False, dataset__digest="p")
    (sheet,) = results_sheets([whole, part, made("c", {"psnr": 25})])
    assert [(r.section, r.label) for r in sheet.rows] == [
        ("imagenet", "a"), ("imagenet", "c"), ("imagenet (38/5000)", "b"),
    ]  # fmt: skip
    assert row(sheet, "b").cells["n"].text == "38/5000"
    assert sheet.ranks() == {(1, "psnr"): 1, (0, "psnr"): 2}
    alike = [made("a", dataset__digest="1" * 64), made("b", dataset__digest="2" * 64)]
    assert [r.section for r in results_sheets(alike)[0].rows] == ["imagenet (11111111)", "imagenet (22222222)"]


@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({}, ()),
        ({"complete": False}, ("incomplete",)),
        ({"model__source": "shipped", "model__weights": "mini"}, ("trained here",)),
        ({"model__source": "trained here"}, ("trained here",)),
        ({"model__source": "third party"}, ("third-party weights",)),
        ({"model__source": "random", "model__weights": "random"}, ("random weights",)),
        ({"model__source": "file", "model__weights": "net.pth"}, ("weights net.pth",)),
        ({"model__source": "predictions", "model__weights": "predictions (JPEG)"}, ("predictions (JPEG)",)),
        ({"model__options": {"steps": "20"}}, ("steps=20",)),
        ({"hints": 10}, ("10 hints",)),
        ({"environment__precision": "bf16"}, ("bf16",)),
        ({"complete": False, "hints": 1}, ("incomplete", "1 hint")),
    ],
)
def test_rows_are_marked_with_what_sets_them_apart(changes: dict[str, Any], marks: tuple[str, ...]) -> None:
    (sheet,) = results_sheets([made("a", **changes)])
    assert sheet.rows[0].marks == marks


def test_runs_of_one_model_are_told_apart_by_their_weights() -> None:
    runs = [made("a"), made("a", model__weights="artistic", model__sha256="9" * 64), made("b")]
    (sheet,) = results_sheets(runs)
    assert [r.marks for r in sheet.rows] == [("weights paper",), ("weights artistic",), ()]
    runs = [made("a", model__sha256="1" * 64), made("a", model__sha256="2" * 64)]
    assert [r.marks for r in results_sheets(runs)[0].rows] == [("sha256 11111111",), ("sha256 22222222",)]


def test_speeds_of_different_devices_are_marked_and_none_is_the_best() -> None:
    fast = made("a", {"psnr": 20}, speed__images_per_second=100)
    slow = made("b", {"psnr": 21}, environment__device=CPU)
    (same,) = results_sheets([fast, made("b")], efficiency=True)
    assert same.ranks()[0, "latency"] == 1
    assert not {key for _, key in same.ranks()} & {"images_per_second", "memory"}  # these measure the harness
    assert "whole pass: with decoding, all metrics and their networks, so not ranked" in same.notes
    assert "speed and memory: NVIDIA H200, fp32, batches of 16" in same.notes
    (mixed,) = results_sheets([fast, slow], efficiency=True)
    assert [r.marks for r in mixed.rows] == [("NVIDIA H200",), ("CPU: AMD EPYC",)]
    assert {key for _, key in mixed.ranks()} == {"psnr"}
    (batches,) = results_sheets([made("a", speed__latency_ms=9), made("b", speed__batch_size=1)], efficiency=True)
    assert batches.ranks() == {(0, "latency"): 1, (1, "latency"): 2}  # one photograph at a time, whatever the batches
    assert "differ and are not ranked" in notes(mixed)


def test_what_does_not_compete_is_not_ranked() -> None:
    runs = [
        made("good", {"psnr": 24, "fid": 4}),
        made("better", {"psnr": 25, "fid": 5}),
        made("oracle", {"psnr": 40, "fid": 1}, model__family="reference"),
        made("hinted", {"psnr": 30, "fid": 2}, hints=50),
        made("partly", {"psnr": 31, "fid": 3}, complete=False),
        made("lucky", {"psnr": 32, "fid": 2}, model__source="random", model__weights="random"),
    ]
    assert [competes(run) for run in runs] == [True, True, False, False, False, False]
    (sheet,) = results_sheets(runs)
    assert sheet.ranks() == {(0, "psnr"): 2, (1, "psnr"): 1, (0, "fid"): 1, (1, "fid"): 2}
    assert "oracle: for reference, not ranked" in sheet.notes


def test_rows_are_sorted_within_their_section_the_best_first() -> None:
    values = {"a": 22.0, "b": "no reason", "c": 24.0}
    runs = [made(name, {"psnr": v, "fid": v}) for name, v in values.items()]
    runs += [made(f"{run.model.name}2", dict.fromkeys(["psnr", "fid"], values[run.model.name]), dataset__digest="x",
                  dataset__name="coco", dataset__split="val2017") for run in runs]  # fmt: skip
    assert labels(results_sheets(runs)[0]) == ["a", "b", "c", "a2", "b2", "c2"]
    assert labels(results_sheets(runs, sort="psnr")[0]) == ["c", "a", "b", "c2", "a2", "b2"]
    assert labels(results_sheets(runs, sort="fid")[0]) == ["a", "c", "b", "a2", "c2", "b2"]


def test_notes_name_failures_and_what_compares_only_with_itself() -> None:
    failures = [{"name": f"{i}.png", "reason": "broken"} for i in range(7)]
    (sheet,) = results_sheets([made("a", {"fcd": 3}, failures=failures, dataset__strays=2)])
    for expected in (
        "FCD depends on n: compare it with itself, on the same photographs",
        "up to 2 of the photographs are from outside the split",
        "imagenet: 4.png was not measured: broken",
        "imagenet: and 2 more, see result.json",
    ):
        assert expected in sheet.notes
    assert "5.png" not in notes(sheet)


def test_what_a_system_that_ran_elsewhere_costs_is_not_known() -> None:
    changes: dict[str, Any] = {"model__parameters": None, "model__macs": None, "speed__latency_ms": None,
                               "speed__images_per_second": None}  # fmt: skip
    (sheet,) = results_sheets([made("CT2", model__source="predictions", **changes), made("b")], efficiency=True)
    assert row(sheet, "CT2").cells["parameters"].value is None
    assert (
        "not measured: parameters, macs, latency, images_per_second (of CT2) – not known of this system" in sheet.notes
    )


def test_no_run_makes_no_sheet_and_nothing_imports_torch() -> None:
    assert results_sheets([]) == []
    code = (
        "import sys; import bench.tables.results, bench.tables.render, bench.tables.terminal, bench.tables.paper;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_repetitions_that_are_given_are_all_shown() -> None:
    later: list[Run] = [made("a", {"psnr": 20 + i}, environment__end=BEGUN + timedelta(days=i)) for i in range(2)]
    assert labels(results_sheets(later)[0]) == ["a", "a"]
