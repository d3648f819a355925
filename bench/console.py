"""Where tables and notes are printed."""

from __future__ import annotations

from rich.console import Console

PIPED_WIDTH = 180
"""Columns for output that goes to a file or a pipe, where nobody knows the width of the reader's screen."""


def console(error: bool = False, quiet: bool = False) -> Console:
    """Standard output (or standard error); wide where it is not a terminal."""
    screen = Console(stderr=error, quiet=quiet, highlight=False)
    return screen if screen.is_terminal else Console(stderr=error, quiet=quiet, highlight=False, width=PIPED_WIDTH)
