"""Statistics of the originals, which every model shares: measured once per dataset and preprocessing, then cached."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.cache import cache_dir, write_atomically
from bench.metrics.base import Metric
from bench.metrics.frechet import FrechetMetric, Statistics


class ReferenceStatistics:
    """The cached Gaussians of one dataset under one preprocessing.

    Args:
        facts: all that decides the originals' features: dataset digest, preprocessing, code digest, device type.
    """

    def __init__(self, facts: dict[str, str]) -> None:
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = cache_dir() / "reference" / digest

    def give(self, metrics: Sequence[Metric]) -> None:
        """Tell the metrics what is known, so that they skip the originals."""
        for metric in metrics:
            if isinstance(metric, FrechetMetric):
                known = self._read(self._path(metric))
                if known is not None:
                    metric.load_target_statistics(known)

    def keep(self, metrics: Sequence[Metric]) -> None:
        """Remember what the metrics have seen of the whole dataset."""
        for metric in metrics:
            if isinstance(metric, FrechetMetric) and not self._path(metric).is_file():
                found = metric.target_statistics()
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
