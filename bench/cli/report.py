"""The verb that makes a web page of Runs."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import PATH, SELECTION, GroupedCommand, given, option


@click.command(cls=GroupedCommand)
@SELECTION
@option("--out", type=PATH, required=True, heading="Output", help="A folder for index.html, or a file ending in .html.")
@option("--title", heading="Output", help="Heading of the page.")
@option(
    "--thumbnails",
    type=click.IntRange(min=16),
    default=512,
    show_default=True,
    metavar="PIXELS",
    heading="Output",
    help="Longest side of a picture; larger ones are scaled down.",
)
def report(
    runs: Path,
    models: list[str],
    datasets: list[str],
    protocols: list[str],
    out: Path,
    title: str | None,
    thumbnails: int,
) -> None:
    """One web page of Runs: tables, plots, a gallery, every photograph's numbers. It needs no network."""
    from bench.report import write_report
    from bench.runs import Store
    from bench.selection import select

    store = Store(runs)
    chosen = select(store, models, datasets, protocols)
    click.echo(write_report(store, chosen, out, thumbnails=thumbnails, **given(title=title)))
