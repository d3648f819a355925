"""What of the mini benchmark is kept in the repository: ``results/mini``, but for its README (written by hand)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from bench.cache import write_atomically
from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots import draw
from bench.plots.style import save
from bench.plots.training import training_curves
from bench.registry import card_of
from bench.report import write_report
from bench.runs import Estimate, Run, Store
from bench.selection import select
from bench.weights import locate

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")  # of the grid that the README shows
SCORES, MARK = ("psnr", "ssim", "cf", "dcf", "fcd"), "; scores on "
LINES = ("bars", "distributions", "fid-cf", "hints", "pareto")  # plots that are small as SVG
THUMBNAIL = 96  # pixels; the report is to stay small enough for the repository


def publish(made: Path, target: Path) -> None:
    """Copy tables, plots, records, training curves and ablations, make the report anew with small pictures, and put the
    scores on the cards of the weights (``weights/NAME.json`` beside the models).

    Args:
        made: folder of ``scripts/mini_benchmark.py``: a folder for each training, ``ablations`` and ``suite``.
        target: ``results/mini``. What is not in ``made`` stays there as it is.

    Raises:
        BenchError: the suite has no Run of the weights that ship.
    """
    if not (made / "suite" / "runs").is_dir():
        raise BenchError(f"{made / 'suite'} has no Runs: nothing was measured yet. Use --stage measure first.")
    store = Store(made / "suite" / "runs")
    runs = [run for run in select(store) if of_shipped_weights(run)]
    automatic = [run for run in runs if run.model.name.endswith("-mini") and not run.hints]
    for run in automatic:
        if run.dataset.name == "imagenet-sample":
            tell_scores(run)
    for part in ("tables", "plots", "runs"):
        shutil.rmtree(target / part, ignore_errors=True)
    copy(made / "suite" / "tables", target / "tables", "*.md", "*.csv", "*.tex")
    copy(made / "suite" / "plots", target / "plots", *(f"{plot}.svg" for plot in LINES), "chroma.png")
    for run in runs:
        copy(store.root / run.folder, target / "runs" / run.folder, "result.json")
    shown = [run for run in automatic if run.dataset.name == "samples"]
    as_jpeg(save(draw("grid", store, shown, photos=PHOTOS), target / "plots" / "grid.png"))
    save(draw("fid-cf", store, runs, quality="psnr"), target / "plots" / "psnr-cf.svg")
    write_report(store, runs, target / "report.html", title="Mini models", thumbnails=THUMBNAIL)
    trainings = sorted(path.parent for path in made.glob("*/metrics.csv"))
    for folder in trainings:
        copy(folder, target / "training" / folder.name, "metrics.csv")
    if trainings:
        save(training_curves(trainings), target / "training" / "curves.svg")
    for folder in sorted(path.parent for path in made.glob("ablations/*/table.md")):
        copy(folder, target / "ablations" / folder.name, "table.md", "table.csv", "table.tex")
        measured = Store(folder / "runs")
        curve = draw("fid-cf", measured, select(measured), quality="psnr")
        save(curve, target / "ablations" / folder.name / "psnr-cf.svg")


def of_shipped_weights(run: Run) -> bool:
    """Not of weights that were replaced since."""
    shipped = [weights.sha256 for weights in card_of(run.model.name).weights if weights.shipped]
    return run.model.sha256 in (shipped or [None])


def copy(source: Path, target: Path, *patterns: str) -> None:
    """Files that fit the patterns, below the same folders."""
    for path in sorted(path for pattern in patterns for path in source.glob(pattern)):
        goal = target / path.relative_to(source)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, goal)


def bench(*arguments: object) -> None:
    """One call of the command line in the project's folder; a failure ends the script."""
    done = subprocess.run([sys.executable, "-m", "bench", *map(str, arguments)], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def tell_scores(run: Run) -> None:
    """Put what was measured on the card of the weights, in the place of older scores."""
    path = locate(card_of(run.model.name).weights[0], run.model.name).with_suffix(".json")
    facts = json.loads(path.read_text(encoding="utf-8"))
    scores = ", ".join(f"{name} {written(name, run.metrics[name])}" for name in SCORES)
    where = f"{run.dataset.n} photographs of {run.dataset.name} by protocol {run.protocol.name} ({run.protocol.hash})"
    facts["note"] = f"{facts['note'].partition(MARK)[0]}{MARK}{where}: {scores}"
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())


def written(name: str, estimate: Estimate) -> str:
    """``22.90 ±0.29``: with half of the 95 % interval where there is one."""
    if estimate.value is None:
        return "not measured"
    digits = NUMBERS[name].decimals
    half = f" ±{(estimate.high - estimate.low) / 2:.{digits}f}" if estimate.low is not None else ""
    return f"{estimate.value:.{digits}f}{half}"


def as_jpeg(picture: Path) -> None:
    """In the place of a PNG: of photographs a fifth of the bytes. The colours keep their full resolution."""
    with Image.open(picture) as opened:
        opened.convert("RGB").save(picture.with_suffix(".jpg"), quality=84, subsampling=0)
    picture.unlink()
