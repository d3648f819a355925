"""Statistics of the originals, which every model shares: measured once per dataset and preprocessing, then cached."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.cache import cache_dir, write_atomically
from bench.metrics.base import Metric
from bench.metrics.frechet import FrechetMetric, Statistics


class ReferenceStatistics:
    """The cached Gaussians of one dataset under one preprocessing.

    Args:
        facts: all that decides the originals' features: dataset digest, preprocessing, code digest, device type.
        n: how many photographs the dataset has.
    """

    def __init__(self, facts: dict[str, Any], n: int) -> None:
        self.n = n
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = cache_dir() / "reference" / digest

    def read(self, metrics: Sequence[Metric]) -> dict[str, Statistics]:
        """What is known, by the name of the metric."""
        found = {}
        for metric in metrics:
            if isinstance(metric, FrechetMetric):
                known = self._read(self._path(metric))
                if known is not None and known.n == self.n:
                    found[type(metric).__name__] = known
        return found

    @staticmethod
    def give(metrics: Sequence[Metric], known: dict[str, Statistics]) -> None:
        """Tell the metrics what is known, so that they skip the originals."""
        for metric in metrics:
            if isinstance(metric, FrechetMetric) and type(metric).__name__ in known:
                metric.load_target_statistics(known[type(metric).__name__])

    def keep(self, metrics: Sequence[Metric]) -> None:
        """Remember what the metrics have seen of the whole dataset."""
        for metric in metrics:
            if isinstance(metric, FrechetMetric) and not self._path(metric).is_file():
                found = metric.target_statistics()
                if found.n != self.n:
                    raise ValueError(f"{type(metric).__name__} has seen {found.n} of {self.n} originals")
                buffer = io.BytesIO()
                np.savez(buffer, n=found.n, mean=found.mean, cov=found.cov)
                write_atomically(self._path(metric), buffer.getvalue())

    def _path(self, metric: Metric) -> Path:
        return self.folder / f"{type(metric).__name__}.npz"

    @staticmethod
    def _read(path: Path) -> Statistics | None:
        try:
            with np.load(path) as file:
                return Statistics(int(file["n"]), file["mean"], file["cov"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None  # absent or damaged: measured anew
