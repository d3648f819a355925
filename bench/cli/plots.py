"""Verbs that draw: Runs, trainings, the colour queries of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    DEVICE,
    EXISTING,
    PATH,
    SELECTION,
    WEIGHTS,
    Decorator,
    GroupedCommand,
    given,
    option,
    several,
    together,
)
from bench.errors import BenchError
from bench.plots import FROM_RUNS, KINDS, draw, unasked

if TYPE_CHECKING:
    from bench.runs import Run, Store

PLOTS = Path("results/plots")
COUNT = click.IntRange(min=1)
_METRICS = several("--metrics", heading="How", help="Numbers to draw; default: the common ones.")
_OPTIONS: dict[str, tuple[Decorator, ...]] = {
    "grid": (
        several("--photos", heading="How", help="Photographs by name, or patterns."),
        option("--random", type=COUNT, metavar="N", heading="How", help="N photographs at random."),
        option("--seed", type=int, default=0, show_default=True, heading="How", help="Of --random."),
        option("--differ", type=COUNT, metavar="N", heading="How", help="N on which models differ most; default: 4."),
    ),
    "fid-cf": (option("--quality", heading="How", help="Number against cf; default: fid, else fcd."),),
    "bars": (_METRICS,),
    "distributions": (_METRICS,),
    "pareto": (option("--metric", default="psnr", show_default=True, heading="How", help="Number against latency."),),
    "hints": (
        option(
            "--published",
            type=EXISTING,
            heading="How",
            help="CSV of a published curve, e.g. results/published/siggraph17_hints.csv.",
        ),
    ),
    "reproduction": (option("--paper", default="ddcolor", show_default=True, heading="How", help="Whose numbers."),),
}


def _out(default: Path) -> Decorator:
    return option("--out", type=PATH, default=default, show_default=True, heading="Output", help="png, svg or pdf.")


@click.group()
def plot() -> None:
    """Draw Runs, trainings and colour queries."""


def _selected(how: dict[str, Any]) -> tuple[Store, list[Run]]:
    """The store and the Runs that the shared options choose; takes these out of ``how``."""
    from bench.runs import Store
    from bench.selection import select

    store = Store(how.pop("runs"))
    return store, select(store, *(how.pop(name) for name in ("models", "datasets", "protocols")))


def _add(kind: str) -> None:
    """``bench plot KIND``, for a kind that needs nothing but Runs."""

    @plot.command(kind, cls=GroupedCommand, help=KINDS[kind].description)
    @SELECTION
    @together(*_OPTIONS.get(kind, ()))
    @_out(PLOTS / f"{kind}.png")
    def verb(out: Path, **how: Any) -> None:
        from bench.plots.style import save

        store, runs = _selected(how)
        click.echo(save(draw(kind, store, runs, **given(**how)), out))


for _kind in FROM_RUNS:
    _add(_kind)


@plot.command("all", cls=GroupedCommand)
@SELECTION
@option("--out", type=PATH, default=PLOTS, show_default=True, heading="Output", help="Folder for the plots.")
@several(
    "--formats",
    default=("png",),
    show_default=True,
    metavar="FORMAT[,FORMAT...]",
    heading="Output",
    help="png, svg, pdf.",
)
def plot_all(out: Path, formats: list[str], **how: Any) -> None:
    """Draw all that the Runs allow. What is left out is named, with its reason."""
    from bench.plots.style import save

    store, runs = _selected(how)
    for kind in FROM_RUNS:
        for name, options in unasked(kind).items():
            try:
                figure = draw(kind, store, runs, **options)
            except BenchError as error:
                click.echo(f"left out: {name} – {error}", err=True)
                continue
            for suffix in formats:
                click.echo(save(figure, out / f"{name}.{suffix}"))


@plot.command("queries", cls=GroupedCommand)
@click.argument("photo", type=PATH)
@option("--model", "-m", default="ddcolor-mini", show_default=True, heading="What", help="A model with queries.")
@WEIGHTS
@option("--top", type=COUNT, default=8, show_default=True, heading="How", help="How many: those of most effect.")
@DEVICE
@_out(PLOTS / "queries.png")
def plot_queries(photo: Path, model: str, weights: str | None, top: int, device: str | None, out: Path) -> None:
    """What the colour queries of DDColor do to PHOTO. Above: where one is active; below: the colour it adds there."""
    from bench.plots.queries import query_maps
    from bench.plots.style import save
    from bench.queries import query_arrays

    photograph, coloured, maps, mixing = query_arrays(photo, model, weights, device)
    click.echo(save(query_maps(photograph, coloured, maps, mixing, top, f"{photo.name}, {model}"), out))


@plot.command("training", cls=GroupedCommand)
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="FOLDER...")
@_out(PLOTS / "training.png")
def plot_training(folders: tuple[Path, ...], out: Path) -> None:
    """Losses, validation and learning rate of trainings. FOLDER: of a training; several are overlaid."""
    from bench.plots.style import save
    from bench.plots.training import training_curves

    click.echo(save(training_curves(folders), out))
