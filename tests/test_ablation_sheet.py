"""The table of an ablation: means, spreads and verdicts against hand and scipy, and the reasons of its gaps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import scipy.stats

from bench.ablations.config import Ablation
from bench.ablations.seeds import spread
from bench.ablations.sheet import DIVERGED, UNMEASURED, UNTRAINED, WITHIN, ablation_sheet
from bench.runs import Estimate, Run
from bench.tables.render import render
from bench.tables.sheet import Cell, Sheet


def measured(
    ablation: Ablation, variant: str, seed: int, values: Mapping[str, float | None], day: int = 1, **dataset: Any
) -> Run:
    """A Run as if measured."""
    weights = ablation.weights_name(variant, seed)
    environment = {
        "code_version": "0", "commit": None, "dirty": None, "code_digest": "", "libraries": {}, "device": {},
        "precision": "fp32", "command": "", "start": datetime(2026, 1, day), "end": datetime(2026, 1, day),
    }  # fmt: skip
    return Run.model_validate(
        {
            "key": "k",
            "complete": True,
            "model": {"name": "ddcolor-mini", "family": "f", "parameters": 1, "weights": weights, "source": "file"},
            "dataset": {"name": "coco", "split": "val2017", "n": 9, "complete": True, "digest": "d"} | dataset,
            "protocol": {"name": "paper", "hash": "h", "definition": {}},
            "metrics": {n: {"value": v, "reason": None if v is not None else "no weights"} for n, v in values.items()},
            "speed": {
                "images_per_second": 1, "latency_ms": 1, "peak_memory_mb": 1, "batch_size": 1, "processes": 1,
            },
            "seed": 0,
            "environment": environment,
        }
    )  # fmt: skip


def ablation_of(seeds: int = 2, metrics: tuple[str, ...] = ("psnr", "cf")) -> Ablation:
    variants: dict[str, dict[str, Any]] = {"both": {}, "loss only": {"a": 1}, "neither": {"a": 2}}
    return Ablation(
        name="x", title="X", base="b", variants=variants, seeds=tuple(range(seeds)), metrics=metrics, datasets=("coco",)
    )


def runs_of(ablation: Ablation, psnr: Mapping[str, tuple[float, ...]]) -> list[Run]:
    return [
        measured(ablation, variant, seed, {"psnr": value, "cf": 2 * value})
        for variant, values in psnr.items()
        for seed, value in enumerate(values)
    ]


def cells(sheet: Sheet, column: str) -> dict[str, Cell]:
    return {row.label: row.cells[column] for row in sheet.rows if column in row.cells}


def test_two_seeds_give_the_mean_and_half_the_range() -> None:
    ablation = ablation_of()
    runs = runs_of(ablation, {"both": (20, 21), "loss only": (22, 22.5), "neither": (20.25, 20.5)})
    sheet = ablation_sheet(ablation, runs)
    assert [row.label for row in sheet.rows] == ["both", "loss only", "neither"]
    means = cells(sheet, "psnr")
    assert (means["both"].value, means["both"].low, means["both"].high) == (20.5, 20, 21)
    assert (means["loss only"].value, means["loss only"].low, means["loss only"].high) == (22.25, 22, 22.5)
    differences = cells(sheet, "psnr_difference")
    assert {k: (c.value, c.text, c.marks) for k, c in differences.items()} == {
        "loss only": (1.75, "+1.75", ()),
        "neither": (-0.125, "−0.12", (WITHIN,)),
    }
    assert cells(sheet, "cf_difference")["loss only"].value == 3.5


def test_three_seeds_give_the_standard_deviation() -> None:
    ablation = ablation_of(3)
    psnr = {"both": (20.0, 21.0, 25.0), "loss only": (24.0, 24.5, 26.0), "neither": (27.0, 27.5, 28.0)}
    sheet = ablation_sheet(ablation, runs_of(ablation, psnr))
    for variant, values in psnr.items():
        cell = cells(sheet, "psnr")[variant]
        assert cell.value == pytest.approx(sum(values) / 3)
        assert cell.high is not None
        assert cell.low is not None
        assert (cell.high - cell.low) / 2 == pytest.approx(statistics.stdev(values))


def test_a_difference_is_within_the_seed_spread_if_its_pooled_t_interval_holds_zero() -> None:
    # The variances 2, 0 and 0 with one degree of freedom each: pooled 2/3, and t(3) = 3.1824 (any table of t), so half
    # of the interval is 3.1824 sqrt(2/3 (1/2 + 1/2)) = 2.5984.
    ablation = ablation_of()
    for value, marks in ((23.59, (WITHIN,)), (23.6, ())):
        runs = runs_of(ablation, {"both": (20.0, 22.0), "loss only": (value, value), "neither": (1.0, 1.0)})
        cell = cells(ablation_sheet(ablation, runs), "psnr_difference")["loss only"]
        assert cell.marks == marks
        assert cell.value is not None
        assert cell.low == pytest.approx(cell.value - 2.5984, abs=1e-4)
        assert cell.high == pytest.approx(cell.value + 2.5984, abs=1e-4)


def test_of_two_variants_the_mark_is_students_t_test_with_any_number_of_seeds() -> None:
    rng = np.random.default_rng(0)
    ablation = ablation_of(4).model_copy(update={"variants": {"both": {}, "b": {"a": 1}}})
    verdicts = []
    for n, m in ((4, 4), (4, 2), (4, 1), (1, 3)) * 15:
        one, other = rng.normal(20, 1, n), rng.normal(21.5, 1, m)
        runs = runs_of(ablation, {"both": tuple(one), "b": tuple(other)})
        cell = cells(ablation_sheet(ablation, runs), "psnr_difference")["b"]
        expected = scipy.stats.ttest_ind(other, one)
        low, high = expected.confidence_interval(0.95)
        assert (cell.low, cell.high) == pytest.approx((low, high))
        assert cell.marks == ((WITHIN,) if expected.pvalue > 0.05 else ())
        verdicts.append(bool(cell.marks))
    assert 10 < sum(verdicts) < 50


@pytest.mark.parametrize("seeds", [2, 3])
def test_where_nothing_has_an_effect_one_difference_in_twenty_lacks_the_mark(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    metrics = ("psnr", "cf", "dcf", "fcd", "fid", "ssim")
    ablation = ablation_of(seeds, metrics)
    template = measured(ablation, "both", 0, dict.fromkeys(metrics, 0.0))
    runs = []
    for dataset in range(250):  # each number on each of them is an experiment of its own
        record = template.dataset.model_copy(update={"name": f"d{dataset}"})
        for variant in ablation.variants:
            for seed in range(seeds):
                weights = ablation.weights_name(variant, seed)
                model = template.model.model_copy(update={"weights": weights})
                values = {n: Estimate(value=20 + v) for n, v in zip(metrics, rng.normal(size=6), strict=True)}
                runs.append(template.model_copy(update={"dataset": record, "model": model, "metrics": values}))
    sheet = ablation_sheet(ablation, runs)
    differences = [cell for row in sheet.rows for key, cell in row.cells.items() if key.endswith("_difference")]
    assert len(differences) == 250 * 6 * 2
    assert 0.04 < sum(not cell.marks for cell in differences) / len(differences) < 0.06


def test_the_notes_say_how_the_mark_is_decided_and_what_its_absence_means() -> None:
    ablation = ablation_of()
    runs = runs_of(ablation, {"both": (20, 21), "loss only": (22, 22.5), "neither": (20.25, 20.5)})
    notes = " ".join(ablation_sheet(ablation, runs).notes)
    assert "zero lies in its 95 % interval" in notes
    assert "all variants on the dataset together" in notes
    assert "without this mark proves nothing" in notes
    first = ablation_sheet(ablation, [run for run in runs if "seed0" in run.model.weights])
    assert "No variant has two of them yet" in first.notes[0]
    assert not any(WITHIN in note for note in first.notes)


def test_only_variants_with_all_their_seeds_on_every_photograph_are_ranked() -> None:
    ablation = ablation_of()
    values = {"both": (20.0, 20.0), "loss only": (21.0, 21.0), "neither": (22.0, 22.0)}
    runs = runs_of(ablation, values)
    assert ablation_sheet(ablation, runs).ranks() == {(1, "psnr"): 2, (2, "psnr"): 1}  # of cf no value is the best
    short = runs[:-1]
    incomplete = [*short, runs[-1].model_copy(update={"complete": False})]
    for these, failures, mark in (
        (short, {}, "1 of 2 seeds"),
        (incomplete, {}, "incomplete"),
        (runs, {ablation.weights_name("neither", 1): "the loss is nan"}, DIVERGED),
    ):
        sheet = ablation_sheet(ablation, these, failures)
        assert sheet.rows[2].marks == (mark,)
        assert {key: rank for key, rank in sheet.ranks().items() if key[1] == "psnr"} == {
            (0, "psnr"): 2,
            (1, "psnr"): 1,
        }
        assert any("are ranked" in note for note in sheet.notes)


def test_every_reason_for_a_gap_is_told_once_below_the_table() -> None:
    variants: dict[str, dict[str, Any]] = {"a": {}, "b": {"k": 1}, "c": {"k": 2}, "d": {"k": 3}, "e": {"k": 4}}
    ablation = ablation_of().model_copy(update={"variants": variants})
    runs = [measured(ablation, "a", seed, {"psnr": 20, "cf": None}) for seed in (0, 1)]
    runs += [measured(ablation, "d", 0, {"psnr": 20, "cf": 1}, name="elsewhere")]
    failures = {ablation.weights_name("b", 0): "step 4: the loss is nan"}
    sheet = ablation_sheet(ablation, runs, failures, trained={ablation.weights_name("c", 1)})
    here = {row.label: row.cells["psnr"].reason for row in sheet.rows if row.section.startswith("coco")}
    assert here == {"a": None, "b": DIVERGED, "c": UNMEASURED, "d": UNMEASURED, "e": UNTRAINED}
    for form in ("md", "tex"):
        text = render(sheet, form)
        for reason in (DIVERGED, UNMEASURED, UNTRAINED, "no weights"):
            assert sum("not measured:" in line and reason in line for line in text.splitlines()) == 1
    assert "not measured: psnr, cf (of e) – not trained yet" in sheet.notes


def test_the_spread_of_two_is_half_their_range_and_one_has_none() -> None:
    assert spread([20.0, 22.0]) == 1
    assert spread([22.0]) is None


def test_one_seed_has_no_spread_and_no_verdict() -> None:
    ablation = ablation_of(1)
    sheet = ablation_sheet(ablation, runs_of(ablation, {"both": (20,), "loss only": (20,), "neither": (25,)}))
    assert all(cell.low is None and cell.high is None for cell in cells(sheet, "psnr").values())
    assert all(not cell.marks for cell in cells(sheet, "psnr_difference").values())
    assert "One seed" in sheet.notes[0]


def test_what_is_not_trained_or_not_measured_is_a_gap_with_its_reason() -> None:
    ablation = ablation_of(metrics=("psnr", "fid"))
    runs = [measured(ablation, "both", seed, {"psnr": 20, "fid": None}) for seed in (0, 1)]
    runs += [measured(ablation, "loss only", 0, {"psnr": 21, "fid": None})]
    sheet = ablation_sheet(ablation, runs, {"x.neither.seed0.safetensors": "step 4: the loss is nan"})
    assert cells(sheet, "psnr")["neither"] == Cell(reason="training diverged", ranked=False)
    assert cells(sheet, "psnr_difference")["neither"] == Cell(reason="training diverged")
    assert cells(sheet, "fid")["both"] == Cell(reason="no weights")
    assert cells(sheet, "psnr_difference")["loss only"].value == 1
    assert {row.label: row.marks for row in sheet.rows} == {
        "both": (),
        "loss only": ("1 of 2 seeds",),
        "neither": ("0 of 2 seeds", "training diverged"),
    }
    assert "not measured: fid (of both, loss only) – no weights" in sheet.notes
    assert any("step 4" in note for note in sheet.notes)


def test_runs_of_other_photographs_or_weights_are_not_mixed_in() -> None:
    ablation = ablation_of(1)
    runs = runs_of(ablation, {"both": (20,), "loss only": (21,), "neither": (22,)})
    older = [measured(ablation, "both", 0, {"psnr": 99, "cf": 9}, digest="other", day=1)]
    other = runs[0].model_copy(update={"model": runs[0].model.model_copy(update={"weights": "y.both.seed0"})})
    again = [run.model_copy(update={"environment": run.environment.model_copy(update={"end": datetime(2026, 2, 1)})})
             for run in runs]  # fmt: skip
    assert {k: c.value for k, c in cells(ablation_sheet(ablation, [*again, *older, other]), "psnr").items()} == {
        "both": 20,
        "loss only": 21,
        "neither": 22,
    }


def test_hostile_names_stay_inert_in_every_format() -> None:
    evil = "<script>alert('x')</script> $a_b$ 50 % & \\input{x} [bold]"
    ablation = ablation_of(1).model_copy(update={"title": evil, "variants": {evil: {}, "b": {"c": 1}}})
    sheet = ablation_sheet(ablation, [measured(ablation, evil, 0, {"psnr": 20, "cf": 1})])
    assert "<script>" not in render(sheet, "html")
    assert "\\input{" not in render(sheet, "tex")
    assert sheet.rows[0].label == evil
