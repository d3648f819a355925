"""The verb that sets two models against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import PATH, RUNS, GroupedCommand, option, several
from bench.cli.tables import FORMS, TERMINAL

if TYPE_CHECKING:
    from bench.comparison import Comparison


@click.command(cls=GroupedCommand)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@several(
    "--dataset",
    "--datasets",
    "-d",
    "datasets",
    help="Datasets; default: all on which both were measured. Repeatable.",
)
@option("--protocol", metavar="NAME|HASH", heading="What", help="Protocol; default: all by which both were measured.")
@RUNS
@option(
    "--format",
    "form",
    type=FORMS,
    default=TERMINAL,
    show_default=True,
    heading="Output",
    help="Of what is printed.",
)
@option("--out", type=PATH, heading="Output", help="Folder for comparison.md with pictures.")
@option(
    "--metric", default="psnr", show_default=True, heading="Output", help="The number that the pictures are chosen by."
)
@option(
    "--photos",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    heading="Output",
    help="Pictures for each side.",
)
def compare(
    a: str,
    b: str,
    datasets: list[str],
    protocol: str | None,
    runs: Path,
    form: str,
    out: Path | None,
    metric: str,
    photos: int,
) -> None:
    """Test which of two models is better, photograph by photograph.

    A and B are names of models, NAME@WEIGHTS, or the folders of two Runs. Wilcoxon's signed-rank test on the
    photographs that both measured, with the mean difference, its 95 % bootstrap interval and the effect size.
    """
    from bench.comparison import compare as compare_models
    from bench.console import console
    from bench.errors import UnknownNameError
    from bench.metrics import NUMBERS
    from bench.tables.comparison import comparison_sheets, verdict
    from bench.tables.terminal import print_sheet

    if metric not in NUMBERS:
        raise UnknownNameError("metric", metric, NUMBERS)
    comparisons = compare_models(runs, a, b, datasets, [protocol] if protocol else [])
    sheets = comparison_sheets(comparisons)
    if form == "terminal":
        for sheet in sheets:
            print_sheet(sheet, console())
            click.echo()
    else:
        from bench.tables.render import render_file

        click.echo(render_file(sheets, form), nl=False)
    for comparison in comparisons:
        click.echo(verdict(comparison), err=form != "terminal")
    if out is not None:
        click.echo(_write(comparisons, out, metric, photos), err=True)


def _write(comparisons: list[Comparison], folder: Path, metric: str, photos: int) -> Path:
    """comparison.md and one picture per dataset; where there are no pictures it says why."""
    from bench.cache import write_atomically
    from bench.errors import BenchError
    from bench.plots.comparison import caption, photographs_that_differ
    from bench.plots.style import save
    from bench.tables.comparison import comparison_sheets, verdict
    from bench.tables.markdown import escape
    from bench.tables.render import render

    parts = [escape(verdict(comparison)) for comparison in comparisons]
    parts += [render(sheet, "md").rstrip() for sheet in comparison_sheets(comparisons)]
    for k, comparison in enumerate(comparisons, start=1):
        stem = comparison.a.run.folder.parts[0]
        picture = folder / (f"{stem}.png" if len(comparisons) == 1 else f"{k}-{stem}.png")
        try:
            figure = photographs_that_differ(comparison, metric, photos)
        except BenchError as error:
            parts.append(escape(f"No pictures of {comparison.a.dataset}: {error}"))
        else:
            save(figure, picture)
            text = escape(f"{comparison.a.dataset}: {caption(comparison, metric, photos)}")
            parts.append(f"![photographs that differ]({picture.name})\n\n{text}")
    parts += ["\n".join(f"- {escape(f'{s.label}: {s.folder}')}" for c in comparisons for s in (c.a, c.b))]
    target = folder / "comparison.md"
    write_atomically(target, ("\n\n".join(parts) + "\n").encode())
    return target
