"""The main numbers of every model, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.numbers import estimate, measured, require, whiskers
from bench.plots.photos import original_cf
from bench.plots.rows import name_rows, not_measured, rows_figure
from bench.plots.series import Panel, looks, panels
from bench.plots.style import reference_line, style
from bench.runs import Run, Store

SHOWN = ("fid", "fcd", "psnr", "ssim", "lpips_alex", "cf", "dcf")  # unless others are asked for


def metric_bars(store: Store, runs: Sequence[Run], metrics: Sequence[str] = ()) -> Figure:
    """One panel a number, the best model on top: its value and, where it has one, its 95 % interval.

    Dots instead of bars: the values need no zero, which would hide their differences.

    Args:
        store: of the Runs, for the colourfulness of the originals (the line in the panel of cf).
        runs: one block of panels for each dataset and protocol among them.
        metrics: numbers to draw; default: the common ones that were measured.

    Raises:
        UnknownNameError: there is no such number.
        BenchError: a number that is asked for was not measured, or none at all.
    """
    require(runs, metrics)
    blocks = [(panel, metrics or measured(panel.runs, SHOWN)) for panel in panels(runs)]
    blocks = [(panel, names) for panel, names in blocks if names]
    if not blocks:
        raise BenchError(f"none of {', '.join(SHOWN)} was measured in these Runs. Name others with --metrics.")
    look = looks(runs)

    def draw(axes: Axes, panel: Panel, name: str) -> None:
        ordered = sorted(panel.runs, key=lambda run: _place(run, name))
        for y, run in zip(name_rows(axes, [look(run).label for run in ordered]), ordered, strict=True):
            found, its = estimate(run, name), look(run)
            if found.value is None:
                not_measured(axes, y)
            else:
                axes.errorbar(
                    [found.value], [y], xerr=whiskers(found), fmt=its.marker, color=its.colour, markersize=4.5
                )
        if name == "cf" and (original := original_cf(store, panel.runs)) is not None:
            reference_line(axes, original, "originals")

    with style():
        return rows_figure(blocks, look, draw)


def _place(run: Run, name: str) -> tuple[bool, float]:
    """The best first, a model without this number last; where nothing is better or worse, the largest first."""
    value = estimate(run, name).value
    if value is None:
        return True, 0.0
    return False, value if NUMBERS[name].better == "lower" else -value
