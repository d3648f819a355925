"""Verbs that do many things in one call: ablate, suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import (
    BATCH_SIZE,
    CHANGES,
    DATA_ROOT,
    DEVICE,
    INCOMPLETE,
    PATH,
    STOPPED,
    GroupedCommand,
    is_first_process,
    option,
    several,
    typed,
)


@click.command(cls=GroupedCommand)
@click.argument("config", metavar="CONFIG")
@option("--data", metavar="PATH|URL", heading="What", help="Photographs to train with: see `bench train`.")
@DATA_ROOT
@several(
    "--dataset",
    "--datasets",
    "-d",
    "datasets",
    help="Datasets to measure on instead of the configuration's. Repeatable.",
)
@option("--limit", type=click.IntRange(min=1), heading="What", help="Measure the first N photographs only.")
@option("--only", multiple=True, metavar="VARIANT", heading="What", help="Train this variant alone. Repeatable.")
@option(
    "--seeds", type=click.IntRange(min=1), heading="What", help="How many seeds; default: those of the configuration."
)
@CHANGES
@DEVICE
@option("--out", type=PATH, heading="Output", help="Folder of the ablation; default: runs/ablations/ and its name.")
@option("--dry-run", is_flag=True, heading="Output", help="Show what would be trained, and how far it is.")
@click.pass_context
def ablate(
    ctx: click.Context,
    config: str,
    data: str | None,
    only: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    data_root: Path | None,
    device: str | None,
    **changes: Any,
) -> None:
    """Train and measure every variant of CONFIG: a YAML file, or the name of one in configs/ablations.

    What is finished is not done again: after any interruption the same command continues.
    Several GPUs or machines: start this command with torchrun or srun, or give each machine its --only.
    Exit status: 0 all measured, 1 an error or a training that diverged, 3 photographs that could not be measured,
    130 stopped by SIGTERM or Ctrl-C after saving.
    """
    from bench.ablations.config import load_ablation, members
    from bench.ablations.listing import members_table
    from bench.console import console

    ablation = load_ablation(config).changed(**changes)
    out = out or Path("runs", "ablations", ablation.name)
    trainings = members(ablation, out, data, only)
    first = is_first_process()
    screen, notes = console(quiet=not first), console(error=True, quiet=not first)
    if dry_run:
        screen.print(members_table(ablation, trainings))
        return
    from bench.ablations.run import ablate as run_ablation
    from bench.tables.terminal import print_sheet

    try:
        outcome = run_ablation(
            ablation, trainings, out, console=notes, device=device, data_root=data_root, command=typed()
        )
    except KeyboardInterrupt:
        notes.print(STOPPED)
        ctx.exit(130)
    print_sheet(outcome.sheet, screen)
    notes.print(f"[dim]trainings, Runs and the table in every format: {out}[/dim]", markup=True)
    if outcome.failures:
        ctx.exit(1)
    if not outcome.complete:
        ctx.exit(INCOMPLETE)


@click.command(cls=GroupedCommand)
@click.argument("config", metavar="CONFIG")
@DATA_ROOT
@BATCH_SIZE
@DEVICE
@option("--out", type=PATH, heading="Output", help="Folder of everything; default: results/suites/ and its name.")
@option("--dry-run", is_flag=True, heading="Output", help="Show what would be measured.")
@click.pass_context
def suite(ctx: click.Context, config: str, data_root: Path | None, out: Path | None, dry_run: bool, **how: Any) -> None:
    """Measure CONFIG and make its tables, plots and report: a YAML file, or the name of one in configs/suites.

    What is finished is not measured again: after any interruption the same command continues.
    Exit status: 0 all measured, 1 an error, 3 photographs that could not be measured, 130 stopped.
    """
    from bench.console import console
    from bench.suites.config import load_suite
    from bench.suites.listing import plan_table, print_reasons
    from bench.suites.run import measure_suite, plan_suite

    settings = load_suite(config)
    out = out or Path("results", "suites", settings.name)
    first = is_first_process()
    screen, notes = console(quiet=not first), console(error=True, quiet=not first)
    plan = plan_suite(settings, data_root)
    if dry_run:
        screen.print(plan_table(plan))
        print_reasons("left out", plan.left_out, screen)
        return
    command = typed()
    try:
        measured = measure_suite(plan, out / "runs", notes, command=command, **how)
    except KeyboardInterrupt:
        notes.print(STOPPED)
        ctx.exit(130)
    if first:
        from bench.suites.outputs import make_outputs
        from bench.tables.terminal import print_results

        made = make_outputs(settings, measured, out, command)
        print_results(measured.runs, screen)
        print_reasons("left out", measured.left_out | made.left_out, notes)
        print_reasons("failed", measured.failures, notes)
        notes.print(f"{len(made.files)} files: {made.files[-1]}", markup=False)
    if measured.failures:
        ctx.exit(1)
    if any(not run.complete for run in measured.runs):
        ctx.exit(INCOMPLETE)
