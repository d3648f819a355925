"""Measuring a suite: finding what is here, then every model on every dataset under every protocol."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, product
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench.datasets import Dataset, open_dataset
from bench.errors import BenchError, ConfigError, DatasetError, UnknownNameError, WeightsError
from bench.protocol import Protocol, load_protocol
from bench.registry import card_of, is_file_reference, list_models
from bench.runs import Run
from bench.settings import check_abilities
from bench.suites.config import Entry, Suite


@dataclass(frozen=True)
class Plan:
    """A suite with everything looked up.

    Args:
        suite: the suite.
        entries: one model each, whose weights are here.
        datasets: name in the suite -> photographs, of those that are here, shortened if asked.
        protocols: read.
        left_out: model or dataset -> why it is not measured.
    """

    suite: Suite
    entries: Sequence[Entry]
    datasets: Mapping[str, Dataset]
    protocols: Sequence[Protocol]
    left_out: dict[str, str]

    @property
    def shares(self) -> list[tuple[list[Dataset], int]]:
        """Neighbouring datasets, and how many pictures to keep of each Run on them."""
        names = groupby(self.datasets, self.suite.samples_of)
        return [([self.datasets[name] for name in group], samples) for samples, group in names]


@dataclass
class Measured:
    """What came of a suite.

    Args:
        runs: in the order of protocols, models and datasets.
        left_out: what was not measured because something it needs is not here, and what.
        failures: what was to be measured and could not be, and why.
    """

    runs: list[Run] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def plan_suite(suite: Suite, data_root: Path | None = None) -> Plan:
    """Look everything up before anything is measured.

    Raises:
        BenchError: a name is unknown; or photographs or weights are missing, and the suite requires all; or nothing
            is left to measure.
    """
    left_out: dict[str, str] = {}

    def leave_out(title: str, error: BenchError) -> None:
        if suite.require == "all":
            raise error
        left_out[title] = str(error)

    entries: list[Entry] = []
    for entry in _expanded(suite):
        try:
            _check(entry)
        except WeightsError as error:
            leave_out(entry.title, error)
        else:
            entries += [entry] if entry not in entries else []
    datasets: dict[str, Dataset] = {}
    for name in dict.fromkeys(suite.datasets):
        try:
            datasets[name] = open_dataset(name, data_root=data_root).limited(suite.limit)
        except DatasetError as error:
            leave_out(name, error)
    if not entries or not datasets:
        raise BenchError(f"nothing of the suite {suite.name} can be measured here:\n{_listed(left_out)}")
    return Plan(suite, entries, datasets, [load_protocol(name) for name in dict.fromkeys(suite.protocols)], left_out)


def measure_suite(
    plan: Plan, store: Path, console: Console, *, device: str | None = None, batch_size: int = 16, command: str = ""
) -> Measured:
    """Measure what is not yet measured. What cannot be measured does not keep the rest from being measured.

    Args:
        plan: of ``plan_suite``.
        store: folder of the Runs.
        console: for progress.
        device: see ``bench.evaluate``.
        batch_size: photographs per forward pass.
        command: what the user typed, for the record.

    Raises:
        KeyboardInterrupt: stopped by SIGTERM or Ctrl-C; the same call continues.
    """
    from bench.matrix import Plan as Matrix
    from bench.matrix import measure

    measured = Measured(left_out=dict(plan.left_out))
    runs: dict[Path, Run] = {}  # two entries may mean the same weights
    for protocol, entry, (datasets, samples) in product(plan.protocols, plan.entries, plan.shares):
        matrix = Matrix([entry.name], datasets, protocol, weights=entry.weights, options=dict(entry.options))
        stochastic = card_of(entry.name).stochastic
        title = entry.title if len(plan.protocols) == 1 else f"{entry.title} by protocol {protocol.name}"
        found = measure(
            matrix,
            console,
            device=device,
            store=store,
            quiet=console.quiet,
            on_error=partial(_note, measured, console, title),
            batch_size=batch_size,
            hints=entry.hints,
            colourings=plan.suite.colourings if stochastic else 1,
            samples=samples,
            command=command,
        )
        runs |= {run.folder: run for run in found}
    if not runs:
        raise BenchError(f"nothing of the suite {plan.suite.name} could be measured:\n{_listed(measured.failures)}")
    measured.runs = list(runs.values())
    return measured


def _note(measured: Measured, console: Console, title: str, _model: str, dataset: Dataset, error: BenchError) -> None:
    """What becomes of an error: told at once and at the end."""
    # Without original colours there is nothing to draw hints from: that is no failure, there is nothing to measure.
    unsuited = isinstance(error, ConfigError) and not dataset.has_reference
    (measured.left_out if unsuited else measured.failures)[f"{title} on {dataset.key}"] = str(error)
    console.print(f"[yellow]{escape(f'{title} on {dataset.key}: {error}')}[/yellow]")


def _expanded(suite: Suite) -> Iterator[Entry]:
    """One entry a model; those without weights of their own get the suite's."""
    names = [card.name for card in list_models()]
    for entry in suite.models:
        pattern = "*" if entry.name == "all" else entry.name
        matching = [pattern] if is_file_reference(pattern) else fnmatch.filter(names, pattern)
        if not matching:
            raise UnknownNameError("model", entry.name, names)
        for name in matching:
            weights = entry.weights or (suite.weights if card_of(name).trainable else None)
            yield entry.model_copy(update={"name": name, "weights": weights})


def _check(entry: Entry) -> None:
    """Raise what measuring would raise because the weights are absent or the model cannot do what is asked."""
    from bench.loading import check_weights

    card = card_of(entry.name)
    check_weights(card, entry.weights)
    check_abilities(entry.name, card.hints, card.stochastic, entry.hints, colourings=1)


def _listed(reasons: Mapping[str, str]) -> str:
    """One line for each."""
    return "\n".join(f"- {title}: {reason.splitlines()[0]}" for title, reason in reasons.items())
