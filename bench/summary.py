"""From rows and metric states to numbers with intervals, and to the table of per-image values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from bench.datasets import Dataset
from bench.metrics.base import ImageMetric, Metric
from bench.parts import Part
from bench.runs import Estimate
from bench.statistics import bootstrap_means, interval

if TYPE_CHECKING:
    import pandas as pd


def summarise(
    metrics: Sequence[Metric], parts: Sequence[Part], rows: Mapping[str, Tensor], seed: int
) -> dict[str, Estimate]:
    """Every number the metrics report: from the rows where it has one value per image, else from the merged states.

    One photograph has no interval.
    """
    n = len(rows["index"])
    found: dict[str, Estimate] = {}
    replicates = _replicates(metrics, rows, seed)
    for metric in metrics:
        if isinstance(metric, ImageMetric):
            values = metric.reduce({c: rows[c].mean().item() for c in metric.columns})
            spread = metric.intervals({c: replicates[c] for c in metric.columns}) if n > 1 else {}
            for name, value in values.items():
                low, high = spread.get(name, (None, None))
                found[name] = Estimate(value=float(value), low=low, high=high, n=n)
        else:
            metric.reset()
            for part in parts:
                metric.merge_tensors(part.states.get(type(metric).__name__, {}))
            for name, value in metric.compute().items():
                number = float(value)
                reason = None if number == number else "needs at least two photographs"
                found[name] = Estimate(value=None if reason else number, n=n, reason=reason)
    return found


def summarise_originals(metrics: Sequence[Metric], rows: Mapping[str, Tensor], seed: int) -> dict[str, Estimate]:
    """The numbers that the originals have themselves, such as their colourfulness."""
    n, replicates = len(rows["index"]), _replicates(metrics, rows, seed)
    found = {}
    for metric in metrics:
        for name, column in metric.originals.items() if isinstance(metric, ImageMetric) else ():
            low, high = interval(replicates[column]) if n > 1 else (None, None)
            found[name] = Estimate(value=rows[column].mean().item(), low=low, high=high, n=n)
    return found


def row_table(dataset: Dataset, rows: Mapping[str, Tensor]) -> pd.DataFrame:
    """One row per photograph: its place, its name, and every per-image value."""
    import pandas as pd

    columns = {column: values.numpy() for column, values in rows.items() if column != "index"}
    names = [dataset.names[i] for i in rows["index"].tolist()]
    return pd.DataFrame({"index": rows["index"].numpy(), "name": names, **dict(sorted(columns.items()))})


def _replicates(metrics: Sequence[Metric], rows: Mapping[str, Tensor], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Bootstrap means of every per-image column, from the same resamples (so that differences stay paired)."""
    columns = sorted({c for m in metrics if isinstance(m, ImageMetric) for c in m.columns})
    if not columns:
        return {}
    means = bootstrap_means(np.stack([rows[c].numpy() for c in columns], axis=1), seed=seed)
    return {column: means[:, i] for i, column in enumerate(columns)}
