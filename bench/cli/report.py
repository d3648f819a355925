"""The verb that makes a web page of Runs."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import PATH, GroupedCommand, option, split_commas


@click.command(cls=GroupedCommand)
@option(
    "--runs", type=PATH, default=Path("results/runs"), show_default=True, heading="What", help="Folder of the Runs."
)
@option("--models", multiple=True, callback=split_commas, heading="What", help="Models; default: all. Patterns work.")
@option("--datasets", multiple=True, callback=split_commas, heading="What", help="Datasets, e.g. coco, imagenet/val5k.")
@option("--protocol", "protocols", multiple=True, callback=split_commas, heading="What", help="Names or hashes.")
@option("--out", type=PATH, required=True, heading="Output", help="A folder for index.html, or a file ending in .html.")
@option("--title", heading="Output", help="Heading of the page.")
@option(
    "--thumbnails",
    type=click.IntRange(min=16),
    heading="Output",
    help="Longest side of a picture, in pixels.  [default: 512]",
)
def report(
    runs: Path,
    models: list[str],
    datasets: list[str],
    protocols: list[str],
    out: Path,
    title: str | None,
    thumbnails: int | None,
) -> None:
    """Make one web page of Runs: tables, plots, a gallery, every number of every photograph. It needs no network."""
    from bench.cli.options import given
    from bench.report import write_report
    from bench.runs import Store
    from bench.selection import select

    store = Store(runs)
    page = write_report(
        store, select(store, models, datasets, protocols), out, **given(title=title, thumbnails=thumbnails)
    )
    click.echo(page)
