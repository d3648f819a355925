"""Training and measuring every variant of an ablation. Whenever it is stopped, the same call continues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from bench.ablations.config import Ablation, Member
from bench.ablations.sheet import ablation_sheet
from bench.cache import write_atomically
from bench.configs import checked
from bench.errors import ConfigError
from bench.runs import Store
from bench.tables import FORMATS
from bench.tables.render import render_file
from bench.tables.sheet import Sheet
from bench.training.config import TrainConfig, check_same_run

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from bench.datasets import Dataset
    from bench.protocol import Protocol


@dataclass(frozen=True)
class Outcome:
    """How a call of ``ablate`` ended.

    Args:
        sheet: the table, of all that has been measured so far.
        failures: name of a file of weights -> why its training diverged.
        complete: whether every photograph was measured.
    """

    sheet: Sheet
    failures: Mapping[str, str]
    complete: bool


def ablate(
    ablation: Ablation,
    members: Sequence[Member],
    out: Path,
    *,
    console: Console,
    device: str | None = None,
    data_root: Path | None = None,
    command: str = "",
) -> Outcome:
    """Train and measure every member, in order; those that are finished are not touched.

    ``out`` then holds a folder for each training, the Runs (see ``Ablation.store``), and ``table.{md,csv,tex,html}``,
    which are written anew after every member. All processes of torchrun or Slurm must call this and see the same
    folder.

    Args:
        ablation: what the table is of.
        members: of ``bench.ablations.config.members``.
        out: folder of the ablation.
        console: for progress.
        device: see ``bench.processes.connect``.
        data_root: see ``bench.datasets.open_dataset``.
        command: what the user typed, for the record.

    Raises:
        BenchError: anything the user can mend. A training that diverges is noted, and the others go on.
        KeyboardInterrupt: stopped by SIGTERM or Ctrl-C; nothing is lost.
    """
    from bench.processes import connect
    from bench.training.guard import DivergenceError

    datasets, protocol = _find(ablation, data_root)
    for member in members:
        check_same_training(member)
    _check(members)
    fabric = connect(device)
    failures: dict[str, str] = {}
    complete = True
    for number, member in enumerate(members, 1):
        console.print(f"[bold]{number} of {len(members)}:[/bold] {escape(member.title)}")
        try:
            train_member(member, ablation, fabric, console, device)
        except DivergenceError as error:
            failures[member.weights.name] = str(error)
            console.print(f"[red]{escape(str(error))}[/red]")
        else:
            complete &= _measure(member, datasets, protocol, out / ablation.store, console, device, command)
        if fabric.is_global_zero:
            write_table(ablation, out, failures)
    fabric.barrier()
    return Outcome(_sheet(ablation, out, failures), failures, complete)


def write_table(ablation: Ablation, out: Path, failures: Mapping[str, str]) -> None:
    """The table of all Runs in ``out``, in every format."""
    sheet = _sheet(ablation, out, failures)
    for form in FORMATS:
        write_atomically(out / f"table.{form}", render_file([sheet], form).encode())


def _sheet(ablation: Ablation, out: Path, failures: Mapping[str, str]) -> Sheet:
    trained = {path.name for path in out.glob("*/*.safetensors")}
    return ablation_sheet(ablation, list(Store(out / ablation.store)), failures, trained)


def train_member(
    member: Member, ablation: Ablation, fabric: Fabric, console: Console, device: str | None = None
) -> None:
    """Train, from where it was, and export the weights; nothing if they are there.

    Raises:
        ConfigError: the best weights are asked for, and no validation ever told which they are.
        DivergenceError: a loss exploded.
        KeyboardInterrupt: somebody asked to stop; there is a checkpoint.
    """
    if not member.trained:
        from bench.training.checkpoint import Checkpoints
        from bench.training.export import export
        from bench.training.logs import report
        from bench.training.trainer import train

        outcome = train(member.config, member.folder, resume=True, device=device, console=console)
        if not outcome.finished:
            raise KeyboardInterrupt
        if ablation.weights == "best" and not Checkpoints(member.folder / "checkpoints", keep=1).best.is_file():
            raise ConfigError(
                f"{member.folder} has no best checkpoint: its validation could not measure "
                f"{member.config.checkpoints.best}. Choose another number as checkpoints.best, or weights: last."
            )
        if fabric.is_global_zero:
            report(outcome, console)
            export(member.folder, member.weights, ablation.weights)
    fabric.barrier()


def check_same_training(member: Member) -> None:
    """Raise ConfigError if the folder holds another training than this member's, be it only a longer one."""
    record = member.folder / "config.json"
    if not record.is_file() or not (member.trained or member.steps_done()):
        return
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{record} cannot be read ({error}). Delete {member.folder} to train it anew.") from error
    then = checked(TrainConfig, content, str(record))
    check_same_run(member.config, then, member.folder)
    if then.steps != member.config.steps:
        raise ConfigError(
            f"{member.folder} holds a training of {then.steps:,} steps, not of {member.config.steps:,}. Variants "
            "compare only if all were trained alike: use its number of steps, or another folder with --out."
        )


def _find(ablation: Ablation, data_root: Path | None) -> tuple[list[Dataset], Protocol]:
    """What is measured on and how, found before anything is trained."""
    from bench.datasets import open_dataset
    from bench.protocol import load_protocol

    protocol = load_protocol(ablation.protocol)
    for metric in ablation.metrics:
        if metric not in protocol.metrics:
            raise ConfigError(
                f"{ablation.name}, key 'metrics': the protocol {protocol.name} does not measure {metric!r}. "
                f"It measures {', '.join(protocol.metrics)}."
            )
    return [open_dataset(name, data_root=data_root).limited(ablation.limit) for name in ablation.datasets], protocol


def _check(members: Sequence[Member]) -> None:
    """Build every variant that is to be trained once: a mistake in the last one should not wait for the others."""
    from bench import registry
    from bench.training.recipe import make_recipe

    waiting = {member.variant: member for member in members if not member.trained}
    for variant, member in waiting.items():
        config = member.config
        try:
            make_recipe(config.model, registry.build(config.model, **config.options), config.recipe)
        except ConfigError as error:
            raise ConfigError(f"variant {variant!r}: {error}") from error


def _measure(
    member: Member,
    datasets: Sequence[Dataset],
    protocol: Protocol,
    store: Path,
    console: Console,
    device: str | None,
    command: str,
) -> bool:
    """Measure the trained weights on every dataset; whether every photograph could be."""
    from bench.matrix import Plan, measure

    plan = Plan(
        [member.config.model], datasets, protocol, weights=str(member.weights), options=dict(member.config.options)
    )
    runs = list(measure(plan, console, device=device, store=store, quiet=console.quiet, command=command))
    return all(run.complete for run in runs)
