"""The verb that opens the live page."""

from __future__ import annotations

from typing import Any

import click

from bench.cli.options import DEVICE, WEIGHTS, GroupedCommand, option, several


@click.command(cls=GroupedCommand)
@several("--models", "--model", "-m", help="Models to offer; default: all whose weights are here.")
@WEIGHTS
@DEVICE
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
