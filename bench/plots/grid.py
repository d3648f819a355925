"""Photographs in rows, models in columns, between the gray input and the original."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.canvas import GAP, HEADLINE, LINE, POINTS, Canvas
from bench.plots.numbers import axis_label
from bench.plots.photos import Pixels, gray, picture, with_pictures
from bench.plots.series import Look, Panel, has_reference, looks, without
from bench.plots.style import FAINT, PAGE, WIDTH, style, wrapped
from bench.runs import Run, Store
from bench.tables.marks import competes

COUNT = 4  # photographs, unless others are asked for
_LEAST, _WANTED = 0.6, 0.78  # inches of a picture
_END = 0.12  # inches after a block

Chosen = Mapping[str, int]
Columns = Sequence[tuple[str, Callable[[str, int], tuple[Pixels, str]]]]
"""The head of each column, and what gives a photograph's picture and the text under it by its name and index."""


def qualitative_grid(
    store: Store,
    runs: Sequence[Run],
    photos: Sequence[str] = (),
    random: int | None = None,
    seed: int = 0,
    differ: int | None = None,
) -> Figure:
    """The same photographs by every model, with the PSNR of each; where that was not measured, with its cf.

    Args:
        store: of the Runs, with their kept pictures.
        runs: one block for each dataset and protocol among them; those without pictures are named under the figure.
        photos: names of photographs, or patterns; of several datasets each shows those that it has.
        random: draw as many at random.
        seed: of that draw.
        differ: as many as the models that compete differ most on: by the widest range of the number under the
            pictures. Four of them are the default.

    Raises:
        BenchError: photographs are chosen in two ways, or one has no pictures, or the Runs kept none in common.
    """
    if (bool(photos), random is not None, differ is not None).count(True) > 1:
        raise BenchError("choose photographs by --photos, by --random or by --differ, not by several of them.")
    found = with_pictures(store, runs)
    asked = _asked(photos, [its for _, its in found])
    look = looks(runs)
    blocks: list[_Block] = []
    for panel, its in found:
        number, values = _values(store, panel)
        if photos:
            names = [name for name in asked if name in its]
        elif random is not None:
            names = sorted(np.random.default_rng(seed).permutation(list(its))[:random], key=its.__getitem__)
        else:
            competing = [place for place, run in enumerate(panel.runs) if competes(run)]
            names = _widest(values.loc[list(its), competing], COUNT if differ is None else differ)
        if names:
            title = f"{panel.title}; below: {axis_label(number)}" if number else panel.title
            columns = _columns(store, panel, look, values, NUMBERS[number].decimals if number else 0)
            blocks.append(_Block(title.strip(), columns, {name: its[name] for name in names}))
    left_out = without(runs, [run for panel, _ in found for run in panel.runs], look, "pictures in common")
    with style():
        return _figure(blocks, left_out)


def _asked(patterns: Sequence[str], there: Sequence[Chosen]) -> list[str]:
    """The names that are asked for, in that order; a pattern stands for all that fit it."""
    known = list(dict.fromkeys(name for its in there for name in its))
    names: list[str] = []
    for pattern in patterns:
        fitting = [pattern] if pattern in known else fnmatch.filter(known, pattern)
        if not fitting:
            raise BenchError(
                f"no pictures of {pattern!r} were kept by all these Runs. There are pictures of: {', '.join(known)}. "
                "Measure with a larger --samples to have more."
            )
        names += fitting
    return list(dict.fromkeys(names))


def _values(store: Store, panel: Panel) -> tuple[str | None, pd.DataFrame]:
    """Which number stands under the pictures, and its values: a row for each photograph, a column for each Run."""
    tables = [store.rows(run).set_index("name") for run in panel.runs]
    number = next((name for name in ("psnr", "cf") if any(name in table for table in tables)), None)
    names = tables[0].index
    columns = [
        table[number].reindex(names) if number in table else pd.Series(index=names, dtype=float) for table in tables
    ]
    return number, pd.concat(columns, axis=1, keys=range(len(tables)))


def _widest(values: pd.DataFrame, count: int) -> list[str]:
    """The photographs on which the models lie farthest apart; of fewer than two models, the first."""
    spread = (values.max(axis=1) - values.min(axis=1)).fillna(0)
    return list(spread.sort_values(ascending=False, kind="stable").index[:count])


def _columns(
    store: Store, panel: Panel, look: Callable[[Run], Look], values: pd.DataFrame, decimals: int
) -> list[tuple[str, Callable[[str, int], tuple[Pixels, str]]]]:
    first, figures = panel.runs[0], values.to_dict("index")

    def model(place: int, run: Run) -> Callable[[str, int], tuple[Pixels, str]]:
        def cell(name: str, index: int) -> tuple[Pixels, str]:
            value = figures[name][place]
            return picture(store, run, index, "prediction"), "" if isnan(value) else f"{value:.{decimals}f}"

        return cell

    columns = [("input", lambda _, index: (gray(picture(store, first, index, "target")), ""))]
    columns += [(look(run).label, model(place, run)) for place, run in enumerate(panel.runs)]
    if has_reference(first):
        columns.append(("original", lambda _, index: (picture(store, first, index, "target"), "")))
    return columns


@dataclass(frozen=True)
class _Block:
    """What is drawn of one panel; its height is known before it is drawn."""

    title: str
    columns: Columns
    chosen: Chosen

    def headline(self, side: float) -> str:
        return wrapped(self.title, side * len(self.columns), 9)

    def heads(self, side: float) -> list[str]:
        return [wrapped(head, side, POINTS) for head, _ in self.columns]

    def captions(self, side: float) -> list[str]:
        """The names, each to stand under its row: beside the numbers if all fit there, else on lines of their own."""
        if all("\n" not in wrapped(name, side - GAP, POINTS) for name in self.chosen):
            return list(self.chosen)
        return ["\n" + wrapped(name, side * len(self.columns), POINTS) for name in self.chosen]

    def height(self, side: float) -> float:
        lines = _lines(self.heads(side)) + sum(_lines([caption]) for caption in self.captions(side))
        return HEADLINE * _lines([self.headline(side)]) + LINE * lines + (side + GAP) * len(self.chosen) + _END

    def draw(self, canvas: Canvas, y: float, side: float) -> None:
        """Downwards from ``y``; ``side`` is that of a picture with the gap beside it."""
        heads, headline = self.heads(side), self.headline(side)
        canvas.headline(headline, y)
        y += HEADLINE * _lines([headline]) + LINE * _lines(heads)
        for column, head in enumerate(heads):
            canvas.text(head, (column + 0.5) * side, y - 0.05, ha="center", va="baseline")
        for (name, index), caption in zip(self.chosen.items(), self.captions(side), strict=True):
            for column, (_, cell) in enumerate(self.columns):
                pixels, text = cell(name, index)
                canvas.picture(pixels, column * side, y, side - GAP, side - GAP)
                canvas.text(text, (column + 0.5) * side, y + side, ha="center")
            canvas.text(caption, 0, y + side)
            y += side + LINE * _lines([caption]) + GAP


def _lines(texts: Sequence[str]) -> int:
    """Of the longest."""
    return 1 + max(text.count("\n") for text in texts)


def _figure(blocks: Sequence[_Block], note: str) -> Figure:
    most = max(len(block.columns) for block in blocks)
    side = max(_LEAST, min(PAGE / most, max(_WANTED, WIDTH / most)))
    heights = [block.height(side) for block in blocks]
    note = wrapped(note, side * most, POINTS)
    canvas = Canvas(side * most, sum(heights) + (LINE * _lines([note]) if note else 0))
    canvas.text(note, 0, sum(heights), color=FAINT)
    for block, end, height in zip(blocks, np.cumsum(heights), heights, strict=True):
        block.draw(canvas, end - height, side)
    return canvas.figure
