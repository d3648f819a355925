"""The plots of a report, as data addresses."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.plots import KINDS, draw
from bench.plots.style import save
from bench.published import pairs, papers
from bench.runs import Run, Store


@dataclass(frozen=True)
class Plot:
    """One kind of plot: a picture, or why there is none.

    Args:
        kind: its name.
        description: one line.
        address: of an SVG file, a ``data:`` one.
        reason: why it was not drawn.
    """

    kind: str
    description: str
    address: str = ""
    reason: str = ""


def drawn(store: Store, runs: Sequence[Run], kinds: Sequence[str]) -> list[Plot]:
    """Each kind drawn, or left out with its reason."""
    return [_plot(store, runs, kind) for kind in kinds]


def _plot(store: Store, runs: Sequence[Run], kind: str) -> Plot:
    description = KINDS[kind].description
    try:
        if kind == "reproduction" and not any(pairs(runs, paper) for paper in papers()):
            raise BenchError("none of these Runs measured what a published table reports.")
        figure = draw(kind, store, runs)
    except BenchError as error:
        return Plot(kind, description, reason=str(error))
    return Plot(kind, description, _address(figure))


def _address(figure: Figure) -> str:
    with tempfile.TemporaryDirectory() as folder:
        svg = save(figure, Path(folder) / "plot.svg").read_text(encoding="utf-8")
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
