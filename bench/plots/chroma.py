"""Which colours the models use, against those of the originals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from bench.plots.photos import Pixels, picture, with_pictures
from bench.plots.series import Look, has_reference, headline, looks, without
from bench.plots.style import FAINT, INK, WIDTH, style, wrapped
from bench.runs import Run, Store

LIMIT = 110  # of a* and b*: sRGB has no colours beyond
CELLS = 55  # along each axis of the plane, of 4 units
HUES = 72  # bins of the circle, of 5 degrees
MOST = 48  # pictures of a Run; more change the densities little and take minutes
_COLUMNS = 3
_PLANE, _HUES, _LINE = 1.15, 0.34, 0.14  # inches: side of a plane, row of hues, line of a name
_MIDDLES = (np.arange(CELLS) + 0.5) * 2 * LIMIT / CELLS - LIMIT
_LEAST_HUE = 0.02  # top of the axis where there is hardly any chroma: what rounding leaves is no colour
_ORIGINALS = Look("originals", (0.25, 0.25, 0.25), "")


@dataclass(frozen=True)
class Colours:
    """What colours some pictures hold.

    Args:
        plane: (CELLS, CELLS) share of the pixels in each cell of b* (row) and a* (column).
        hues: (HUES,) chroma per pixel and degree of hue; its integral is the mean chroma.
    """

    plane: NDArray[np.float64]
    hues: NDArray[np.float64]


def colours_of(pictures: Iterable[Pixels]) -> Colours:
    """Count the colours of all pixels of pictures (H, W, 3) uint8 RGB."""
    edges, degrees = np.linspace(-LIMIT, LIMIT, CELLS + 1), np.linspace(0, 360, HUES + 1)
    plane, hues, pixels = np.zeros((CELLS, CELLS)), np.zeros(HUES), 0
    for rgb in pictures:
        a, b = rgb2lab(rgb)[..., 1:].reshape(-1, 2).T
        plane += np.histogram2d(b, a, (edges, edges))[0]
        hues += np.histogram(np.degrees(np.arctan2(b, a)) % 360, degrees, weights=np.hypot(a, b))[0]
        pixels += a.size
    return Colours(plane / pixels, hues / pixels / (360 / HUES))


def chroma_histograms(store: Store, runs: Sequence[Run]) -> Figure:
    """Densities in the plane of a* and b*, all on one logarithmic scale, and how much chroma there is of each hue.

    Args:
        store: of the Runs. Those photographs count whose pictures all Runs of a panel kept; of more than ``MOST``,
            as many spread evenly.
        runs: one block for each dataset and protocol among them; those without pictures are named under the figure.

    Raises:
        BenchError: there is no Run, or they kept no pictures of the same photographs.
    """
    look, drawn = looks(runs), with_pictures(store, runs)
    blocks = []
    for panel, kept in drawn:
        photos = list(kept.values())
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, min(len(photos), MOST)).astype(int)]
        found = {look(run): colours_of(picture(store, run, i, "prediction") for i in photos) for run in panel.runs}
        if has_reference(panel.runs[0]):
            originals = colours_of(picture(store, panel.runs[0], i, "target") for i in photos)
            found = {_ORIGINALS: originals, **found}
        pictures = f"{len(photos)} picture{'' if len(photos) == 1 else 's'}"
        blocks.append((f"{panel.title}; {pictures}", found))
    with style():
        heights = [(_planes_height(found) + 0.6, _hues_height(found) + 0.5) for _, found in blocks]
        note = without(runs, [run for panel, _ in drawn for run in panel.runs], look, "pictures in common")
        note = wrapped(note, WIDTH - 0.3, 7)
        figure = Figure(
            (WIDTH, sum(map(sum, heights)) + (_LINE * (note.count("\n") + 2) if note else 0)), layout="constrained"
        )
        if note:
            figure.supxlabel(note, size=7, color=FAINT)
        parts = figure.subfigures(len(blocks), 1, height_ratios=list(map(sum, heights)), squeeze=False).flat
        for part, (title, found), its in zip(parts, blocks, heights, strict=True):
            above, below = part.subfigures(2, 1, height_ratios=its)
            headline(above, title)
            _draw_planes(above, found)
            _draw_hues(below, found)
    return figure


def _planes_height(found: dict[Look, Colours]) -> float:
    lines = max(_name(look).count("\n") + 1 for look in found)
    return ceil(len(found) / _COLUMNS) * (_PLANE + _LINE * lines)


def _hues_height(found: dict[Look, Colours]) -> float:
    lines = max(_name(look).count("\n") + 1 for look in found)
    return len(found) * max(_HUES, _LINE * lines)


def _name(look: Look) -> str:
    return wrapped(look.label, _PLANE, 7)


def _draw_planes(part: SubFigure, found: dict[Look, Colours]) -> None:
    """One square for each model, with what it uses of the plane; the scale is common."""
    taken = [colours.plane > 0 for colours in found.values()]
    most = max(colours.plane.max() for colours in found.values())
    least = min(colours.plane[its].min() for colours, its in zip(found.values(), taken, strict=True))
    norm = LogNorm(min(least, most / 10), most)
    reach = max(30, 10 * ceil(max(np.abs(_MIDDLES[np.argwhere(its)]).max() for its in taken) / 10))
    grid = part.subplots(ceil(len(found) / _COLUMNS), _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes, (look, colours) in zip(grid.flat, found.items(), strict=False):
        image = axes.imshow(
            np.ma.masked_equal(colours.plane, 0), origin="lower", extent=(-LIMIT, LIMIT, -LIMIT, LIMIT), norm=norm,
            cmap=sns.color_palette("mako_r", as_cmap=True), interpolation="nearest",
            zorder=1,
        )  # fmt: skip
        axes.axhline(0, color="0.8", linewidth=0.5, zorder=0)
        axes.axvline(0, color="0.8", linewidth=0.5, zorder=0)
        ticks = MultipleLocator(50 if reach > 50 else 20)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.xaxis.set_major_locator(ticks)
        axes.yaxis.set_major_locator(ticks)
        axes.tick_params(labelsize=6, length=2)
        axes.set_title(_name(look), size=7)
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    grid[0, 0].set_ylabel("b*", labelpad=0, size=7)
    grid[-1, 0].set_xlabel("a*", labelpad=0, size=7)
    bar = part.colorbar(image, ax=grid, location="bottom", fraction=0.05, shrink=0.5, aspect=35, pad=0.02)
    bar.set_label("share of pixels (%)", size=7)
    bar.ax.xaxis.set_major_locator(LogLocator(subs=(1,) if most / least > 50 else (1, 2, 5), numticks=5))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=6, length=2)


def _draw_hues(part: SubFigure, found: dict[Look, Colours]) -> None:
    """One row for each model: chroma over hue, with the originals' outline."""
    middles = (np.arange(HUES) + 0.5) * 360 / HUES
    grid = part.subplots(len(found), 1, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (look, colours) in zip(grid, found.items(), strict=True):
        axes.fill_between(middles, colours.hues, color=look.colour, alpha=0.75, linewidth=0)
        if _ORIGINALS in found:
            axes.plot(middles, found[_ORIGINALS].hues, color=INK, linewidth=0.7, linestyle="--")
        axes.set_ylabel(_name(look), rotation=0, ha="right", va="center", size=7)
        axes.tick_params(labelsize=6, length=2)
    highest = max(_LEAST_HUE, *(1.05 * colours.hues.max() for colours in found.values()))
    grid[-1].set(xlim=(0, 360), ylim=(0, highest), xticks=range(0, 361, 90))
    grid[-1].set_xlabel("hue (degrees)", size=7)
    inch = len(found) / _hues_height(found)  # in heights of a row, about
    strip = grid[-1].inset_axes((0, -0.1 * inch, 1, 0.07 * inch))
    angles = np.radians(np.arange(360))
    lab = np.stack((np.full(360, 70.0), 45 * np.cos(angles), 45 * np.sin(angles)), axis=-1)[None]
    strip.imshow(lab2rgb(lab), extent=(0, 360, 0, 1), aspect="auto")
    strip.set_axis_off()
    grid[-1].tick_params(axis="x", pad=9, length=0)
    grid[0].set_title("chroma per degree of hue", size=7, loc="left")
