"""Verbs that draw Runs."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import EXISTING, PATH


@click.group()
def plot() -> None:
    """Draw Runs."""


@plot.command("hints")
@click.option("--runs", type=PATH, default=Path("results/runs"), show_default=True, help="Folder of the Runs.")
@click.option(
    "--published", type=EXISTING, help="CSV of a published curve, e.g. results/published/siggraph17_hints.csv."
)
@click.option("--out", type=PATH, default=Path("psnr_against_hints.png"), show_default=True, help="png, svg or pdf.")
def plot_hints(runs: Path, published: Path | None, out: Path) -> None:
    """PSNR against the number of colour hints (runs with --hints)."""
    from bench.plots.hints import psnr_against_hints
    from bench.plots.style import save
    from bench.runs import Store

    click.echo(save(psnr_against_hints(list(Store(runs)), published), out))
