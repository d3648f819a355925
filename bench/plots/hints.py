"""PSNR against the number of colour hints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from bench.errors import BenchError
from bench.labels import MODEL
from bench.plots.numbers import axis_label
from bench.plots.series import Look, Panel, legend, looks, panels
from bench.plots.style import HEIGHT, INK, WIDTH, style, wrapped
from bench.runs import Run

_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def psnr_against_hints(runs: Sequence[Run], published: Path | None = None) -> Figure:
    """How much each further colour hint helps (the curve of Zhang et al. 2017), with 95 % intervals.

    A curve joins Runs of one model, with the same weights, photographs, protocol and precision; of several Runs with as
    many hints the newest counts.

    Args:
        runs: of models that take hints; other Runs are left out.
        published: CSV with columns model, hints, psnr, source: drawn dashed, since its photographs differ.

    Raises:
        BenchError: no Run was measured with hints, or ``published`` is no such table.
    """
    curves = [(panel, found) for panel in panels(runs) if (found := _curves(panel, runs))]
    if not curves:
        raise BenchError(
            "no Run with hints and PSNR is among these. Measure some: "
            "bench run --model siggraph17 --dataset imagenet --hints 5 (and 0, 1, 10, 50, ...)."
        )
    reported = None if published is None else _reported(published)
    with style():
        figure = Figure((WIDTH, HEIGHT * len(curves) + 0.3), layout="constrained")
        entries: dict[str, Artist] = {}
        for axes, (panel, found) in zip(figure.subplots(len(curves), 1, squeeze=False).flat, curves, strict=True):
            for look, curve in found:
                table = pd.DataFrame([{"hints": run.hints, **run.metrics["psnr"].model_dump()} for run in curve])
                (entries[look.label],) = axes.plot(
                    table["hints"], table["value"], color=look.colour, marker=look.marker, markersize=4, clip_on=False
                )
                low, high = table["low"].astype(float), table["high"].astype(float)
                axes.fill_between(table["hints"], low, high, color=look.colour, alpha=0.2, linewidth=0)
            if reported is not None:
                (line,) = axes.plot(reported["hints"], reported["psnr"], "--", color=INK)
                entries[f"{reported['model'][0]}, published"] = line
            axes.set(xscale="symlog", xlabel="hints per photograph", ylabel=axis_label("psnr"), xlim=(0, None))
            axes.set_title(wrapped(panel.title, WIDTH - 0.6, 9), loc="left")
            axes.set_xticks([hints for hints in _TICKS if hints <= axes.get_xlim()[1]], minor=False)
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_locator(NullLocator())
        legend(figure, entries)
    return figure


def _reported(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path).astype({"model": str, "hints": float, "psnr": float})
    except (OSError, ValueError, KeyError) as error:  # pandas' and Unicode errors are ValueErrors
        raise BenchError(f"{path} is no CSV of a published curve, with columns model, hints, psnr: {error}.") from error
    if table.empty:
        raise BenchError(f"{path} holds no line of a published curve.")
    return table


def _curves(panel: Panel, runs: Sequence[Run]) -> list[tuple[Look, list[Run]]]:
    """Runs that belong together, each by ascending hints; without those that never had a hint."""
    look = looks(runs, MODEL)
    found: dict[Look, list[Run]] = defaultdict(list)
    for run in sorted(panel.runs, key=lambda run: run.hints):
        psnr = run.metrics.get("psnr")
        if psnr is not None and psnr.value is not None:
            found[look(run)].append(run)
    return [(its, curve) for its, curve in found.items() if curve[-1].hints]
