"""The plots of a report, as data addresses."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.plots import KINDS, draw, unasked
from bench.plots.style import save
from bench.runs import Run, Store


@dataclass(frozen=True)
class Plot:
    """A picture, or why there is none.

    Args:
        name: of the kind, and of the paper where there is one for each.
        description: one line.
        address: of an SVG file, a ``data:`` one.
        reason: why it was not drawn.
    """

    name: str
    description: str
    address: str = ""
    reason: str = ""


def drawn(store: Store, runs: Sequence[Run], kinds: Sequence[str]) -> list[Plot]:
    """Each kind drawn, or left out with its reason."""
    return [_plot(store, runs, kind, name, options) for kind in kinds for name, options in unasked(kind).items()]


def _plot(store: Store, runs: Sequence[Run], kind: str, name: str, options: Mapping[str, Any]) -> Plot:
    description = KINDS[kind].description
    try:
        figure = draw(kind, store, runs, **options)
    except BenchError as error:
        return Plot(name, description, reason=str(error))
    return Plot(name, description, _address(figure))


def _address(figure: Figure) -> str:
    with tempfile.TemporaryDirectory() as folder:
        svg = save(figure, Path(folder) / "plot.svg").read_text(encoding="utf-8")
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
