from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex

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
    axes = psnr_against_hints(runs, PUBLISHED).axes[0]
    measured, published = axes.lines
    assert np.asarray(measured.get_xdata()).tolist() == [0, 2]
    assert np.asarray(measured.get_ydata()).tolist() == [run.metrics["psnr"].value for run in runs]
    assert np.asarray(published.get_ydata()).tolist()[:2] == [24.43, 25.37]

    out = tmp_path / "curve.png"
    done = CliRunner().invoke(main, ["plot", "hints", "--runs", str(store), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")


def test_without_hinted_runs_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--hints"):
        psnr_against_hints(list(Store(tmp_path)))


def hinted(hints: int, psnr: float, **changes: Any) -> Run:
    """A Run as if measured; ``changes`` are keys of its model, dataset, protocol or environment."""
    facts: dict[str, dict[str, Any]] = {
        "model": {"name": "siggraph17", "family": "f", "parameters": 1, "weights": "w", "source": "s", "sha256": "a1"},
        "dataset": {"name": "imagenet", "split": "val5k", "n": 10, "complete": True, "digest": "d1"},
        "protocol": {"name": "paper", "hash": "h1", "definition": {}},
        "environment": {
            "code_version": "0", "commit": None, "dirty": None, "code_digest": "", "libraries": {}, "device": {},
            "precision": "fp32", "command": "", "start": datetime(2026, 1, 1), "end": datetime(2026, 1, 1),
        },
    }  # fmt: skip
    for key, value in changes.items():
        part, _, name = key.partition("_")
        facts[part][name] = value
    speed = {"images_per_second": 1, "latency_ms": 1, "peak_memory_mb": 1, "batch_size": 1, "processes": 1}
    metrics = {"psnr": {"value": psnr, "low": psnr - 1, "high": psnr + 1, "n": 10}}
    record = {"key": "k", "complete": True, "metrics": metrics, "speed": speed, "seed": 0, "hints": hints}
    return Run.model_validate(record | facts)


def drawn(runs: list[Run]) -> dict[str, dict[float, float]]:
    lines = psnr_against_hints(runs).axes[0].lines
    return {
        str(line.get_label()): dict(np.column_stack((line.get_xdata(), line.get_ydata())).tolist()) for line in lines
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset_digest": "d2", "dataset_split": "val50k"}, ("val5k", "val50k")),
        ({"dataset_digest": "d2", "dataset_n": 1000}, ("n = 10", "n = 1,000")),
        ({"dataset_digest": "d2"}, ("d1", "d2")),
        ({"protocol_hash": "h2", "protocol_name": "native"}, ("paper", "native")),
        ({"protocol_hash": "0123456789"}, ("h1", "01234567")),
        ({"model_sha256": "b2", "model_weights": "mine"}, ("w", "mine")),
        ({"model_sha256": "b2"}, ("a1", "b2")),
        ({"environment_precision": "bf16"}, ("fp32", "bf16")),
        ({"environment_precision": "bf16", "model_sha256": "b2"}, ("a1, fp32", "b2, bf16")),
    ],
)
def test_what_was_measured_otherwise_is_another_curve(changes: dict[str, Any], told: tuple[str, str]) -> None:
    runs = [hinted(n, 20 + n) for n in (0, 3)] + [hinted(n, 30 + n, **changes) for n in (3, 0)]
    first, second = (f"siggraph17 on imagenet ({text})" for text in told)
    assert drawn(runs) == {first: {0: 20, 3: 23}, second: {0: 30, 3: 33}}


def test_weights_without_a_digest_are_told_by_their_name() -> None:
    runs = [hinted(3, 20, model_sha256=None), hinted(3, 30, model_sha256=None, model_weights="random")]
    assert sorted(drawn(runs)) == ["siggraph17 on imagenet (random)", "siggraph17 on imagenet (w)"]


def test_the_newest_run_counts() -> None:
    ends = [datetime(2026, 1, day) for day in (3, 9, 5)]
    runs = [hinted(3, psnr, environment_end=end) for psnr, end in zip((20, 21, 22), ends, strict=True)]
    assert drawn(runs) == {"siggraph17 on imagenet": {3: 21}}


def test_models_without_hints_are_left_out() -> None:
    runs = [hinted(0, 25, model_name="ddcolor"), hinted(0, 20), hinted(3, 24)]
    assert drawn(runs) == {"siggraph17 on imagenet": {0: 20, 3: 24}}


def test_no_curve_is_dropped_however_many_there_are() -> None:
    axes = psnr_against_hints([hinted(1, 20 + i, model_name=f"model{i:02d}") for i in range(25)]).axes[0]
    assert len(axes.lines) == 25
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 25
