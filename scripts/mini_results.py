"""What of the mini benchmark is kept in the repository: ``results/mini``, but for its README (written by hand)."""

from __future__ import annotations

import fnmatch
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
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
from bench.suites.config import Suite, load_suite
from bench.tables.render import render_file
from bench.tables.results import results_sheets
from bench.weights import locate

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")  # of the grid that the README shows
SCORES, MARK = ("psnr", "ssim", "cf", "dcf", "fcd"), "; scores on "
PLOTS = {"bars": ".svg", "distributions": ".svg", "fid-cf": ".svg", "hints": ".svg", "pareto": ".svg", "chroma": ".png"}
THUMBNAIL = 96  # pixels; the report is to stay small enough for the repository


def publish(made: Path, target: Path) -> None:
    """Make tables, plots and the report, with small pictures, of what was measured, copy the records, training curves
    and ablations, and put the scores on the cards of the weights (``weights/NAME.json`` beside the models).

    Args:
        made: folder of ``scripts/mini_benchmark.py``: a folder for each training, ``ablations`` and ``suite``.
        target: ``results/mini``. Trainings and ablations that are not in ``made``, and its README, stay as they are.

    Raises:
        BenchError: the weights that ship were not measured, all or some; then nothing is changed.
    """
    store = Store(made / "suite" / "runs")
    measured = select(store)
    runs = sorted(filter(of_shipped_weights, measured), key=partial(place, load_suite("mini")))
    if stale := {run.model.name for run in measured} - {run.model.name for run in runs}:
        raise BenchError(f"of {', '.join(sorted(stale))} other weights ship than were measured: use --stage measure.")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as temporary:
        new = Path(temporary)
        parts = [*publish_runs(store, runs, new), *publish_trainings(made, new)]
        for part in parts:
            put(part, target / part.relative_to(new))
    for run in runs:
        if automatic(run) and run.dataset.name == "imagenet-sample":
            tell_scores(run)


def publish_runs(store: Store, runs: Sequence[Run], new: Path) -> list[Path]:
    """Tables, plots, records and report of the Runs; what was made."""
    sheets = results_sheets(runs, efficiency=True)
    for form in ("md", "csv", "tex"):
        write_atomically(new / "tables" / f"results.{form}", render_file(sheets, form).encode())
    for kind, suffix in PLOTS.items():
        with suppress(BenchError):  # such as hints, where no Run had any
            save(draw(kind, store, runs), new / "plots" / f"{kind}{suffix}")
    shown = [run for run in runs if automatic(run) and run.dataset.name == "samples"]
    as_jpeg(save(draw("grid", store, shown, photos=PHOTOS), new / "plots" / "grid.png"))
    save(draw("fid-cf", store, runs, quality="psnr"), new / "plots" / "psnr-cf.svg")
    for run in runs:
        copy(store.root / run.folder, new / "runs" / run.folder, "result.json")
    report = write_report(store, runs, new / "report.html", title="Mini models", thumbnails=THUMBNAIL)
    return [new / "tables", new / "plots", new / "runs", report]


def publish_trainings(made: Path, new: Path) -> list[Path]:
    """Curves of the trainings, tables and curves of the ablations; what was made."""
    trainings = sorted(path.parent for path in made.glob("*/metrics.csv"))
    for folder in trainings:
        copy(folder, new / "training" / folder.name, "metrics.csv")
    if trainings:
        save(training_curves(trainings), new / "training" / "curves.svg")
    for folder in sorted(path.parent for path in made.glob("ablations/*/table.md")):
        copy(folder, new / "ablations" / folder.name, "table.md", "table.csv", "table.tex")
        measured = Store(folder / "runs")
        curve = draw("fid-cf", measured, select(measured), quality="psnr")
        save(curve, new / "ablations" / folder.name / "psnr-cf.svg")
    return [*new.glob("training/*"), *new.glob("ablations/*")]


def place(suite: Suite, run: Run) -> tuple[int, int, str, int]:
    """Its place in the suite, which all that is made of the Runs keeps to."""
    models = (i for i, entry in enumerate(suite.models) if fnmatch.fnmatch(run.model.name, entry.name))
    return suite.datasets.index(run.dataset.name), next(models), run.model.name, run.hints


def automatic(run: Run) -> bool:
    """A mini model, without hints."""
    return run.model.name.endswith("-mini") and not run.hints


def of_shipped_weights(run: Run) -> bool:
    """Not of weights that were replaced since."""
    shipped = [weights.sha256 for weights in card_of(run.model.name).weights if weights.shipped]
    return run.model.sha256 in (shipped or [None])


def copy(source: Path, target: Path, *names: str) -> None:
    """Files of a folder, those that are there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in filter(Path.is_file, (source / name for name in names)):
        shutil.copyfile(path, target / path.name)


def put(new: Path, old: Path) -> None:
    """A file or a folder in the place of another."""
    old.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir():
        shutil.rmtree(old)
    new.replace(old)


def run_bench(*arguments: object) -> None:
    """One call of the command line in the project's folder; a failure ends the script."""
    child = subprocess.Popen([sys.executable, "-m", "bench", *map(str, arguments)], cwd=ROOT)
    try:
        child.wait()
    except KeyboardInterrupt:
        child.wait()  # it had the same signal, and saves first
    if child.returncode:
        sys.exit(child.returncode)


def tell_scores(run: Run) -> None:
    """Put what was measured on the card of the weights, in the place of older scores."""
    path = locate(card_of(run.model.name).weights[0], run.model.name).with_suffix(".json")
    facts = json.loads(path.read_text(encoding="utf-8"))
    scores = ", ".join(f"{name} {written(name, run.metrics[name])}" for name in SCORES)
    where = f"{run.dataset.n} photographs of {run.dataset.name} by protocol {run.protocol.name} ({run.protocol.hash})"
    facts["note"] = f"{facts['note'].partition(MARK)[0]}{MARK}{where}: {scores}"
    write_facts(path, facts)


def write_facts(path: Path, facts: Mapping[str, object]) -> None:
    """What a card shows of weights, beside their model."""
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
