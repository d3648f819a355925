"""Suites: what a configuration may say, what is left out and why, and everything that is made of the Runs."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from bench.cli import main
from bench.datasets import DATASETS
from bench.errors import BenchError
from bench.plots import FROM_RUNS
from bench.protocol import load_protocol
from bench.published import papers
from bench.registry import card_of, model_names
from bench.runs import Store
from bench.suites.config import Entry, load_suite, suite_names
from bench.suites.run import plan_suite

Photographs = Callable[..., Path]

SMALL: dict[str, Any] = {
    "name": "small",
    "title": "A small suite",
    "models": ["gray"],
    "datasets": ["samples"],
    "limit": 2,
    "samples": 2,
    "plots": ["bars"],
    "report": False,
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes, sort_keys=False))
    return path


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


# --- configurations and plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", suite_names())
def test_suites_that_come_along_name_what_there_is(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    for entry in suite.models:
        if not set("*[?") & set(entry.name) and entry.name != "all":
            card = card_of(entry.name)
            assert entry.name in model_names()
            assert entry.weights is None or card.weights_named(entry.weights)
            assert not entry.hints or card.hints
    for dataset in suite.datasets:
        known, _, split = dataset.partition("/")
        assert dataset.startswith("folder:") or (known in DATASETS and (not split or split in DATASETS[known].splits))
    assert all(load_protocol(protocol) for protocol in suite.protocols)
    assert set(suite.tables.papers) <= set(papers())


def test_the_paper_suite_has_every_system_at_full_size() -> None:
    expected = {name for name in model_names() if not name.endswith("-mini")}
    suite = load_suite("paper")
    assert {entry.name for entry in suite.models} == expected
    assert set(suite.datasets) == {"imagenet/val5k", "imagenet/val50k", "coco", "ade20k"}


def test_the_smoke_suite_needs_nothing_but_the_package(tmp_path: Path) -> None:
    plan = plan_suite(load_suite("smoke"), data_root=tmp_path)
    assert [dataset.key for dataset in plan.datasets.values()] == ["samples/all"]
    assert {"gray", "oracle", "ddcolor-mini"} <= {entry.name for entry in plan.entries}
    here = {entry.name for entry in plan.entries} | set(plan.left_out)
    assert {name for name in model_names() if name.endswith("-mini")} <= here


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"modles": []}, "Did you mean 'models'"),
        ({"models": []}, "models"),
        ({"models": [{"name": "gray", "wieghts": "x"}]}, "'models.0.wieghts'.*Did you mean 'weights'"),
        ({"models": ["gray", 3]}, "'models.1': 3 is no model"),
        ({"models": "gray"}, "models"),
        ({"models": ["grey"]}, "Did you mean gray"),
        ({"models": ["*-maxi"]}, r"unknown model '\*-maxi'"),
        ({"models": [{"name": "ddcolor-mini", "weights": "paper"}]}, "unknown weights of ddcolor-mini 'paper'"),
        ({"models": [{"name": "ddcolor-mini", "hints": 3}]}, "takes no colour hints"),
        ({"datasets": ["cocoa"]}, "Did you mean coco"),
        ({"protocols": ["papers"]}, "paper"),
        ({"tables": {"formats": ["docx"]}}, "tables.formats.0"),
        ({"tables": {"metric": ["psnr"]}}, "Did you mean 'metrics'"),
        ({"tables": {"metrics": ["beauty"]}}, "no number 'beauty'"),
        ({"tables": {"papers": ["dcolor"]}}, "ddcolor"),
        ({"plots": ["brs"]}, "bars"),
        ({"pictures": ["coco"]}, "no dataset of this suite called 'coco'; there are samples"),
        ({"require": "some"}, "require"),
        ({"name": "a/b"}, "name"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_measured(changes: dict[str, Any], hint: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=hint):
        plan_suite(load_suite(written(tmp_path, **changes)))


def test_patterns_all_and_weights_for_every_model(tmp_path: Path) -> None:
    models = ["gray", "pix2pix*-mini", {"name": "ddcolor-mini", "weights": "mini"}, "*-mini", "gray"]
    plan = plan_suite(load_suite(written(tmp_path, models=models, weights="random")))
    titles = [entry.title for entry in plan.entries]
    assert titles[:4] == ["gray", "pix2pix-mini (random)", "pix2pix-resnet18-mini (random)", "ddcolor-mini (mini)"]
    assert titles.count("gray") == 1
    assert titles.count("pix2pix-mini (random)") == 1
    assert "ddcolor-mini (random)" in titles
    assert {e.name for e in plan_suite(load_suite(written(tmp_path, models=["all"], weights="random"))).entries} == set(
        model_names()
    )


def test_an_entry_tells_what_is_special_of_it() -> None:
    entry = Entry(name="lab-diffusion", weights="w.pt", options={"steps": 20}, hints=1)
    assert entry.title == "lab-diffusion (w.pt, steps=20, 1 hint)"


def test_what_is_not_here_is_left_out_or_an_error(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"models": ["gray", "eccv16"], "datasets": ["samples", "coco"]}
    plan = plan_suite(load_suite(written(tmp_path, **changes)), data_root=tmp_path)
    assert [entry.name for entry in plan.entries] == ["gray"]
    assert [dataset.key for dataset in plan.datasets.values()] == ["samples/all"]
    assert set(plan.left_out) == {"eccv16", "coco"}
    assert "bench weights fetch eccv16" in plan.left_out["eccv16"]
    with pytest.raises(BenchError, match="bench weights fetch eccv16"):
        plan_suite(load_suite(written(tmp_path, require="all", **changes)), data_root=tmp_path)
    with pytest.raises(BenchError, match="coco"):
        plan_suite(load_suite(written(tmp_path, require="all", datasets=["coco"])), data_root=tmp_path)
    with pytest.raises(BenchError, match="nothing of the suite small(.|\n)*eccv16(.|\n)*coco"):
        plan_suite(load_suite(written(tmp_path, models=["eccv16"], datasets=["coco"])), data_root=tmp_path)


def test_pictures_are_kept_of_the_datasets_that_may_be_shown(tmp_path: Path, photographs: Photographs) -> None:
    shown, hidden = f"folder:{photographs(2)}", "samples"
    config = written(tmp_path, models=["gray"], datasets=[shown, hidden], pictures=[shown], limit=2, samples=2)
    done = bench("suite", config, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    runs = list(Store(tmp_path / "out" / "runs"))
    kept = {run.dataset.name: len(list((tmp_path / "out/runs" / run.folder).glob("samples/*.png"))) for run in runs}
    assert kept.pop("samples") == 0
    assert set(kept.values()) == {4}  # two photographs, each coloured and original


def test_dry_run_shows_the_plan_and_makes_nothing(tmp_path: Path) -> None:
    config = written(tmp_path, models=["gray", "eccv16"], datasets=["samples", "coco"])
    done = bench("suite", config, "--dry-run", "--data-root", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "samples/all" in done.output
    assert "left out: eccv16" in done.output
    assert "left out: coco" in done.output
    assert not (tmp_path / "out").exists()


# --- measuring --------------------------------------------------------------------------------------------------------

MODEL = """
from bench.colorizer import Colorizer
from bench.errors import WeightsError
class Model(Colorizer):
    def forward(self, lightness, hints=None, generator=None):
        {body}
        return lightness.repeat(1, 2, 1, 1) * 0
"""


def model(folder: Path, body: str) -> dict[str, str]:
    path = folder / "theirs.py"
    path.write_text(MODEL.format(body=body))
    return {"name": f"{path}:Model", "weights": "random"}


def records(out: Path) -> dict[Path, int]:
    return {path.relative_to(out): path.stat().st_mtime_ns for path in out.rglob("result.json")}


@pytest.mark.slow
def test_a_suite_leaves_out_names_failures_and_makes_the_rest(photographs: Photographs, tmp_path: Path) -> None:
    photos, out = photographs(3), tmp_path / "out"
    shutil.copytree(photos, tmp_path / "data" / "historical")
    broken = model(tmp_path, "raise WeightsError('the weights are <b>bad</b>')")
    config = written(
        tmp_path, models=["gray", "oracle", "eccv16", broken], datasets=[f"folder:{photos}", "historical", "coco"],
        plots=["bars", "hints"], tables={"papers": ["ddcolor"]}, limit=None,
    )  # fmt: skip
    arguments = ("suite", config, "--out", out, "--data-root", tmp_path / "data", "--device", "cpu")
    done = bench(*arguments)
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)

    runs = [json.loads(path.read_text()) for path in out.rglob("result.json")]
    assert {(r["model"]["name"], r["dataset"]["name"]) for r in runs} == {
        ("gray", "folder:photos"),
        ("oracle", "folder:photos"),
        ("gray", "historical"),
    }
    readme = (out / "README.md").read_text()
    error, _, left_out = readme.partition("## Left out")
    assert error.count("the weights are \\<b\\>bad") == 2
    assert left_out.index("eccv16") < left_out.index("oracle on historical/all")
    assert "no colour reference" in left_out
    assert "coco" in left_out
    assert "plot hints" in left_out

    expected = {r["model"]["name"]: r["metrics"]["psnr"]["value"] for r in runs if r["dataset"]["name"] != "historical"}
    with (out / "tables" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {row["model"]: row["value"] for row in rows if row["number"] == "psnr" and row["dataset"] != "historical"}
    assert {name: float(value) for name, value in found.items()} == expected
    assert {path.suffix for path in (out / "tables").glob("results.*")} == {".md", ".csv", ".tex", ".html"}
    assert {path.name for path in (out / "plots").iterdir()} == {"bars.png", "bars.svg"}
    assert (out / "tables" / "paper-ddcolor.md").is_file()
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) == 4 + 4 + 2
    assert all((out / link).is_file() for link in links)

    before = records(out)
    assert bench(*arguments).exit_code == 1
    assert records(out) == before  # nothing that was finished was measured again


@pytest.mark.slow
def test_stopped_in_the_middle_the_same_command_continues(photographs: Photographs, tmp_path: Path) -> None:
    flag, out = tmp_path / "stopped-once", tmp_path / "out"
    body = (
        f"import os, pathlib, signal; flag = pathlib.Path({str(flag)!r})\n"
        "        if not flag.exists(): flag.touch(); signal.raise_signal(signal.SIGTERM)"
    )
    config = written(tmp_path, models=["gray", model(tmp_path, body)], datasets=[f"folder:{photographs(3)}"])
    arguments = ("suite", config, "--out", out, "--device", "cpu", "--batch-size", "1")
    stopped = bench(*arguments)
    assert stopped.exit_code == 130, stopped.output
    assert "the same command continues" in stopped.output
    assert not (out / "README.md").exists()
    before = records(out)
    assert len(before) == 1
    assert bench(*arguments).exit_code == 0
    assert len(records(out)) == 2
    assert before.items() <= records(out).items()


@pytest.mark.slow
def test_a_mistake_in_a_model_is_no_silent_gap(photographs: Photographs, tmp_path: Path) -> None:
    config = written(tmp_path, models=["gray", model(tmp_path, "1 / 0")], datasets=[f"folder:{photographs(2)}"])
    done = bench("suite", config, "--out", tmp_path / "out", "--device", "cpu")
    assert isinstance(done.exception, ZeroDivisionError)


@pytest.mark.slow
def test_a_plot_that_cannot_be_drawn_any_more_leaves_no_old_picture(photographs: Photographs, tmp_path: Path) -> None:
    config, out = written(tmp_path, plots=["hints"], datasets=[f"folder:{photographs(2)}"]), tmp_path / "out"
    (out / "plots").mkdir(parents=True)
    for suffix in ("png", "svg"):
        (out / "plots" / f"hints.{suffix}").write_bytes(b"old")
    assert bench("suite", config, "--out", out, "--device", "cpu").exit_code == 0
    assert not list((out / "plots").iterdir())


@pytest.mark.slow
def test_two_protocols_have_tables_and_plots_of_their_own(photographs: Photographs, tmp_path: Path) -> None:
    config = written(tmp_path, protocols=["paper", "crop256"], datasets=[f"folder:{photographs(2)}"])
    done = bench("suite", config, "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert {p.stem for p in (tmp_path / "out" / "tables").iterdir()} == {"results-paper", "results-crop256"}
    assert {p.stem for p in (tmp_path / "out" / "plots").iterdir()} == {"bars-paper", "bars-crop256"}


@pytest.mark.slow
def test_the_smoke_suite_makes_everything(tmp_path: Path) -> None:
    out = tmp_path / "smoke"
    done = bench("suite", "smoke", "--out", out, "--device", "cpu", "--data-root", tmp_path)
    assert done.exit_code == 0, done.output
    names = {path.name for path in out.rglob("*") if "runs" not in path.parts}
    assert {"results.md", "results.csv", "results.tex", "results.html", "index.html", "README.md"} <= names
    assert "<title>Smoke test of the suite" in (out / "report" / "index.html").read_text()
    drawn = {path.stem for path in (out / "plots").glob("*.png")}
    assert drawn == {path.stem for path in (out / "plots").glob("*.svg")}
    left_out = (out / "README.md").read_text().partition("## Left out")[2]
    assert drawn | {kind for kind in FROM_RUNS if f"plot {kind}" in left_out} == set(FROM_RUNS)
    assert {"grid", "fid-cf", "bars", "distributions", "pareto", "chroma"} <= drawn
