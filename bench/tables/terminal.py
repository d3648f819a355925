"""Runs as a table to read in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.matrix import Plan
from bench.metrics import NUMBERS
from bench.runs import Estimate, Run

ARROWS = {"higher": "↑", "lower": "↓", "target": "", "none": ""}


def cell(estimate: Estimate | None, decimals: int) -> str:
    """A value with half its interval, or a dash where nothing was measured."""
    if estimate is None or estimate.value is None:
        return "[dim]–[/dim]"
    text = f"{estimate.value:.{decimals}f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [dim]±{(estimate.high - estimate.low) / 2:.{decimals}f}[/dim]"
    return text


def marks(run: Run) -> str:
    """What a reader must know beside the numbers."""
    notes = []
    if not run.complete:
        notes.append("incomplete")
    if run.model.source == "random":
        notes.append("random weights")
    if run.model.source == "predictions":
        notes.append(run.model.weights)
    if run.hints:
        notes.append(f"{run.hints} hints")
    if run.environment.precision != "fp32":
        notes.append(run.environment.precision)
    return f" [red]({', '.join(notes)})[/red]" if notes else ""


def results_table(runs: Sequence[Run]) -> Table:
    """One row per Run; a column per number that was measured in any of them."""
    names = [n for n in NUMBERS if any(n in r.metrics and r.metrics[n].value is not None for r in runs)]
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    table.add_column("dataset")
    table.add_column("model")
    table.add_column("n", justify="right")
    for name in names:
        table.add_column(f"{NUMBERS[name].label}{ARROWS[NUMBERS[name].better]}", justify="right", no_wrap=True)
    table.add_column("img/s", justify="right")
    previous = None
    for run in runs:
        dataset = f"{run.dataset.name}/{run.dataset.split}"
        table.add_row(
            "" if dataset == previous else escape(dataset),
            escape(run.model.name) + marks(run),
            f"{run.dataset.n}/{run.dataset.expected}" if not run.dataset.complete else str(run.dataset.n),
            *(cell(run.metrics.get(n), NUMBERS[n].decimals) for n in names),
            "–" if run.speed.images_per_second is None else f"{run.speed.images_per_second:.1f}",
        )
        previous = dataset
    return table


def print_results(runs: Sequence[Run], console: Console) -> None:
    """The table, then why numbers are missing and which photographs failed."""
    datasets = list(dict.fromkeys(run.dataset.name for run in runs))
    console.print(results_table(sorted(runs, key=lambda run: datasets.index(run.dataset.name))))
    reasons: dict[str, list[str]] = {}
    for run in runs:
        for name, estimate in run.metrics.items():
            if estimate.value is None and estimate.reason and name not in reasons.setdefault(estimate.reason, []):
                reasons[estimate.reason].append(name)
    for reason, names in reasons.items():
        console.print(f"[dim]not measured: {', '.join(names)} – {escape(reason)}[/dim]")
    hashes = sorted({f"{run.protocol.name} ({run.protocol.hash})" for run in runs})
    console.print(f"[dim]protocol {escape(', '.join(hashes))}; ± is half of the 95 % interval[/dim]")
    for run in runs:
        for failure in run.failures[:5]:
            told = escape(f"{run.dataset.name}: {failure.name} was not measured: {failure.reason}")
            console.print(f"[red]{told}[/red]")
        if len(run.failures) > 5:
            more = f"and {len(run.failures) - 5} more, see result.json"
            console.print(f"[red]{escape(run.dataset.name)}: {more}[/red]")


def print_plan(plan: Plan, console: Console) -> None:
    """What ``bench run --dry-run`` shows."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("model", "weights", "dataset", "photographs", "protocol", "numbers"):
        table.add_column(column)
    for model in [*plan.models, *([plan.predictions.title] if plan.predictions else [])]:
        for dataset in plan.datasets:
            protocol = f"{plan.protocol.name} ({plan.protocol.hash})"
            weights = plan.weights or "default"
            cells = (model, weights, dataset.key, dataset.count, protocol, ", ".join(plan.protocol.metrics))
            table.add_row(*map(escape, cells))
    console.print(table)
