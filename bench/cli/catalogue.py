"""Verbs that list what there is: models, datasets, weights, doctor."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import DATA_ROOT, INCOMPLETE, behind_its_name


@click.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the models, or show the whole card of one."""
    from bench.console import console
    from bench.listings import model_card, models_table

    console().print(model_card(name) if name else models_table())


@click.group(invoke_without_command=True)
@DATA_ROOT
@click.pass_context
def datasets(ctx: click.Context, data_root: Path | None) -> None:
    """List the datasets, or check one."""
    if ctx.invoked_subcommand is not None:
        behind_its_name(ctx)
        return
    from bench.console import console
    from bench.listings import datasets_table

    console().print(datasets_table(data_root))


@datasets.command()
@click.argument("name")
@click.option("--split", help="Split of the dataset.")
@DATA_ROOT
@click.pass_context
def check(ctx: click.Context, name: str, split: str | None, data_root: Path | None) -> None:
    """Count the photographs of NAME and read every file."""
    from bench.console import console
    from bench.listings import check_and_print

    if not check_and_print(name, split, data_root, console()):
        ctx.exit(INCOMPLETE)


@click.group()
def weights() -> None:
    """List, fetch and verify weights."""


@weights.command("list")
def weights_list() -> None:
    """Every file of weights that is known, and whether it is here."""
    from bench.console import console
    from bench.listings import weights_table

    console().print(weights_table())


@weights.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="MODEL[/WEIGHTS]...")
def weights_fetch(names: tuple[str, ...]) -> None:
    """Download weights into the cache and check them."""
    from bench.fetching import fetch
    from bench.weights import statuses_named

    for status in (status for name in names for status in statuses_named(name)):
        click.echo(f"{status.reference}: {fetch(status.weights, status.model)}")


@weights.command("verify")
@click.argument("names", nargs=-1, metavar="[MODEL[/WEIGHTS]]...")
@click.pass_context
def weights_verify(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Compare the files that are here with their known digests."""
    from bench.listings import verify_and_print

    if not verify_and_print(names):
        ctx.exit(1)


@click.command()
def doctor() -> None:
    """Devices, data and weights: what is here, what is missing and how to get it."""
    from bench.console import console
    from bench.doctor import examine

    examine(console())
