"""results/mini: numbers of the weights that ship, which measuring again gives again."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

import bench
from bench.metrics import NUMBERS
from bench.registry import card_of, model_names
from bench.runs import Run, Store

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "mini"
MINIS = [name for name in model_names() if name.endswith("-mini")]
DATASETS = {"samples": 10, "imagenet-sample": 962, "coco": 251, "ade20k": 37}

# Processors round differently, and a chroma at the border of a bin moves to the next one.
TOLERANCE = {"psnr": 0.01, "ssim": 0.0005, "cf": 0.05, "cf_hasler": 0.05, "dcf": 0.05, "auc": 0.02, "fcd": 1.0}


@cache
def runs() -> dict[tuple[str, str, int], Run]:
    return {(run.model.name, run.dataset.name, run.hints): run for run in Store(RESULTS / "runs")}


@pytest.mark.parametrize("name", ["gray", "oracle", *MINIS])
def test_there_is_a_run_of_every_model_on_every_dataset(name: str) -> None:
    shipped = {weights.sha256 for weights in card_of(name).weights if weights.shipped} or {None}
    for dataset, n in DATASETS.items():
        run = runs()[name, dataset, 0]
        assert run.dataset.n == n
        assert run.protocol.name == "paper"
        assert run.model.sha256 in shipped
        assert not run.environment.dirty
        assert {metric for metric in TOLERANCE if run.metrics[metric].value is None} == set()
        assert run.metrics["fid"].value is None
        assert run.metrics["fid"].reason


@pytest.mark.parametrize("name", MINIS)
def test_scores_on_the_card_are_those_of_the_run(name: str) -> None:
    run = runs()[name, "imagenet-sample", 0]
    (note,) = (weights.note for weights in card_of(name).weights if weights.shipped)
    for metric in ("psnr", "ssim", "cf", "dcf", "fcd"):
        value = run.metrics[metric].value
        assert value is not None
        assert f"{metric} {value:.{NUMBERS[metric].decimals}f}" in note


@pytest.mark.parametrize("page", ["README.md", "results/mini/README.md"])
def test_numbers_in_prose_tables_are_those_of_the_runs(page: str) -> None:
    """Rows ``| model | 22.90 ±0.29 | ... |`` below a heading row that names the numbers, on imagenet-sample."""
    titles = {"PSNR": "psnr", "SSIM": "ssim", "FCD": "fcd", "CF": "cf", "ΔCF": "dcf", "AuC": "auc"}
    columns: list[str] = []
    seen = set()
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [re.sub(r"[*`↑↓]", "", cell).strip() for cell in line.strip("| ").split("|")]
        if cells[0] == "model":
            columns = [titles.get(cell, "") for cell in cells]
        elif cells[0] in ("gray", "oracle", *MINIS) and any(columns) and len(cells) == len(columns):
            seen.add(cells[0])
            run = runs()[cells[0], "imagenet-sample", 0]
            for metric, cell in zip(columns, cells, strict=True):
                if metric:
                    value = run.metrics[metric].value
                    assert value is not None
                    assert cell.split()[0] == f"{value:.{NUMBERS[metric].decimals}f}", (cells[0], metric)
    assert seen >= set(MINIS)


def test_no_picture_of_a_dataset_that_may_not_be_shown() -> None:
    pictures = (path for path in RESULTS.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg", ".webp"))
    assert {path.name for path in pictures} == {"grid.jpg", "chroma.png"}
    page = (RESULTS / "report.html").read_text(encoding="utf-8")
    sets = json.loads(re.findall(r'<script type="application/json" id="sets">(.*?)</script>', page, re.S)[0])
    shown = re.findall(r'<script type="application/json" id="pictures-(\d+)-\d+">', page)
    assert len(sets) == len(DATASETS)
    assert len(set(shown)) == 1
    assert len(shown) == DATASETS["samples"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gray", "oracle", *MINIS])
def test_measuring_again_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    published = runs()[name, "samples", 0]
    model = bench.load_model(name, device="cpu")
    run = bench.evaluate(model, "samples", published.protocol.name, device="cpu", store=tmp_path)
    assert run.dataset.digest == published.dataset.digest
    for metric, tolerance in TOLERANCE.items():
        assert run.metrics[metric].value == pytest.approx(published.metrics[metric].value, abs=tolerance), metric
