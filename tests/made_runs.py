"""Runs as if measured, for tests of what is made from Runs."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from bench.protocol import load_protocol
from bench.runs import Run, Store

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def made(model: str = "ddcolor", metrics: dict[str, Any] | None = None, **changes: Any) -> Run:
    """A Run of official weights on all of ImageNet val5k under today's protocol ``paper``.

    Args:
        metrics: name -> value, (value, low, high), or a reason why there is none.
        changes: of the record; ``PART__KEY`` for a key of a part, e.g. ``dataset__split``.
    """
    record: dict[str, Any] = {
        "complete": True,
        "model": {
            "name": model, "family": model, "parameters": 1_234_567, "macs": 2_500_000_000, "weights": "paper",
            "source": "official", "sha256": hashlib.sha256(model.encode()).hexdigest(),
        },
        "dataset": {
            "name": "imagenet", "split": "val5k", "n": 5000, "expected": 5000, "complete": True, "digest": "d" * 64,
        },
        "protocol": {"name": "paper", "hash": load_protocol("paper").hash, "definition": {}},
        "metrics": {name: _estimate(value) for name, value in (metrics or {}).items()},
        "speed": {
            "images_per_second": 12.5, "latency_ms": 80, "peak_memory_mb": 512, "batch_size": 16, "processes": 1,
        },
        "seed": 0,
        "environment": {
            "code_version": "0", "commit": None, "dirty": None, "code_digest": "", "libraries": {},
            "device": {"type": "cuda", "name": "NVIDIA H200"}, "precision": "fp32", "command": "bench run",
            "start": BEGUN, "end": BEGUN + timedelta(hours=1),
        },
    }  # fmt: skip
    for path, value in changes.items():
        *parts, key = path.split("__")
        place = record
        for part in parts:
            place = place[part]
        place[key] = value
    text = json.dumps(record, sort_keys=True, default=str)
    return Run.model_validate({"key": hashlib.sha256(text.encode()).hexdigest()[:10], **record})


def stored(runs: list[Run], folder: Path) -> Path:
    """The folder as a store of these Runs, without values per image."""
    for run in runs:
        Store(folder).write(run, pd.DataFrame({"name": []}))
    return folder


def _estimate(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"reason": value}
    if isinstance(value, tuple):
        return dict(zip(("value", "low", "high"), value, strict=True), n=5000)
    return {"value": value, "n": 5000}
