"""The curves of one or several trainings."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.numbers import axis_label
from bench.plots.series import legend
from bench.plots.style import WIDTH, palette, style

_HEIGHT = 1.25  # inches of a panel
_COLUMNS = 2
_SPAN = 20  # a curve is smoothed over a 20th of its points
_RATE = "learning rate"


def training_curves(folders: Sequence[Path]) -> Figure:
    """Losses (smoothed, with the raw values behind), numbers of the validation and learning rate over steps.

    Args:
        folders: of trainings, each with its ``metrics.csv``; they are overlaid.

    Raises:
        BenchError: a folder has no such file, or nothing is written in it yet.
    """
    if not folders:
        raise BenchError("name the folder of a training, as runs/ddcolor-mini.")
    logs = [_read(folder) for folder in folders]
    names = list(dict.fromkeys(name for log in logs for name in log["name"]))
    names = [name for kind in ("loss/", "validation/", _RATE) for name in names if name.startswith(kind)]
    with style():
        rows = ceil(len(names) / _COLUMNS)
        figure = Figure((WIDTH, rows * _HEIGHT), layout="constrained")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).ravel()
        entries: dict[str, Artist] = {}
        for colour, log, label in zip(palette(len(logs)), logs, _labels(folders), strict=True):
            for axes, name in zip(grid, names, strict=False):
                curve = log.loc[log["name"] == name].set_index("step")["value"]
                if len(curve):
                    entries[label] = _draw(axes, curve, name, colour)
        for axes, name in zip(grid, names, strict=False):
            axes.set_title(_title(name), loc="left")
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(_steps))
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        for axes in grid[max(0, len(names) - _COLUMNS) : len(names)]:
            axes.set_xlabel("step")
            axes.tick_params(axis="x", labelbottom=True)
        smoothed = any(name.startswith("loss/") for name in names)
        legend(
            figure, entries, f"Losses: mean over about 1/{_SPAN} of the steps, raw values behind." if smoothed else ""
        )
    return figure


def _read(folder: Path) -> pd.DataFrame:
    """step, name, value; a last line that was cut short by a kill is left out."""
    path = folder / "metrics.csv"
    try:
        table = pd.read_csv(path, on_bad_lines="skip", dtype={"name": str})
    except FileNotFoundError:
        raise BenchError(
            f"{folder} holds no metrics.csv. Expected the folder of a training: bench train CONFIG --out {folder}."
        ) from None
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise BenchError(f"{path} cannot be read: {error}.") from error
    if list(table.columns) != ["step", "name", "value"]:
        raise BenchError(f"{path} has the columns {', '.join(table.columns)}. Expected step, name, value.")
    for column in ("step", "value"):
        table[column] = pd.to_numeric(table[column], errors="coerce").where(np.isfinite)
    table = table.dropna()
    known = table["name"].str.startswith(("loss/", "validation/", _RATE))
    if not known.any():
        raise BenchError(f"{path} holds no losses and no numbers yet. Wait until the training has logged its first.")
    return table[known]


def _draw(axes: Axes, curve: pd.Series, name: str, colour: tuple[float, float, float]) -> Artist:
    if not name.startswith("loss/"):
        marker = "o" if name.startswith("validation/") else ""
        return axes.plot(curve.index, curve, color=colour, marker=marker, markersize=2.5, linewidth=1.2)[0]
    axes.plot(curve.index, curve, color=colour, linewidth=0.6, alpha=0.3)
    smooth = curve.ewm(span=max(1.0, len(curve) / _SPAN)).mean()
    (line,) = axes.plot(smooth.index, smooth, color=colour, linewidth=1.2)
    return line


def _title(name: str) -> str:
    kind, _, rest = name.partition("/")
    if kind == "validation" and rest in NUMBERS:
        return f"validation {axis_label(rest)}"
    return f"{rest} loss" if kind == "loss" else name


def _steps(step: float, _: int) -> str:
    return f"{step / 1000:g}k" if step >= 10_000 else f"{step:g}"


def _labels(folders: Sequence[Path]) -> list[str]:
    """The end of each path, as much of it as tells the folders apart."""
    paths = [folder.resolve() for folder in folders]
    longest = max(len(path.parts) for path in paths)
    for depth in range(1, longest + 1):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(set(paths)):
            return labels
    return [str(path) for path in paths]
