"""How the values of single photographs are spread."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.numbers import axis_label, require
from bench.plots.rows import name_rows, not_measured, rows_figure
from bench.plots.series import Look, Panel, looks, panels
from bench.plots.style import FAINT, style
from bench.runs import Run, Store

SHOWN = ("psnr", "ssim", "lpips_alex", "cf")  # unless others are asked for
_JOINED = 20  # photographs at most whose values are joined by lines; more would be a carpet
_ORIGINALS = Look("originals", (0.35, 0.35, 0.35), "o")


def per_photo_distributions(store: Store, runs: Sequence[Run], metrics: Sequence[str] = ()) -> Figure:
    """Box plots of the same photographs under every model, the best median on top.

    A box holds the middle half of the photographs, its whiskers reach the last within 1.5 of its lengths, what lies
    beyond are dots. Where there are few photographs, a faint line follows each from model to model.

    Args:
        store: of the Runs.
        runs: one block of panels for each dataset and protocol among them.
        metrics: numbers to draw; default: the common ones with a value per photograph.

    Raises:
        UnknownNameError: there is no such number.
        BenchError: a number has no value per photograph, or the values are not in the store.
    """
    require(runs, metrics)
    found = panels(runs)
    tables = {id(run): store.rows(run).set_index("name") for panel in found for run in panel.runs}
    _require_columns(list(tables.values()), metrics)
    blocks = [
        (panel, metrics or [name for name in SHOWN if any(name in tables[id(run)] for run in panel.runs)])
        for panel in found
    ]
    look = looks(runs)

    def draw(axes: Axes, panel: Panel, name: str) -> None:
        columns = [(look(run), tables[id(run)].get(name)) for run in panel.runs]
        originals = [tables[id(run)].get(f"{name}_target") for run in panel.runs]
        columns += [(_ORIGINALS, values) for values in originals if values is not None][:1]
        _boxes(axes, columns, name)

    with style():
        return rows_figure([(panel, names) for panel, names in blocks if names], look, draw, spare=1)


def _require_columns(tables: Sequence[pd.DataFrame], metrics: Sequence[str]) -> None:
    there = [name for name in NUMBERS if any(name in table for table in tables)]
    for name in metrics:
        if name not in there:
            raise BenchError(f"{name} is no value of single photographs; of these Runs such are: {', '.join(there)}.")
    if not metrics and not set(SHOWN) & set(there):
        raise BenchError(f"no Run has one of {', '.join(SHOWN)} for each photograph. Name others with --metrics.")


def _boxes(axes: Axes, columns: Sequence[tuple[Look, pd.Series | None]], name: str) -> None:
    """One row for each model: of the photographs that all have, so that boxes can be compared."""
    known = {place: values.dropna() for place, (_, values) in enumerate(columns) if values is not None}
    measured = {place: values for place, values in known.items() if len(values)}
    table = pd.DataFrame(measured).dropna()  # joined by the photographs' names
    if any(len(table) < len(values) for values in measured.values()):
        axes.set_title(f"{axis_label(name)}, n = {len(table):,} that all have", loc="left")
    medians = table.median().dropna().sort_values(ascending=NUMBERS[name].better == "lower", kind="stable")
    order = [int(place) for place in medians.index]
    order += [place for place in range(len(columns)) if place not in order]
    ys = name_rows(axes, [columns[place][0].label for place in order])
    drawn = order[: len(medians)]
    if len(table) <= _JOINED:
        axes.plot(table[drawn].T.to_numpy(), ys[: len(drawn)], color=FAINT, linewidth=0.4, alpha=0.6, zorder=1)
    for y, place in zip(ys, drawn, strict=False):
        sns.boxplot(
            x=table[place], y=[y] * len(table), orient="h", native_scale=True, ax=axes, width=0.6,
            color=columns[place][0].colour, saturation=1, linewidth=0.8, fliersize=2, boxprops={"alpha": 0.75},
            zorder=2,
        )  # fmt: skip
    for y in ys[len(drawn) :]:
        not_measured(axes, y)
    axes.set(xlabel="", ylabel="")
