"""Runs as pictures: the kinds of plots there are. Importing this imports no plotting library."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError, UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.runs import Run, Store


@dataclass(frozen=True)
class Kind:
    """One kind of plot.

    Args:
        name: as in ``bench plot NAME``.
        description: one line.
        function: ``"module:function"`` that returns the figure.
        reads: what the function takes first: Runs and their store, Runs alone, or something else than Runs.
    """

    name: str
    description: str
    function: str
    reads: Literal["store and runs", "runs", "other"]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "grid", "Photographs side by side: input, every model, original.",
            "bench.plots.grid:qualitative_grid", "store and runs",
        ),
        Kind(
            "fid-cf", "FID (or another number) against colourfulness.",
            "bench.plots.fid_cf:quality_against_colourfulness", "store and runs",
        ),
        Kind(
            "bars", "The main numbers of every model, with their intervals.",
            "bench.plots.bars:metric_bars", "store and runs",
        ),
        Kind(
            "distributions", "How the values of single photographs are spread.",
            "bench.plots.distributions:per_photo_distributions", "store and runs",
        ),
        Kind(
            "pareto", "Quality against the latency of one photograph, one panel for each device.",
            "bench.plots.pareto:quality_against_latency", "runs",
        ),
        Kind(
            "chroma", "Which colours the models use, beside the originals.",
            "bench.plots.chroma:chroma_histograms", "store and runs",
        ),
        Kind(
            "hints", "PSNR against the number of colour hints.",
            "bench.plots.hints:psnr_against_hints", "runs",
        ),
        Kind(
            "reproduction", "What a paper reports against what was measured.",
            "bench.plots.reproduction:reported_against_reproduced", "runs",
        ),
        Kind(
            "queries", "What the colour queries of DDColor do to a photograph.",
            "bench.plots.queries:query_maps", "other",
        ),
        Kind(
            "training", "Losses, validation and learning rate of trainings.",
            "bench.plots.training:training_curves", "other",
        ),
    )
}  # fmt: skip
FROM_RUNS = tuple(name for name, kind in KINDS.items() if kind.reads != "other")


def unasked(kind: str) -> dict[str, dict[str, Any]]:
    """What to draw of a kind where nobody chose: name of the file -> options. Of ``reproduction`` that is every paper
    of which something was measured; ``draw`` refuses the others."""
    if kind != "reproduction":
        return {kind: {}}
    from bench.published import papers

    return {f"{kind}-{paper}": {"paper": paper, "reports_alone": False} for paper in papers()}


def draw(kind: str, store: Store, runs: Sequence[Run], **options: Any) -> Figure:
    """A plot that needs nothing but Runs.

    Args:
        kind: one of ``FROM_RUNS``.
        store: that holds the Runs.
        runs: as ``bench.selection.select`` gives them.
        options: of the kind's function.

    Raises:
        UnknownNameError: there is no such kind.
        BenchError: these Runs do not allow it; says why.
    """
    if kind not in KINDS:
        raise UnknownNameError("plot", kind, KINDS)
    if kind not in FROM_RUNS:
        raise BenchError(f"the plot {kind!r} is not made from Runs; see bench plot {kind} --help.")
    known = KINDS[kind]
    module, _, name = known.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    first = (store, runs) if known.reads == "store and runs" else (runs,)
    figure: Figure = function(*first, **options)
    return figure
