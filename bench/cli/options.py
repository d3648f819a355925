"""click options and types that are shared by verbs, and a help page that shows them in groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

INCOMPLETE = 3  # exit status when photographs could not be measured
EXISTING = click.Path(exists=True, path_type=Path)
PATH = click.Path(path_type=Path)
SAMPLER = click.Choice(["ddpm", "ddim", "dpm++"])


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


def option(*names: str, heading: str, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, heading=heading, **attributes)


def split_commas(_ctx: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[str]:
    """``--model a,b --model c`` -> [a, b, c], without repeats and in order."""
    names = [name.strip() for value in values for name in value.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def given(**options: Any) -> dict[str, Any]:
    """The options that the user named."""
    return {name: value for name, value in options.items() if value is not None}


def is_first_process() -> bool:
    """Whether this process prints; torchrun and Slurm number theirs."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0
