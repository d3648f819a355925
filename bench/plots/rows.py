"""Figures with a panel for each number, and in it one row for each model, its name on the left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.plots.numbers import axis_label
from bench.plots.series import Look, Panel, headline
from bench.plots.style import FAINT, WIDTH, wrapped
from bench.runs import Run

Block = tuple[Panel, Sequence[str]]
_LINE, _NAME = 0.135, 1.9  # inches of a line of a name, and the longest it may be
_HEAD, _FRAME = 0.3, 0.5  # inches of a block's headline, and above and below the rows of a panel
_SHORT = 15  # characters of names that leave room for two panels side by side


def rows_figure(
    blocks: Sequence[Block], look: Callable[[Run], Look], draw: Callable[[Axes, Panel, str], None], spare: int = 0
) -> Figure:
    """A block for each dataset and protocol, in it a panel for each number. To be called within ``style()``.

    Args:
        blocks: what to show of which Runs.
        look: of the models; their names decide on the layout.
        draw: fills one panel.
        spare: rows besides those of the models.
    """
    names = [look(run).label for panel, _ in blocks for run in panel.runs]
    columns = 1 if any(len(name) > _SHORT for name in names) else 2
    heights = [
        _HEAD
        + ceil(len(numbers) / columns) * (_FRAME + _LINE * (spare + sum(_lines(look(run).label) for run in panel.runs)))
        for panel, numbers in blocks
    ]
    figure = Figure((WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False).flat
    for part, (panel, numbers) in zip(parts, blocks, strict=True):
        headline(part, panel.title)
        grid = part.subplots(ceil(len(numbers) / columns), columns, squeeze=False).ravel()
        for axes, number in zip(grid, numbers, strict=False):
            axes.set_title(axis_label(number), loc="left")
            draw(axes, panel, number)
        for axes in grid[len(numbers) :]:
            axes.set_axis_off()
    return figure


def name_rows(axes: Axes, names: Sequence[str]) -> list[float]:
    """Write the names, from the top, and return the y of each row; a row is as high as its name has lines."""
    ends = np.cumsum([_lines(name) for name in names])
    middles: list[float] = ((ends + np.concatenate(([0], ends[:-1]))) / 2).tolist()
    axes.set_yticks(middles, [wrapped(name, _NAME, 7.5) for name in names])
    axes.set(ylim=(ends[-1], 0))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    return middles


def not_measured(axes: Axes, y: float) -> None:
    """Say so in a row that would be empty."""
    axes.text(0.02, y, "not measured", transform=axes.get_yaxis_transform(), va="center", color=FAINT, size=7)


def _lines(name: str) -> int:
    return wrapped(name, _NAME, 7.5).count("\n") + 1
