"""Small Runs in a store, with values and pictures of four photographs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_runs import made
from numpy.typing import NDArray
from PIL import Image

from bench.runs import Run, Store

PHOTOS = ("a", "b", "c", "d")
CF_TARGET = (30.0, 40.0, 50.0, 80.0)
CPU = {"type": "cpu", "name": "A CPU", "threads": 2}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and an interval that is not symmetric, so that its ends cannot be mixed up."""
    mean = float(np.mean(values))
    return mean, mean - 1, mean + 3


def pictures_of(what: str) -> list[NDArray[np.uint8]]:
    """Four pictures of 24 x 24 random colours, others for every model and for the originals (``"target"``)."""
    rng = np.random.default_rng(zlib.crc32(what.encode()))
    return [rng.integers(0, 256, (24, 24, 3), dtype=np.uint8) for _ in PHOTOS]


def put(
    root: Path,
    model: str = "first",
    columns: Mapping[str, Sequence[float]] | None = None,
    metrics: Mapping[str, Any] | None = None,
    kept: Sequence[int] = (0, 1, 2, 3),
    reference: bool = True,
    **changes: Any,
) -> Run:
    """Write a Run into the store at ``root``.

    Args:
        columns: values of each photograph; their means and intervals are numbers of the Run.
        metrics: further numbers, as ``made`` takes them.
        kept: photographs whose pictures are there.
        reference: whether the originals have colours.
        changes: as ``made`` takes them.
    """
    columns = {"psnr": (20, 22, 24, 26), "cf": (10, 20, 30, 40)} if columns is None else columns
    rows = pd.DataFrame({"index": range(4), "name": PHOTOS, **{k: np.array(v, float) for k, v in columns.items()}})
    if reference:
        rows["cf_target"] = CF_TARGET
    numbers = {name: interval(values) for name, values in columns.items()} | dict(metrics or {})
    facts: dict[str, Any] = {
        "dataset__name": "photos", "dataset__split": "all", "dataset__n": 4, "dataset__expected": 4,
        "dataset__gray": 0 if reference else None, "environment__device": CPU,
    }  # fmt: skip
    run = made(model, numbers, **facts | changes)
    samples = root / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    for index in kept:
        for which, what in (("prediction", model), ("target", "target")):
            Image.fromarray(pictures_of(what)[index]).save(samples / f"{index:06d}.{which}.png")
    Store(root).write(run, rows, samples)
    return run
