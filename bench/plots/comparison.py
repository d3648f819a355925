"""The photographs on which two Runs differ most, side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.comparison import Comparison
from bench.errors import BenchError
from bench.images import read_rgb
from bench.metrics import NUMBERS
from bench.plots.photos import Pixels, gray
from bench.plots.style import style, wrapped

_SIDE = 1.45  # inches of a picture
_SMALL = 7
_CHARACTERS = 24  # of the small letters that fit below it


def kept(comparison: Comparison) -> pd.DataFrame:
    """The rows of the photographs whose pictures both Runs kept."""
    a, b = comparison.a, comparison.b

    def there(index: int) -> bool:
        return all(p.is_file() for p in (a.picture(index, "target"), *(s.picture(index, "prediction") for s in (a, b))))

    return comparison.rows[[there(index) for index in comparison.rows["index"]]]


def extremes(comparison: Comparison, number: str, photos: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the kept photographs those where A is better by most, and those where B is; at most ``photos`` each.

    Raises:
        BenchError: the number was not compared, or both Runs kept no photograph.
    """
    if number not in comparison.differences:
        there = ", ".join(comparison.differences)
        raise BenchError(f"{number!r} was not compared photograph by photograph; choose by --metric {there}.")
    rows = kept(comparison)
    if rows.empty:
        raise BenchError(
            f"{comparison.a.label} and {comparison.b.label} kept no pictures of the same photograph of "
            f"{comparison.a.dataset}. Measure both again with more of them: bench run --samples 100 --no-resume."
        )
    rows = rows.assign(advantage=comparison.advantage(number)).sort_values("advantage", kind="stable")
    return rows[rows["advantage"] > 0][: -photos - 1 : -1], rows[rows["advantage"] < 0][:photos]


def photographs_that_differ(comparison: Comparison, number: str, photos: int = 3) -> Figure:
    """Where either side is better by most, of the photographs whose pictures both kept: input, A, B, original.

    Args:
        comparison: of two Runs.
        number: by which the photographs are chosen; its values stand under the pictures.
        photos: for each side.

    Raises:
        BenchError: the number was not compared, or there are no pictures.
    """
    sides = (comparison.a, comparison.b)
    groups = extremes(comparison, number, photos)
    drawn = [(side.label, row) for side, rows in zip(sides, groups, strict=True) for row in rows.to_dict("records")]
    if not drawn:
        raise BenchError(f"{sides[0].label} and {sides[1].label} are equal in {number} wherever both kept pictures.")
    has_original = comparison.a.run.dataset.gray is not None
    heads = ["input", *(side.label for side in sides), *(["original"] if has_original else [])]
    with style():
        figure = Figure((_SIDE * len(heads), (_SIDE + 0.16) * len(drawn) + 0.2), layout=_layout())
        grid = figure.subplots(len(drawn), len(heads), squeeze=False)
        for head, axes in zip(heads, grid[0], strict=True):
            axes.set_title(wrapped(head, _SIDE))
        for (winner, row), line in zip(drawn, grid, strict=True):
            target = read_rgb(sides[0].picture(row["index"], "target"))
            pictures = [gray(target), *(read_rgb(side.picture(row["index"], "prediction")) for side in sides), target]
            values = [row["name"], *(_value(number, row[f"{number}_{side}"]) for side in "ab"), ""]
            better = [False, *(side.label == winner for side in sides), False]
            for axes, picture, below, bold in zip(line, pictures, values, better, strict=False):
                _show(axes, picture, below, bold)
            line[0].set_ylabel(_shortened(f"{winner} better"), fontsize=_SMALL)
    return figure


def caption(comparison: Comparison, number: str, photos: int = 3) -> str:
    """What the figure shows, and how many photographs it could choose from."""
    a, b = (len(rows) for rows in extremes(comparison, number, photos))
    return (
        f"the {a} photographs on which {comparison.a.label} is better by most in "
        f"{NUMBERS[number].label}, then the {b} on which {comparison.b.label} is, of the {len(kept(comparison))} (of "
        f"{len(comparison.rows)} measured) whose pictures both Runs kept."
    )


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)


def _show(axes: Axes, picture: Pixels, below: str, bold: bool) -> None:
    axes.imshow(picture, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(_shortened(below), fontsize=_SMALL, labelpad=2, fontweight="bold" if bold else "normal")


def _value(number: str, value: float) -> str:
    found = NUMBERS[number]
    return f"{found.label} {value:.{found.decimals}f} {found.unit}".rstrip()


def _shortened(text: str) -> str:
    """The end of a name tells more than its beginning: ``…ation/ADE_val_00000001``."""
    return text if len(text) <= _CHARACTERS else "…" + text[1 - _CHARACTERS :]
