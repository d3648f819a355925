"""Verbs that measure: run, colorize, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import (
    BATCH_SIZE,
    DATA_ROOT,
    DEVICE,
    INCOMPLETE,
    PATH,
    RUNS_FOLDER,
    SAMPLING,
    STOPPED,
    WEIGHTS,
    GroupedCommand,
    given,
    is_first_process,
    option,
    several,
    typed,
)


@click.command(cls=GroupedCommand)
@several(
    "--model",
    "--models",
    "-m",
    "models",
    help="Models: names, 'all', or path/to/file.py:ClassName. Repeatable.",
)
@several("--dataset", "--datasets", "-d", "datasets", required=True, help="Datasets: names, folder:PATH. Repeatable.")
@option("--split", heading="What", help="Split of the dataset, e.g. val5k, val50k.")
@DATA_ROOT
@WEIGHTS
@option(
    "--predictions",
    type=PATH,
    heading="What",
    help="Folder of images coloured by a system that ran elsewhere; matched by name and measured as one more model.",
)
@option("--limit", type=click.IntRange(min=1), heading="What", help="Measure the first N photographs only.")
@option("--protocol", default="paper", show_default=True, heading="How", help="Protocol: a name or a YAML file.")
@option(
    "--hints",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    heading="How",
    help="Colour hints per photograph, drawn from the original.",
)
@option(
    "--colourings",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    heading="How",
    help="Of each photograph by stochastic models; two or more also report their diversity.",
)
@SAMPLING
@option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    heading="How",
    help="Of the model; metrics are always exact.",
)
@BATCH_SIZE
@DEVICE
@option("--workers", type=click.IntRange(min=0), heading="Machine", help="Processes that decode; default: as pays.")
@option("--out", type=PATH, default=RUNS_FOLDER, show_default=True, heading="Output", help="Folder of the Runs.")
@option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    heading="Output",
    help="Continue an unfinished run and reuse a finished one.",
)
@option("--strict", is_flag=True, heading="Output", help="Stop at the first photograph that cannot be read.")
@option(
    "--samples",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    heading="Output",
    help="Pictures to keep of each run.",
)
@option("--json", "as_json", is_flag=True, heading="Output", help="Print the Runs as JSON instead of a table.")
@option("--dry-run", is_flag=True, heading="Output", help="Show what would be measured.")
@click.pass_context
def run(ctx: click.Context, models: list[str], datasets: list[str], as_json: bool, dry_run: bool, **how: Any) -> None:
    """Measure models on datasets.

    Exit status: 0 all measured, 1 an error, 3 photographs that could not be measured.
    """
    from rich.markup import escape

    from bench.console import console
    from bench.matrix import make_plan, measure
    from bench.predictions import Predictions
    from bench.runs import Run, to_json
    from bench.tables.terminal import print_plan, print_results

    if not models and how["predictions"] is None:
        raise click.UsageError("name a model (--model NAME, see `bench models`) or --predictions FOLDER.")
    first = is_first_process()
    screen, notes = console(quiet=not first), console(error=True, quiet=not first)
    predictions = how.pop("predictions")
    plan = make_plan(
        models,
        datasets,
        how.pop("protocol"),
        predictions=Predictions(predictions) if predictions else None,
        sampling=given(steps=how.pop("steps"), sampler=how.pop("sampler")),
        hints=how["hints"],
        colourings=how["colourings"],
        **{name: how.pop(name) for name in ("weights", "split", "data_root", "limit")},
    )
    for name, reason in plan.left_out.items():
        notes.print(f"[yellow]left out: {name}[/yellow] [dim]– {escape(reason)}[/dim]")
    if dry_run:
        print_plan(plan, screen)
        return
    out: Path = how.pop("out")
    runs: list[Run] = []
    try:
        runs.extend(measure(plan, notes, store=out, quiet=not first, command=typed(), **how))
    except KeyboardInterrupt:
        notes.print(STOPPED)
        ctx.exit(130)
    finally:  # what was finished before an error or Ctrl-C is shown all the same
        if first and runs:
            click.echo(to_json(runs)) if as_json else print_results(runs, screen)
            notes.print(f"[dim]records and pictures: {escape(str(out))}[/dim]")
    if any(not run.complete for run in runs):
        ctx.exit(INCOMPLETE)


@click.command(cls=GroupedCommand)
@click.argument("images", nargs=-1, required=True, type=PATH)
@option("--model", "-m", default="ddcolor-mini", show_default=True, heading="What", help="A model's name.")
@WEIGHTS
@option("--out", "-o", type=PATH, required=True, heading="Output", help="Folder for the coloured PNG files.")
@option("--size", type=click.IntRange(min=32), heading="How", help="Working size instead of the model's own.")
@option("--seed", type=int, default=0, show_default=True, heading="How", help="For models that draw their colours.")
@option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    heading="How",
    help="Different colourings of each photograph, by models that draw their colours.",
)
@SAMPLING
@option(
    "--hint",
    "hints",
    multiple=True,
    metavar="X,Y,#RRGGBB",
    heading="How",
    help="A colour at a pixel, for models that take hints. Repeatable.",
)
@DEVICE
@click.pass_context
def colorize(ctx: click.Context, images: tuple[Path, ...], **how: Any) -> None:
    """Colour photographs (files or folders) at their full resolution."""
    from bench.console import console
    from bench.gallery import colorize_files

    sampling = given(steps=how.pop("steps"), sampler=how.pop("sampler"))
    failures = colorize_files(images, console=console(error=True), sampling=sampling, **how)
    if failures:
        ctx.exit(INCOMPLETE)


@click.group()
def speed() -> None:
    """Measure how fast this suite is, as a ratio to the usual way."""


@speed.command("evaluation")
@click.option("--model", "-m", default="ddcolor-mini", show_default=True)
@click.option("--dataset", "-d", default="samples", show_default=True)
@click.option(
    "--limit", type=click.IntRange(min=1), default=64, show_default=True, help="Photographs (repeated if fewer)."
)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
def speed_evaluation(**how: Any) -> None:
    """The streaming pass against colorize-to-PNG, read back, score with OpenCV, scikit-image and pytorch-fid."""
    from bench.console import console
    from bench.speed.evaluation import compare

    compare(console=console(), **how)


@speed.command("training")
@several("--model", "--models", "-m", "models", help="Training configurations; default: the mini of every family.")
@click.option("--data", metavar="PATH", help="Photographs; default: synthetic ones.")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Steps that are timed.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Default: the configuration's.")
@DEVICE
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes; default: as pays.")
def speed_training(models: list[str], **how: Any) -> None:
    """Images/s of a training step, eager fp32 against the default settings, and the share of waiting for data."""
    from bench.console import console
    from bench.speed.training import compare
    from bench.training.config import train_config_names

    compare(models or [name for name in train_config_names() if name.endswith("-mini")], console=console(), **how)
