"""What there is: models, datasets and weights as tables. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from bench.datasets import DATASETS, open_dataset
from bench.errors import DatasetError
from bench.registry import ModelCard, card_of, list_models
from bench.weights import WeightsStatus, catalogue, statuses_named, verify

if TYPE_CHECKING:
    from bench.datasets.check import CheckReport


def plain_table(*columns: str) -> Table:
    """A borderless table; columns that end in ``>`` are aligned to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left")
    return table


def amount(value: float | None, unit: float, suffix: str) -> str:
    return "–" if value is None else f"{value / unit:.{1 if value >= 10 * unit else 2}f} {suffix}"


def models_table() -> Table:
    """Every registered model."""
    table = plain_table("model", "family", "year>", "parameters>", "MACs at 256>", "licence", "weights", "takes")
    here = {(s.model, s.weights.name): s.status for s in catalogue()}
    for card in list_models():
        weights = ", ".join(
            f"{escape(w.name)} [dim]({escape(w.origin)}, {here[card.name, w.name]})[/dim]" for w in card.weights
        )
        table.add_row(
            f"[bold]{escape(card.name)}[/bold]",
            escape(card.family),
            str(card.year or "–"),
            amount(card.parameters, 1e6, "M"),
            amount(card.macs, 1e9, "G"),
            escape(card.licence),
            weights or ("[dim]none published[/dim]" if card.trainable else "[dim]needs none[/dim]"),
            ", ".join([*(["hints"] if card.hints else []), *(["a seed"] if card.stochastic else [])]) or "–",
        )
    return table


def model_card(name: str) -> RenderableType:
    """All that is known of one model."""
    card: ModelCard = card_of(name)
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column()
    side = f"{card.working_size} px" if card.working_size else "any"
    for label, value in (
        ("model", f"{card.name} – {card.title}"),
        ("family", card.family),
        ("published", " ".join(filter(None, (str(card.year or ""), card.paper, card.repository))) or "–"),
        ("parameters", f"{card.parameters:,}" if card.parameters is not None else "–"),
        ("MACs at 256", amount(card.macs, 1e9, "G")),
        ("working size", side),
        ("licence of the code", card.licence),
        ("colour hints", "yes" if card.hints else "no"),
        ("stochastic", "yes" if card.stochastic else "no"),
        ("note", card.note or "–"),
    ):
        facts.add_row(label, escape(value))
    table = plain_table("weights", "status", "origin", "licence", "size>", "from", "note")
    for status in catalogue():
        if status.model == name:
            table.add_row(*_weights_row(status))
    return Group(facts, "", table) if card.weights else facts


def _weights_row(status: WeightsStatus) -> tuple[str, ...]:
    weights = status.weights
    return (
        escape(status.reference),
        status.status if status.status != "absent" else f"[dim]{status.status}[/dim]",
        escape(weights.origin),
        escape(weights.licence),
        amount(status.bytes, 1e6, "MB"),
        escape(weights.hub or ("this package" if weights.shipped else weights.url or "–")),
        f"[dim]{escape(weights.note)}[/dim]",
    )


def weights_table() -> Table:
    table = plain_table("weights", "status", "origin", "licence", "size>", "from", "note")
    for status in catalogue():
        table.add_row(*_weights_row(status))
    return table


def verify_and_print(names: tuple[str, ...]) -> bool:
    """One line per file that is here (or named); False if any differs from its digest."""
    named = [status for name in names for status in statuses_named(name)]
    chosen = named if names else [status for status in catalogue() if status.status != "absent"]
    good = True
    for status in chosen:
        outcome = verify(status)
        expected = f", expected {outcome.expected}" if outcome.outcome == "mismatch" else ""
        click.echo(f"{outcome.outcome:9s} {status.reference}  sha256 {outcome.digest}{expected}")
        good &= outcome.outcome != "mismatch"
    if not chosen:
        click.echo("no weights are here; `bench weights list` shows what there is.")
    return good


def datasets_table(data_root: Path | None) -> Table:
    """Every dataset: how many of its photographs are here, and their digest where it is known without reading them."""
    table = plain_table("dataset", "split", "photographs>", "of>", "digest", "where")
    for info in DATASETS.values():
        for split in info.splits:
            try:
                dataset = open_dataset(info.name, split=split, data_root=data_root)
            except DatasetError:
                missing = ("–", str(info.splits[split] or "–"), "", "[dim]not found; see `bench doctor`[/dim]")
                table.add_row(f"[bold]{info.name}[/bold]", split, *missing)
                continue
            digest = dataset.quick_digest()
            table.add_row(
                f"[bold]{info.name}[/bold]",
                split,
                str(len(dataset)),
                str(dataset.expected or "–"),
                digest[:12] if digest else f"[dim]bench datasets check {info.name}[/dim]",
                escape(str(dataset.root)),
            )
    table.add_row("[bold]folder:PATH[/bold]", "all", "–", "–", "", "[dim]any folder of photographs[/dim]")
    return table


def check_and_print(name: str, split: str | None, data_root: Path | None, console: Console) -> bool:
    """Read every photograph of a dataset and print what was found; the digest last, since it reads them once more.

    Returns:
        False if a photograph is missing, stems from outside the split, or cannot be read.
    """
    from rich.progress import Progress

    from bench.console import console as screen
    from bench.datasets.check import check_dataset

    dataset = open_dataset(name, split=split, data_root=data_root)
    with Progress(console=screen(error=True)) as progress:
        task = progress.add_task(f"reading {escape(dataset.name)}", total=len(dataset))
        report = check_dataset(dataset, progress=lambda done, _total: progress.update(task, completed=done))
    print_report(report, console)
    console.print(f"digest {dataset.digest()}")
    return report.sound and report.complete


def print_report(report: CheckReport, console: Console) -> None:
    """What was found, then what is wrong."""
    console.print(escape(f"{report.key}: {report.found:,} photographs in {report.root}"))
    if report.smallest and report.largest:
        sizes = " to ".join(f"{size.width} x {size.height}" for size in (report.smallest, report.largest))
        console.print(f"sizes from {sizes}; {len(report.gray)} gray")
    for names in report.duplicates:
        console.print(f"[yellow]the same photograph: {escape(', '.join(names))}[/yellow]")
    lacking = (report.expected or report.found) - (report.found - report.strays)
    if lacking:
        console.print(f"[red]{lacking:,} of {report.expected:,} photographs are missing[/red]")
    if report.strays:
        console.print(f"[red]{report.strays:,} photographs are from outside the split[/red]")
    for name, reason in report.unreadable:
        console.print(f"[red]unreadable: {escape(name)}: {escape(reason)}[/red]")
