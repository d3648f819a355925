"""The command line: one thin command per verb. Heavy imports happen inside the verbs, so that help is instant."""

from __future__ import annotations

from typing import Any

import click

from bench.cli import catalogue, compare, demo, measuring, plots, report, suites, tables, training
from bench.errors import BenchError


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


for _verb in (
    measuring.run,
    measuring.colorize,
    training.train,
    training.export,
    suites.ablate,
    suites.suite,
    catalogue.models,
    catalogue.datasets,
    catalogue.weights,
    catalogue.doctor,
    compare.compare,
    demo.demo,
    tables.table,
    plots.plot,
    report.report,
    measuring.speed,
):
    main.add_command(_verb)
