from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_runs import BEGUN, made

import bench
from bench.cli import main
from bench.errors import BenchError
from bench.evaluation import Settings
from bench.plots.hints import psnr_against_hints
from bench.protocol import Preprocessing, Protocol
from bench.runs import Run, Store

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "siggraph17_hints.csv"
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
    figure = psnr_against_hints(runs, PUBLISHED)
    measured, published = figure.axes[0].lines
    assert np.asarray(measured.get_xdata()).tolist() == [0, 2]
    assert np.asarray(measured.get_ydata()).tolist() == [run.metrics["psnr"].value for run in runs]
    assert np.asarray(published.get_ydata()).tolist()[:2] == [24.43, 25.37]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["siggraph17-mini (random weights)", "siggraph17, published"]

    out = tmp_path / "curve.png"
    done = CliRunner().invoke(main, ["plot", "hints", "--runs", str(store), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")


def test_without_hinted_runs_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--hints"):
        psnr_against_hints(list(Store(tmp_path)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2,3\n4\n",
        b"hints,psnr\n1,20\n",
        b"model,hints,psnr\nx,few,20\n",
        b"model,hints,psnr\n",
        b"\xff\xfe",
    ],
)
def test_a_published_curve_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"curve\.csv (is no CSV|holds no line) of a published curve"):
        psnr_against_hints([hinted(1, 20)], published=path)


def hinted(hints: int, psnr: float, model: str = "siggraph17", **changes: Any) -> Run:
    return made(model, {"psnr": (psnr, psnr - 1, psnr + 3)}, hints=hints, **changes)


def drawn(runs: list[Run]) -> list[dict[float, float]]:
    """Of every curve, PSNR by hints."""
    return [
        dict(np.column_stack((line.get_xdata(), line.get_ydata())).tolist())
        for axes in psnr_against_hints(runs).axes
        for line in axes.lines
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset__digest": "e" * 64},
        {"protocol__hash": "h2"},
        {"model__sha256": "b" * 64},
        {"model__options": {"width": "8"}},
        {"environment__precision": "bf16"},
    ],
    ids=str,
)
def test_what_was_measured_otherwise_is_another_curve(changes: dict[str, Any]) -> None:
    runs = [hinted(n, 20 + n) for n in (0, 3)] + [hinted(n, 30 + n, **changes) for n in (3, 0)]
    assert drawn(runs) == [{0: 20, 3: 23}, {0: 30, 3: 33}]


def test_another_protocol_never_shares_the_axes() -> None:
    figure = psnr_against_hints([hinted(3, 20), hinted(3, 30, protocol__hash="h2")])
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_the_newest_run_counts() -> None:
    ends = [BEGUN + timedelta(days=day) for day in (3, 9, 5)]
    runs = [hinted(3, psnr, environment__end=end) for psnr, end in zip((20, 21, 22), ends, strict=True)]
    assert drawn(runs) == [{3: 21}]


def test_models_without_hints_are_left_out() -> None:
    assert drawn([hinted(0, 25, "ddcolor"), hinted(0, 20), hinted(3, 24)]) == [{0: 20, 3: 24}]


def test_no_curve_is_dropped_however_many_there_are() -> None:
    assert len(drawn([hinted(1, 20 + i, f"model{i:02d}") for i in range(25)])) == 25
