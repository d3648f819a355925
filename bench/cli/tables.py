"""Verbs that lay Runs out as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import PATH, RUNS, SELECTION, behind_its_name, option, several, together
from bench.tables import FORMATS

if TYPE_CHECKING:
    from bench.tables.sheet import Sheet

TERMINAL = "terminal"
FORMS = click.Choice([TERMINAL, *FORMATS])
OUTPUT = together(
    option(
        "--format",
        "form",
        type=FORMS,
        heading="Output",
        help="Default: as the suffix of --out says, else terminal.",
    ),
    option(
        "--intervals/--no-intervals",
        default=True,
        show_default=True,
        heading="Output",
        help="Half of the 95 % interval after a number.",
    ),
    option("--out", type=PATH, heading="Output", help="File to write; default: print."),
)


@click.group(invoke_without_command=True)
@SELECTION
@several("--metrics", heading="Output", help="Columns; default: every number that was measured.")
@option("--sort", metavar="NAME", heading="Output", help="Column to sort by, the best first.")
@option("--efficiency", is_flag=True, heading="Output", help="Also parameters, MACs, latency, images/s and memory.")
@OUTPUT
@click.pass_context
def table(
    ctx: click.Context,
    runs: Path,
    models: list[str],
    datasets: list[str],
    protocols: list[str],
    metrics: list[str],
    sort: str | None,
    efficiency: bool,
    **output: Any,
) -> None:
    """Lay Runs out as tables: a row per model, a section per dataset, a table per protocol."""
    if ctx.invoked_subcommand is not None:
        behind_its_name(ctx)
        return
    from bench.selection import select
    from bench.tables.results import results_sheets

    _show(results_sheets(select(runs, models, datasets, protocols), metrics, sort, efficiency), **output)


@table.command("paper")
@option("--paper", required=True, metavar="NAME", heading="What", help="The paper, e.g. ddcolor.")
@several(
    "--table",
    "tables",
    metavar="NAME|all",
    help="Its tables, e.g. 1, scales; default: the main one.",
)
@RUNS
@OUTPUT
def table_paper(paper: str, tables: list[str], runs: Path, **output: Any) -> None:
    """Published numbers of a paper beside measured ones."""
    from bench.published import load_paper
    from bench.runs import Store
    from bench.selection import newest
    from bench.tables.paper import paper_sheets

    main = [next(iter(load_paper(paper).tables))]
    chosen = [] if "all" in tables else tables or main
    _show(paper_sheets(list(newest(Store(runs)).values()), paper, chosen), **output)


def _show(sheets: Sequence[Sheet], form: str | None, intervals: bool, out: Path | None) -> None:
    """Print tables, or write them to a file."""
    from bench.cache import write_atomically
    from bench.console import console
    from bench.errors import BenchError
    from bench.tables.render import render_file
    from bench.tables.terminal import print_sheets, sheets_as_text

    suffix = out.suffix.removeprefix(".") if out else ""
    chosen = form or (TERMINAL if out is None or suffix == "txt" else suffix)
    if chosen not in (TERMINAL, *FORMATS):
        raise BenchError(
            f"{out} does not say which form the table should have: end it in .md, .csv, .tex, .html or .txt."
        )
    if out is None and chosen == TERMINAL:
        print_sheets(sheets, console(), intervals)
        return
    text = sheets_as_text(sheets, intervals) if chosen == TERMINAL else render_file(sheets, chosen, intervals)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())
        click.echo(out)
