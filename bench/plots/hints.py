"""PSNR against the number of colour hints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.plots.style import HEIGHT, WIDTH, palette, style
from bench.runs import Run

Aspect = tuple[Callable[[Run], str], ...]
# What makes a curve another one, besides the model's name; each in ways to write it, from readable to exact.
_ASPECTS: tuple[Aspect, ...] = (
    (lambda run: run.dataset.split, lambda run: f"n = {run.dataset.n:,}", lambda run: run.dataset.digest),
    (lambda run: run.protocol.name, lambda run: run.protocol.hash),
    (lambda run: run.model.weights, lambda run: run.model.sha256 or run.model.weights),
    (lambda run: run.environment.precision,),
)
_DIGITS = 8  # of a digest in a label


def psnr_against_hints(runs: Sequence[Run], published: Path | None = None) -> Figure:
    """How much each further colour hint helps (the curve of Zhang et al. 2017), with 95 % intervals.

    A curve joins Runs of one model, with the same weights, photographs, protocol and precision; of several Runs with as
    many hints the newest counts.

    Args:
        runs: of models that take hints; other Runs are left out.
        published: CSV with columns model, hints, psnr, source: drawn dashed, since its photographs differ.

    Raises:
        BenchError: no Run was measured with hints.
    """
    curves = _curves(runs)
    if not curves:
        raise BenchError(
            "no Run with hints is in the store. Measure some: "
            "bench run --model siggraph17 --dataset imagenet --hints 5 (and 0, 1, 10, 50, ...)."
        )
    with style():
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        for colour, curve, label in zip(palette(len(curves)), curves, _labels(curves), strict=True):
            table = pd.DataFrame([{"hints": run.hints, **run.metrics["psnr"].model_dump()} for run in curve])
            axes.plot(table["hints"], table["value"], "o-", color=colour, markersize=4, label=label)
            low, high = table["low"].astype(float), table["high"].astype(float)
            axes.fill_between(table["hints"], low, high, color=colour, alpha=0.2, linewidth=0)
        if published is not None:
            table = pd.read_csv(published)
            axes.plot(table["hints"], table["psnr"], "--", color="0.45", label=f"{table['model'][0]}, published")
        axes.set(xscale="symlog", xlabel="hints per photograph", ylabel="PSNR (dB)", xlim=(0, None))
        axes.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        axes.legend(frameon=False, fontsize="small")
    return figure


def _curves(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that belong together, each by ascending hints, one Run per number; without those that never had a hint."""
    newest: dict[tuple[str, ...], dict[int, Run]] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.environment.end):
        psnr = run.metrics.get("psnr")
        if psnr is not None and psnr.value is not None:
            newest[run.model.name, run.dataset.name, *(exact(run) for *_, exact in _ASPECTS)][run.hints] = run
    return [[points[n] for n in sorted(points)] for _, points in sorted(newest.items()) if any(points)]


def _labels(curves: Sequence[Sequence[Run]]) -> list[str]:
    """Model and dataset, and whatever else tells the curves of these two apart."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run, *_ in curves:
        alike[f"{run.model.name} on {run.dataset.name}"].append(run)
    labels = []
    for run, *_ in curves:
        title = f"{run.model.name} on {run.dataset.name}"
        told = [
            _written(aspect, alike[title])(run) for aspect in _ASPECTS if len(set(map(aspect[-1], alike[title]))) > 1
        ]
        labels.append(f"{title} ({', '.join(told)})" if told else title)
    return labels


def _written(aspect: Aspect, runs: Sequence[Run]) -> Callable[[Run], str]:
    """The most readable way to write an aspect that keeps apart what is different in it."""
    *readable, exact = aspect
    different = len(set(map(exact, runs)))
    return next((way for way in readable if len(set(map(way, runs))) == different), lambda run: exact(run)[:_DIGITS])
