"""Verbs that train: train, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import CHANGES, DEVICE, EXISTING, PATH, GroupedCommand, is_first_process, option


@click.command(cls=GroupedCommand)
@click.argument("config", metavar="CONFIG")
@option("--data", metavar="PATH|URL", heading="What", help="Photographs: a folder, tar shards, or a URL of shards.")
@CHANGES
@DEVICE
@option("--out", type=PATH, heading="Output", help="Folder of the run; default: runs/ and the configuration's name.")
@option("--resume", is_flag=True, heading="Output", help="Continue from the newest checkpoint in --out.")
@option("--dry-run", is_flag=True, heading="Output", help="Show the whole configuration and stop.")
@click.pass_context
def train(
    ctx: click.Context,
    config: str,
    data: str | None,
    changes: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    **how: Any,
) -> None:
    """Train a model by CONFIG: a YAML file, or the name of one in configs/train.

    Several GPUs or machines: start this command with torchrun or srun.
    Exit status: 0 finished, 1 an error, 130 stopped by SIGTERM or Ctrl-C after saving.
    """
    from bench.console import console
    from bench.training.config import load_config

    settings = load_config(config, changes, data)
    if dry_run:
        click.echo(settings.model_dump_json(indent=2))
        return
    from bench.training.logs import report
    from bench.training.trainer import train as train_model

    screen = console(error=True, quiet=not is_first_process())
    folder = out or Path("runs", Path(config).stem)
    try:
        outcome = train_model(settings, folder, console=screen, **how)
    except KeyboardInterrupt:  # once the first step has begun, the trainer saves and returns
        screen.print("stopped before the first step; nothing new to save.")
        ctx.exit(130)
    report(outcome, screen)
    if not outcome.finished:
        ctx.exit(130)


@click.command(cls=GroupedCommand)
@click.argument("run_folder", metavar="RUN", type=EXISTING)
@option("--to", type=PATH, required=True, heading="Output", help="File to write: .safetensors or .onnx.")
@option("--last", is_flag=True, heading="What", help="The last checkpoint instead of the best one.")
@option("--half", is_flag=True, heading="Output", help="16 bits for each weight (safetensors).")
@option("--size", type=click.IntRange(min=8), heading="Output", help="Side of the ONNX graph's input.")
def export(run_folder: Path, to: Path, last: bool, half: bool, size: int | None) -> None:
    """Write the weights of a training run: its folder, or one of its checkpoints.

    A .safetensors file is for `bench run --weights`; an .onnx graph (lightness in, chroma out) for other programs.
    """
    from bench.training.export import export as export_run

    click.echo(export_run(run_folder, to, "last" if last else "best", half, size))
