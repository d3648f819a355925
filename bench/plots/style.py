"""One style for every plot: colour-blind safe, readable at the width of a column."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.errors import BenchError

STYLE: dict[Any, Any] = {
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "figure.labelsize": 8.5,
    "figure.titlesize": 9,
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "colorization-bench",  # the same Runs give the same bytes
    "text.parse_math": False,  # names may hold a dollar sign
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
}
WIDTH, HEIGHT = 4.2, 3.0  # inches
PAGE = 7.0  # inches; the widest a figure may want
FORMATS = (".png", ".svg", ".pdf")
_ID = re.compile(r'(?<=["#])[a-z][0-9a-f]{10}(?=[")])')
INK, FAINT = "0.25", "0.6"  # grays of what is no model: lines of reference, notes
_CHARACTERS = 15  # that fit into an inch of 8 point type


@contextmanager
def style() -> Iterator[None]:
    """Everything is drawn and saved within."""
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        yield


def palette(n: int) -> list[tuple[float, float, float]]:
    """As many colours as curves: the colour-blind safe ones while they last, else evenly spaced hues."""
    safe = sns.color_palette("colorblind")
    return list(safe[:n] if n <= len(safe) else sns.color_palette("husl", n))


class _Wrapper(textwrap.TextWrapper):
    """Breaks behind every hyphen, after digits too: pix2pix-resnet18-mini."""

    wordsep_re = re.compile(r"(\s+|[^\s-]*\w-(?=\w))")


def wrapped(text: str, inches: float, points: float = 8.0) -> str:
    """``text`` broken into lines that fit into a width; never cut."""
    columns = max(4, int(inches * _CHARACTERS * 8 / points))
    return "\n".join(_Wrapper(columns).wrap(text)) or text


def plain_log(axis: Axis) -> None:
    """Scale an axis logarithmically, with a few ticks at round values, written as plain numbers.

    To be called when everything is drawn: the ticks are those of the limits there are then.
    """
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    low, high = axis.get_view_interval()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = np.outer(decades, steps).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) >= 3:
            break
    else:
        ticks = np.asarray(MaxNLocator(4).tick_values(low, high))
        ticks = ticks[(ticks >= low) & (ticks <= high)]
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_locator(NullLocator())


def reference_line(axes: Axes, x: float, text: str) -> None:
    """A vertical line that is no model, named above the axes."""
    axes.axvline(x, color=INK, linewidth=1, linestyle="--", zorder=0)
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 1), textcoords="offset points",
        ha="center", va="bottom", fontsize=6.5, color=INK,
    )  # fmt: skip


def save(figure: Figure, path: Path) -> Path:
    """Write a figure; the same figure gives the same bytes.

    Raises:
        BenchError: another suffix than .png, .svg or .pdf, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise BenchError(f"{path} has another suffix than {', '.join(FORMATS)}: which format should it be?")
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with style():
            figure.savefig(path, metadata=metadata)
        if path.suffix == ".svg":
            path.write_text(_numbered(path.read_text(encoding="utf-8")), encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _numbered(svg: str) -> str:
    """Ids by their order: matplotlib hashes places to the last bit, which its layout does not always repeat."""
    order: dict[str, str] = {}
    return _ID.sub(lambda match: order.setdefault(match[0], f"id{len(order)}"), svg)
