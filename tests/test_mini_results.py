"""results/mini: numbers of the weights that ship, which measuring again gives again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest
from mini_benchmark import code_of
from mini_results import written
from safetensors import safe_open

import bench
from bench.metrics import NUMBERS
from bench.registry import card_of, model_names
from bench.runs import Run, Store
from bench.weights import locate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "mini"
MINIS = [name for name in model_names() if name.endswith("-mini")]
FIRST_COMMIT = "79f33694a0946ef17bfeb5010c961ead1b61a0d8"
DATASETS = {"samples": 10, "imagenet-sample": 962, "coco": 251, "ade20k": 37}

# Processors round differently, and a chroma at the border of a bin moves to the next one.
TOLERANCE = {"psnr": 0.01, "ssim": 0.0005, "cf": 0.05, "cf_hasler": 0.05, "dcf": 0.05, "auc": 0.02, "fcd": 1.0}


@cache
def runs() -> dict[tuple[str, str, int], Run]:
    found = list(Store(RESULTS / "runs"))
    by_what = {(run.model.name, run.dataset.name, run.hints): run for run in found}
    assert len(by_what) == len(found)
    return by_what


@pytest.mark.parametrize("name", ["gray", "oracle", *MINIS])
def test_there_is_a_run_of_every_model_on_every_dataset(name: str) -> None:
    shipped = {weights.sha256 for weights in card_of(name).weights if weights.shipped} or {None}
    for dataset, n in DATASETS.items():
        run = runs()[name, dataset, 0]
        assert run.dataset.n == n
        assert run.protocol.name == "paper"
        assert run.model.sha256 in shipped
        assert run.environment.dirty is False
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


def test_all_runs_are_of_one_commit_of_this_history() -> None:
    (commit,) = {run.environment.commit for run in runs().values()}
    assert commit is not None
    if FIRST_COMMIT not in git("rev-list", "--max-parents=0", "HEAD"):
        pytest.skip("the history of the project is not here")
    assert git("merge-base", commit, "HEAD") == commit


def git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


@pytest.mark.parametrize("name", MINIS)
def test_the_card_tells_the_code_that_trained_as_the_file_does(name: str) -> None:
    (weights,) = card_of(name).weights
    path = locate(weights, name)
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["training"])
    told = code_of(path) if "code" in facts else "which the file does not record"
    assert told in weights.note
    assert facts["step"] == facts["config"]["steps"] == 1200


COLUMNS: dict[str, Callable[[Run], str]] = {
    **{
        title: partial(lambda name, run: written(name, run.metrics[name]), name)
        for title, name in {
            "PSNR": "psnr", "SSIM": "ssim", "FCD": "fcd", "CF": "cf", "ΔCF": "dcf", "AuC": "auc"
        }.items()
    },
    "ms/image": lambda run: f"{run.speed.latency_ms:.0f}",
    "MACs (G)": lambda run: f"{(run.model.macs or 0) / 1e9:.2f}",
}  # fmt: skip


def rows(page: str, first: str) -> list[dict[str, str]]:
    """Of the table whose first column is called so."""
    found: list[dict[str, str]] = []
    titles: list[str] | None = None
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [re.sub(r"[*`↑↓]", "", cell).strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            titles = None
        elif cells[0] == first:
            titles = cells
        elif titles is not None and not set(cells[0]) <= set("-:"):
            found.append(dict(zip(titles, cells, strict=True)))
    return found


@pytest.mark.parametrize("page", ["README.md", "results/mini/README.md"])
def test_numbers_in_the_pages_are_those_of_the_runs(page: str) -> None:
    found = rows(page, "model")
    assert [row["model"] for row in found if row["model"] in MINIS] == sorted(
        MINIS, key=lambda name: -(runs()[name, "imagenet-sample", 0].metrics["psnr"].value or 0)
    )
    for row in found:
        run = runs()[row.pop("model"), "imagenet-sample", 0]
        for title, cell in row.items():
            expected = COLUMNS[title](run)
            if cell != "–" or run.model.name in MINIS:
                assert cell in (expected, expected.split()[0]), (run.model.name, title, expected)


def test_numbers_of_the_tuning_are_those_of_runs_and_ablations() -> None:
    curve = pd.read_csv(RESULTS / "ablations" / "colourfulness-mini" / "table.csv", dtype={"variant": str})
    checked = set()
    for row in rows("results/mini/README.md", "training"):
        training, side = row["training"], row["side at inference (px)"]
        variant = training.removeprefix("colourfulness ")
        of_variant = curve[curve["variant"] == variant]
        for title, name in (("PSNR", "psnr"), ("CF", "cf"), ("ΔCF", "dcf"), ("FCD", "fcd")):
            if training == "gray" or "(ships)" in training:
                run = runs()["gray" if training == "gray" else "ddcolor-mini", "imagenet-sample", 0]
                value = run.metrics[name].value
            elif not of_variant.empty and side == "128":
                value = of_variant.loc[of_variant["number"] == name, "value"].item()
            else:
                continue
            assert value is not None
            assert row[title] in (f"{value:.2f}", f"{value:.1f}"), (training, title, value)
            checked.add(training)
    assert len(checked) == 6


def test_no_picture_of_a_dataset_that_may_not_be_shown() -> None:
    pictures = (path for path in RESULTS.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg", ".webp"))
    assert {path.name for path in pictures} == {"grid.jpg", "chroma.png"}
    page = (RESULTS / "report.html").read_text(encoding="utf-8")
    sets = json.loads(re.findall(r'<script type="application/json" id="sets">(.*?)</script>', page, re.S)[0])
    shown = re.findall(r'<script type="application/json" id="pictures-(\d+)-\d+">', page)
    assert len(sets) == len(DATASETS)
    assert {sets[int(number)]["title"].partition(",")[0] for number in shown} == {"samples"}
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
