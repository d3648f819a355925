"""Quality against colourfulness: who pays for colour with what."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.plots.numbers import axis_label, estimate, measured, require, whiskers
from bench.plots.photos import original_cf
from bench.plots.series import legend, looks, panels, without
from bench.plots.style import WIDTH, reference_line, style, wrapped
from bench.runs import Run, Store

_HEIGHT = 2.4  # inches of a panel


def quality_against_colourfulness(store: Store, runs: Sequence[Run], quality: str | None = None) -> Figure:
    """A point a model, with 95 % intervals where it has them; the line is the mean cf of the originals.

    Args:
        store: of the Runs, for the colourfulness of the originals.
        runs: one panel for each dataset and protocol among them.
        quality: the number on the other axis; default: fid, or fcd where no Run has that (the axis says which).

    Raises:
        UnknownNameError: there is no such number.
        BenchError: no Run has it together with cf; says why.
    """
    name = quality or next(iter(measured(runs, ("fid", "fcd"))), "fid")
    require(runs, (name, "cf"))
    shown = [(panel, its) for panel in panels(runs) if (its := [run for run in panel.runs if _has_both(run, name)])]
    if not shown:
        raise BenchError(f"no Run has both cf and {name}: choose another number with --quality.")
    look = looks(runs)
    with style():
        figure = Figure((WIDTH, _HEIGHT * len(shown) + 0.5), layout="constrained")
        entries: dict[str, Artist] = {}
        for axes, (panel, its) in zip(figure.subplots(len(shown), 1, squeeze=False).flat, shown, strict=True):
            for run in its:
                x, y = estimate(run, "cf"), estimate(run, name)
                entries[look(run).label] = axes.errorbar(
                    [x.value], [y.value], yerr=whiskers(y), xerr=whiskers(x),
                    fmt=look(run).marker, color=look(run).colour, markersize=5, elinewidth=1,
                )  # fmt: skip
            line = original_cf(store, panel.runs)
            if line is not None:
                reference_line(axes, line, "originals")
            axes.set_title(wrapped(panel.title, WIDTH - 0.6, 9), loc="left", pad=12)
            axes.set(xlabel=axis_label("cf"), ylabel=axis_label(name))
        legend(figure, entries, without(runs, [run for _, its in shown for run in its], look, f"{name} or cf"))
    return figure


def _has_both(run: Run, name: str) -> bool:
    return estimate(run, "cf").value is not None and estimate(run, name).value is not None
