"""The command line: one thin command per verb. Heavy imports happen inside the verbs, so that help is instant."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench.errors import BenchError
from bench.options import GroupedCommand, option, split_commas

INCOMPLETE = 3  # exit status when photographs could not be measured
_EXISTING = click.Path(exists=True, path_type=Path)
_PATH = click.Path(path_type=Path)
_SAMPLER = click.Choice(["ddpm", "ddim", "dpm++"])


class Bench(click.Group):
    """Turns errors that a user can mend into one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BenchError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Bench, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="colorization-bench", prog_name="bench")
def main() -> None:
    """Train and measure image colorization models behind one interface."""


@main.command(cls=GroupedCommand)
@option(
    "--model",
    "-m",
    "models",
    multiple=True,
    callback=split_commas,
    metavar="NAME[,NAME...]",
    heading="What",
    help="Models: names, 'all', or path/to/file.py:ClassName. Repeatable.",
)
@option(
    "--dataset",
    "-d",
    "datasets",
    multiple=True,
    required=True,
    callback=split_commas,
    metavar="NAME[,NAME...]",
    heading="What",
    help="Datasets: names, folder:PATH. Repeatable.",
)
@option("--split", heading="What", help="Split of the dataset, e.g. val5k, val50k.")
@option("--data-root", type=_PATH, heading="What", help="Folder that holds the datasets (else $BENCH_DATA).")
@option(
    "--weights",
    heading="What",
    metavar="NAME|PATH|random",
    help="Weights: a name on the model's card, a file, or 'random' (marked in the result).",
)
@option(
    "--predictions",
    type=_PATH,
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
@option("--steps", type=click.IntRange(min=1), heading="How", help="Sampling steps of diffusion models.")
@option("--sampler", type=_SAMPLER, heading="How", help="Sampler of diffusion models.")
@option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    heading="How",
    help="Of the model; metrics are always exact.",
)
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    heading="Machine",
    help="Photographs per forward pass; does not change the numbers.",
)
@option("--device", heading="Machine", help="cpu, cuda, cuda:1, mps; default: the best there is.")
@option("--workers", type=click.IntRange(min=0), heading="Machine", help="Processes that decode; default: as pays.")
@option(
    "--out", type=_PATH, default=Path("results/runs"), show_default=True, heading="Output", help="Folder of the Runs."
)
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
    from bench.tables import print_plan, print_results

    if not models and how["predictions"] is None:
        raise click.UsageError("name a model (--model NAME, see `bench models`) or --predictions FOLDER.")
    first = _is_first_process()
    screen, notes = console(quiet=not first), console(error=True, quiet=not first)
    predictions = how.pop("predictions")
    plan = make_plan(
        models,
        datasets,
        how.pop("protocol"),
        predictions=Predictions(predictions) if predictions else None,
        sampling=_given(steps=how.pop("steps"), sampler=how.pop("sampler")),
        hints=how["hints"],
        colourings=how["colourings"],
        **{name: how.pop(name) for name in ("weights", "split", "data_root", "limit")},
    )
    for name, reason in plan.left_out.items():
        notes.print(f"[yellow]left out: {name}[/yellow] [dim]– {escape(reason)}[/dim]")
    if dry_run:
        print_plan(plan, screen)
        return
    command = shlex.join(["bench", *sys.argv[1:]])
    out: Path = how.pop("out")
    runs: list[Run] = []
    try:
        runs.extend(measure(plan, notes, store=out, quiet=not first, command=command, **how))
    except KeyboardInterrupt:
        notes.print("stopped; the same command continues where it was.")
        ctx.exit(130)
    finally:  # what was finished before an error or Ctrl-C is shown all the same
        if first and runs:
            click.echo(to_json(runs)) if as_json else print_results(runs, screen)
            notes.print(f"[dim]records and pictures: {escape(str(out))}[/dim]")
    if any(not run.complete for run in runs):
        ctx.exit(INCOMPLETE)


@main.command(cls=GroupedCommand)
@click.argument("images", nargs=-1, required=True, type=_PATH)
@option("--model", "-m", default="ddcolor-mini", show_default=True, heading="What", help="A model's name.")
@option("--weights", heading="What", metavar="NAME|PATH|random", help="Weights: a name on the model's card, or a file.")
@option("--out", "-o", type=_PATH, required=True, heading="Output", help="Folder for the coloured PNG files.")
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
@option("--steps", type=click.IntRange(min=1), heading="How", help="Sampling steps of diffusion models.")
@option("--sampler", type=_SAMPLER, heading="How", help="Sampler of diffusion models.")
@option(
    "--hint",
    "hints",
    multiple=True,
    metavar="X,Y,#RRGGBB",
    heading="How",
    help="A colour at a pixel, for models that take hints. Repeatable.",
)
@option("--device", heading="Machine", help="cpu, cuda, mps; default: the best there is.")
@click.pass_context
def colorize(ctx: click.Context, images: tuple[Path, ...], **how: Any) -> None:
    """Colour photographs (files or folders) at their full resolution."""
    from bench.console import console
    from bench.gallery import colorize_files

    sampling = _given(steps=how.pop("steps"), sampler=how.pop("sampler"))
    failures = colorize_files(images, console=console(error=True), sampling=sampling, **how)
    if failures:
        ctx.exit(INCOMPLETE)


@main.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the models, or show the whole card of one."""
    from bench.console import console
    from bench.listings import model_card, models_table

    console().print(model_card(name) if name else models_table())


@main.group(invoke_without_command=True)
@click.option("--data-root", type=_PATH, help="Folder that holds the datasets (else $BENCH_DATA).")
@click.pass_context
def datasets(ctx: click.Context, data_root: Path | None) -> None:
    """List the datasets, or check one."""
    if ctx.invoked_subcommand is None:
        from bench.console import console
        from bench.listings import datasets_table

        console().print(datasets_table(data_root))


@datasets.command()
@click.argument("name")
@click.option("--split", help="Split of the dataset.")
@click.option("--data-root", type=_PATH, help="Folder that holds the datasets (else $BENCH_DATA).")
@click.pass_context
def check(ctx: click.Context, name: str, split: str | None, data_root: Path | None) -> None:
    """Count the photographs of NAME and read every file."""
    from bench.console import console
    from bench.listings import check_and_print

    if not check_and_print(name, split, data_root, console()):
        ctx.exit(INCOMPLETE)


@main.group()
def weights() -> None:
    """List, fetch and verify weights."""


@weights.command("list")
def weights_list() -> None:
    """Every file of weights that is known, and whether it is here."""
    from bench.console import console
    from bench.listings import weights_table

    console().print(weights_table())


@weights.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="MODEL[/WEIGHTS]...")
def weights_fetch(names: tuple[str, ...]) -> None:
    """Download weights into the cache and check them."""
    from bench.fetching import fetch
    from bench.weights import statuses_named

    for status in (status for name in names for status in statuses_named(name)):
        click.echo(f"{status.reference}: {fetch(status.weights, status.model)}")


@weights.command("verify")
@click.argument("names", nargs=-1, metavar="[MODEL[/WEIGHTS]]...")
@click.pass_context
def weights_verify(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Compare the files that are here with their known digests."""
    from bench.listings import verify_and_print

    if not verify_and_print(names):
        ctx.exit(1)


@main.command()
def doctor() -> None:
    """Devices, data and weights: what is here, what is missing and how to get it."""
    from bench.console import console
    from bench.doctor import examine

    examine(console())


@main.group()
def plot() -> None:
    """Draw Runs."""


@plot.command("hints")
@click.option("--runs", type=_PATH, default=Path("results/runs"), show_default=True, help="Folder of the Runs.")
@click.option(
    "--published", type=_EXISTING, help="CSV of a published curve, e.g. results/published/siggraph17_hints.csv."
)
@click.option("--out", type=_PATH, default=Path("psnr_against_hints.png"), show_default=True, help="png, svg or pdf.")
def plot_hints(runs: Path, published: Path | None, out: Path) -> None:
    """PSNR against the number of colour hints (runs with --hints)."""
    from bench.plots import psnr_against_hints
    from bench.runs import Store

    psnr_against_hints(list(Store(runs)), published).savefig(out)
    click.echo(out)


@main.group()
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
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    callback=split_commas,
    metavar="NAME[,NAME...]",
    help="Training configurations; default: the mini of every family.",
)
@click.option("--data", metavar="PATH", help="Photographs; default: synthetic ones.")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Steps that are timed.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Default: the configuration's.")
@click.option("--device", help="cpu, cuda, cuda:1, mps; default: the best there is.")
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes; default: as pays.")
def speed_training(models: list[str], **how: Any) -> None:
    """Images/s of a training step, eager fp32 against the default settings, and the share of waiting for data."""
    from bench.console import console
    from bench.speed.training import compare
    from bench.training.config import train_config_names

    compare(models or [name for name in train_config_names() if name.endswith("-mini")], console=console(), **how)


@main.command(cls=GroupedCommand)
@click.argument("config", metavar="CONFIG")
@option("--data", metavar="PATH|URL", heading="What", help="Photographs: a folder, tar shards, or a URL of shards.")
@option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    heading="How",
    help="Change a key of the configuration, e.g. recipe.losses.pixel=1. Repeatable.",
)
@option("--device", heading="Machine", help="cpu, cuda, cuda:1, mps; default: the best there is.")
@option("--out", type=_PATH, heading="Output", help="Folder of the run; default: runs/ and the configuration's name.")
@option("--resume", is_flag=True, heading="Output", help="Continue from the newest checkpoint in --out.")
@option("--dry-run", is_flag=True, heading="Output", help="Show the whole configuration and stop.")
@click.pass_context
def train(
    ctx: click.Context,
    config: str,
    data: str | None,
    changes: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    **how: Any,
) -> None:
    """Train a model by CONFIG: a YAML file, or the name of one in configs/train.

    Several GPUs or machines: start this command with torchrun or srun.
    Exit status: 0 finished, 1 an error, 130 stopped by SIGTERM or Ctrl-C after saving.
    """
    from bench.console import console
    from bench.training.config import load_config

    settings = load_config(config, changes, data)
    if dry_run:
        click.echo(settings.model_dump_json(indent=2))
        return
    from bench.training.logs import report
    from bench.training.trainer import train as train_model

    screen = console(error=True, quiet=not _is_first_process())
    outcome = train_model(settings, out or Path("runs", Path(config).stem), console=screen, **how)
    report(outcome, screen)
    if not outcome.finished:
        ctx.exit(130)


@main.command(cls=GroupedCommand)
@click.argument("run_folder", metavar="RUN", type=_EXISTING)
@option("--to", type=_PATH, required=True, heading="Output", help="File to write: .safetensors or .onnx.")
@option("--last", is_flag=True, heading="What", help="The last checkpoint instead of the best one.")
@option("--half", is_flag=True, heading="Output", help="16 bits for each weight (safetensors).")
@option("--size", type=click.IntRange(min=8), heading="Output", help="Side of the ONNX graph's input.")
def export(run_folder: Path, to: Path, last: bool, half: bool, size: int | None) -> None:
    """Write the weights of a training run (its folder, or one of its checkpoints) for `bench run --weights`."""
    from bench.training.export import export as export_run

    click.echo(export_run(run_folder, to, "last" if last else "best", half, size))


def _given(**options: Any) -> dict[str, Any]:
    """The options that the user named."""
    return {name: value for name, value in options.items() if value is not None}


def _is_first_process() -> bool:
    """Whether this process prints; torchrun and Slurm number theirs."""
    import os

    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0
