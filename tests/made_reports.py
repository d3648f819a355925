"""Runs with values and pictures of each photograph, and reports of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_runs import made
from PIL import Image

from bench.metrics import NUMBERS
from bench.report import write_report
from bench.runs import Run, Store
from bench.selection import select

PER_IMAGE = ("psnr", "ssim", "cf", "dcf_image")
HOSTILE = (
    "<script>window.hacked = 1</script>.png",
    '"><img src=x onerror="window.hacked = 2">\'.jpg',
    "</script><script>window.hacked = 3</script>",
    "{{ 7 * 7 }} &amp; ${hacked} \u2028 \u202egnp.exe 写真 é",
)


def put_run(
    store: Path,
    model: str,
    names: Sequence[str],
    failed: Sequence[int] = (),
    kept: Sequence[int] | None = None,
    reference: bool = True,
    side: int = 16,
    **changes: Any,
) -> Run:
    """A Run with random values per photograph, and random pictures of those ``kept`` (default: of all)."""
    rng = np.random.default_rng(len(model))
    columns = PER_IMAGE if reference else ("cf",)
    rows = pd.DataFrame({"name": names, **{column: rng.uniform(0.1, 40, len(names)) for column in columns}})
    if reference:
        rows["cf_target"] = np.linspace(20, 30, len(names))
        rows["gray"] = [0.0] * (len(names) - 1) + [1.0]
    rows = rows.drop(index=list(failed)).reset_index(names="index")
    samples = store / "samples"
    samples.mkdir(parents=True)
    for i in rows["index"] if kept is None else kept:
        for what in ("target", "prediction"):
            seed = i if what == "target" else 1000 + i + 100 * len(model)
            pixels = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(samples / f"{i:06d}.{what}.png")
    facts: dict[str, Any] = {
        "dataset__n": len(rows), "dataset__expected": len(names), "dataset__gray": 1 if reference else None,
        "dataset__name": "coco" if reference else "historical", "dataset__split": "val2017" if reference else "all",
        "dataset__digest": ("d" if reference else "h") * 64,
    }  # fmt: skip
    means = {column: (float(np.mean(rows[column])), 1.0, 30.0) for column in columns}
    failures = [{"name": names[i], "reason": "<b>damaged</b> & cut"} for i in failed]
    facts |= {"failures": failures, "complete": not failed}
    run = made(model, means | {"fid": "its weights are not here"}, **facts | changes)
    Store(store).write(run, rows, samples)
    return run


def page_of(store: Path, out: Path, **options: Any) -> Path:
    """A report; without plots, which take their time, unless some are asked for."""
    options = {"plots": ()} | options
    return write_report(Store(store), select(store), out, **options)


def printed(run: Run, name: str, value: float) -> str:
    """A number of a Run as tables print it."""
    return f"{value:.{NUMBERS[name].decimals}f}"
