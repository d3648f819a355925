"""One style for every plot: colour-blind safe, readable at the width of a column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from bench.errors import BenchError

STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
    "svg.hashsalt": "colorization-bench",  # the same Runs give the same bytes
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
WIDTH, HEIGHT = 4.2, 3.0  # inches
FORMATS = (".png", ".svg", ".pdf")


@contextmanager
def style() -> Iterator[None]:
    """Everything is drawn and saved within."""
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        yield


def palette(n: int) -> list[tuple[float, float, float]]:
    """As many colours as curves: the colour-blind safe ones while they last, else evenly spaced hues."""
    safe = sns.color_palette("colorblind")
    return list(safe[:n] if n <= len(safe) else sns.color_palette("husl", n))


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
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
