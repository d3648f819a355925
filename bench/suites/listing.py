"""What ``bench suite`` says on the screen of what it measures and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.suites.run import Plan


def plan_table(plan: Plan) -> Table:
    """Every model on every dataset under every protocol."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("model", "dataset", "photographs", "protocol"):
        table.add_column(column)
    for protocol in plan.protocols:
        for entry in plan.entries:
            for dataset in plan.datasets.values():
                table.add_row(
                    escape(entry.title),
                    escape(dataset.key),
                    dataset.count,
                    escape(f"{protocol.name} ({protocol.hash})"),
                )
    return table


def print_reasons(what: str, reasons: Mapping[str, str], console: Console) -> None:
    """The first line of each reason, which says what is wrong; the suite's README.md has all of them."""
    for title, reason in reasons.items():
        console.print(f"[yellow]{what}: {escape(title)}[/yellow] [dim]– {escape(reason.splitlines()[0])}[/dim]")
