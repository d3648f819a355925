from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench
from bench.cli import main
from bench.errors import BenchError
from bench.evaluation import Settings
from bench.plots import psnr_against_hints
from bench.protocol import Preprocessing, Protocol
from bench.runs import Store

PUBLISHED = Path(__file__).parents[1] / "results" / "published" / "siggraph17_hints.csv"
PROTOCOL = Protocol(
    name="test",
    description="",
    preprocessing=Preprocessing(crop="none", size=64, resample="bicubic"),
    metrics=["psnr"],
)


def test_the_curve_shows_the_numbers_of_the_runs(photographs: Callable[..., Path], tmp_path: Path) -> None:
    model = bench.load_model("siggraph17-mini", weights="random", device="cpu")
    dataset, store = f"folder:{photographs(2)}", tmp_path / "runs"
    runs = [
        bench.evaluate(model, dataset, PROTOCOL, device="cpu", store=store, settings=Settings(hints=n, workers=0))
        for n in (0, 2)
    ]
    axes = psnr_against_hints(runs, PUBLISHED).axes[0]
    measured, published = axes.lines
    assert list(measured.get_xdata()) == [0, 2]
    assert list(measured.get_ydata()) == [run.metrics["psnr"].value for run in runs]
    assert list(published.get_ydata())[:2] == [24.43, 25.37]

    out = tmp_path / "curve.png"
    done = CliRunner().invoke(main, ["plot", "hints", "--runs", str(store), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")


def test_without_hinted_runs_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--hints"):
        psnr_against_hints(list(Store(tmp_path)))
