"""The verb that opens the live page."""

from __future__ import annotations

from typing import Any

import click

from bench.cli.options import GroupedCommand, option, split_commas


@click.command(cls=GroupedCommand)
@option(
    "--models",
    "--model",
    "-m",
    multiple=True,
    callback=split_commas,
    metavar="NAME[,NAME...]",
    heading="What",
    help="Models to offer; default: all whose weights are here.",
)
@option(
    "--weights",
    heading="What",
    metavar="NAME|PATH|random",
    help="Weights of all of them instead of the default; 'random' is marked on the page.",
)
@option("--device", heading="Machine", help="cpu, cuda, cuda:1, mps; default: the best there is.")
@option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    heading="Machine",
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    heading="Machine",
    help="0 = any that is free.",
)
def demo(**how: Any) -> None:
    """Open a page that colours photographs with several models side by side.

    Photographs stay on this machine and are deleted when the page is closed with Ctrl-C.
    """
    from bench.demo.server import serve

    serve(**how)
