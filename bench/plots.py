"""Runs as pictures: one style, colour-blind safe, readable at the width of a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.runs import Run

STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
}
WIDTH, HEIGHT = 4.2, 3.0  # inches


def psnr_against_hints(runs: Sequence[Run], published: Path | None = None) -> Figure:
    """How much each further colour hint helps (the curve of Zhang et al. 2017), with 95 % intervals.

    Args:
        runs: of models that take hints; other Runs are left out.
        published: CSV with columns model, hints, psnr, source: drawn dashed, since its photographs differ.

    Raises:
        BenchError: no Run was measured with hints.
    """
    rows = [
        {"model": run.model.name, "dataset": run.dataset.name, "hints": run.hints, **psnr.model_dump()}
        for run in runs
        if (psnr := run.metrics.get("psnr")) is not None and psnr.value is not None
    ]
    hinted = {(row["model"], row["dataset"]) for row in rows if row["hints"]}
    rows = sorted((r for r in rows if (r["model"], r["dataset"]) in hinted), key=lambda r: (r["model"], r["hints"]))
    if not rows:
        raise BenchError(
            "no Run with hints is in the store. Measure some: "
            "bench run --model siggraph17 --dataset imagenet --hints 5 (and 0, 1, 10, 50, ...)."
        )
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        colours = sns.color_palette("colorblind")
        for colour, (curve, points) in zip(colours, pd.DataFrame(rows).groupby(["model", "dataset"]), strict=False):
            axes.plot(points["hints"], points["value"], "o-", color=colour, markersize=4, label=" on ".join(curve))
            axes.fill_between(points["hints"], points["low"], points["high"], color=colour, alpha=0.2, linewidth=0)
        if published is not None:
            table = pd.read_csv(published)
            axes.plot(table["hints"], table["psnr"], "--", color="0.45", label=f"{table['model'][0]}, published")
        axes.set(xscale="symlog", xlabel="hints per photograph", ylabel="PSNR (dB)", xlim=(0, None))
        axes.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        axes.legend(frameon=False, fontsize="small")
    return figure
