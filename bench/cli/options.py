"""click options and types that are shared by verbs, and a help page that shows them in groups."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

Decorator = Callable[[Any], Any]

INCOMPLETE = 3  # exit status when photographs could not be measured
EXISTING = click.Path(exists=True, path_type=Path)
PATH = click.Path(path_type=Path)
STOPPED = "stopped; the same command continues where it was."


class GroupedOption(click.Option):
    """An option that belongs under a heading of the help page."""

    def __init__(self, *args: Any, heading: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help page lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                headings.setdefault(getattr(parameter, "heading", "Other"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option(*names: str, heading: str, **attributes: Any) -> Decorator:
    return click.option(*names, cls=GroupedOption, heading=heading, **attributes)


def several(*names: str, heading: str = "What", metavar: str = "NAME[,NAME...]", **attributes: Any) -> Decorator:
    """An option that takes names separated by commas, and may be repeated."""
    return option(*names, multiple=True, callback=split_commas, metavar=metavar, heading=heading, **attributes)


def together(*decorators: Decorator) -> Decorator:
    """All of them as one; the help page lists them in this order."""

    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def split_commas(_ctx: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[str]:
    """``--model a,b --model c`` -> [a, b, c], without repeats and in order."""
    names = [name.strip() for value in values for name in value.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def typed() -> str:
    """The command line of this call, for the record."""
    return shlex.join(["bench", *sys.argv[1:]])


def given(**options: Any) -> dict[str, Any]:
    """The options that the user named."""
    return {name: value for name, value in options.items() if value is not None}


def behind_its_name(ctx: click.Context) -> None:
    """Refuse options that were given to a group before the name of its verb, where they would do nothing."""
    if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ctx.params):
        raise click.UsageError(f"options of `{ctx.command_path} {ctx.invoked_subcommand}` stand behind its name.")


def is_first_process() -> bool:
    """Whether this process prints; torchrun and Slurm number theirs."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0


# What several verbs take, in the same words.
DATA_ROOT = option("--data-root", type=PATH, heading="What", help="Folder that holds the datasets (else $BENCH_DATA).")
WEIGHTS = option(
    "--weights",
    heading="What",
    metavar="NAME|PATH|random",
    help="Weights: a name on the model's card, a file, or 'random' (marked in the result).",
)
DEVICE = option("--device", heading="Machine", help="cpu, cuda, cuda:1, mps; default: the best there is.")
BATCH_SIZE = option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    heading="Machine",
    help="Photographs per forward pass; does not change the numbers.",
)
SAMPLING = together(
    option("--steps", type=click.IntRange(min=1), heading="How", help="Sampling steps of diffusion models."),
    option(
        "--sampler",
        type=click.Choice(["ddpm", "ddim", "dpm++"]),
        heading="How",
        help="Sampler of diffusion models.",
    ),
)
CHANGES = option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    heading="How",
    help="Change a key of the training's configuration, e.g. recipe.losses.pixel=1. Repeatable.",
)
RUNS_FOLDER = Path("results/runs")  # bench.runs.RUNS, without its imports
RUNS = option("--runs", type=PATH, default=RUNS_FOLDER, show_default=True, heading="What", help="Folder of the Runs.")
SELECTION = together(
    RUNS,
    several("--models", "--model", "-m", help="Models, or patterns such as '*-mini', in order; default: all."),
    several("--datasets", "--dataset", "-d", help="Datasets, e.g. coco, imagenet/val50k; default: all."),
    several("--protocol", "protocols", help="Protocols, names or hashes; default: all."),
)
