"""Models x datasets: one Run each, with progress for a person and the reasons why a pair was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bench.datasets import Dataset, open_dataset
from bench.errors import BenchError, ConfigError, UnknownNameError, WeightsError
from bench.loading import check_weights
from bench.predictions import Predictions
from bench.protocol import Protocol, load_protocol
from bench.registry import card_of, list_models
from bench.runs import RUNS, Run
from bench.settings import check_abilities

if TYPE_CHECKING:
    from bench.colorizer import Colorizer


@dataclass(frozen=True)
class Plan:
    """What is to be measured: every model on every dataset.

    Args:
        models: names; those of ``--model all`` whose weights are absent stand in ``left_out`` with the reason.
        predictions: images of a system that ran elsewhere, measured as one more model.
        datasets: opened and, if asked, shortened.
        protocol: for all of them.
        weights: a path, a name on the card, ``"random"`` or None (the card's default).
        sampling: ``steps`` and ``sampler`` of stochastic models, where the user named them.
        options: of the constructors of all models.
    """

    models: Sequence[str]
    datasets: Sequence[Dataset]
    protocol: Protocol
    weights: str | None = None
    predictions: Predictions | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def make_plan(
    models: Sequence[str],
    datasets: Sequence[str],
    protocol: str,
    *,
    weights: str | None = None,
    predictions: Predictions | None = None,
    sampling: dict[str, Any] | None = None,
    hints: int = 0,
    colourings: int = 1,
    split: str | None = None,
    data_root: Path | None = None,
    limit: int | None = None,
) -> Plan:
    """Look everything up before anything is measured.

    Raises:
        BenchError: a name is unknown, photographs or weights are missing, the protocol does not parse.
    """
    chosen, left_out = list(models), {}
    if "all" in models:
        chosen = [card.name for card in list_models()]
        for name in list(chosen):
            try:
                check_weights(card_of(name), weights)
            except (WeightsError, UnknownNameError) as error:
                left_out[name] = str(error)
                chosen.remove(name)
    else:
        for name in chosen:
            check_weights(card_of(name), weights)
            card = card_of(name)
            check_abilities(name, card.hints, card.stochastic, hints, colourings)
            if sampling and not card.stochastic:
                raise ConfigError(f"{name} draws nothing, so --{next(iter(sampling))} means nothing to it.")
    if predictions is not None and (hints or colourings > 1):
        raise ConfigError("--predictions are images that are finished: no --hints and no --colourings for them.")
    opened = [open_dataset(name, split=split, data_root=data_root) for name in datasets]
    if limit is not None:
        opened = [dataset.limited(limit) for dataset in opened]
    return Plan(chosen, opened, load_protocol(protocol), weights, predictions, sampling or {}, left_out)


OnError = Callable[[str, Dataset, BenchError], None]
"""Called with (model, dataset, why it was not measured)."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} img/s" if task.speed else "", style="cyan")


def measure(
    plan: Plan,
    console: Console,
    device: str | None = None,
    store: Path = RUNS,
    quiet: bool = False,
    on_error: OnError | None = None,
    **how: object,
) -> Iterator[Run]:
    """Measure the plan, model by model; yields each Run as soon as it is written.

    Args:
        console: for the progress bar (standard error, so that ``--json`` stays clean).
        device, store: see ``bench.evaluate``.
        quiet: no progress bar (processes other than the first).
        on_error: told of what cannot be measured, and the rest is; None = the first error ends it.
        how: fields of ``bench.evaluation.Settings``.
    """
    from bench.evaluation import Settings, evaluate

    begun = datetime.now(UTC)
    settings = Settings(**how)  # type: ignore[arg-type]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        subjects: list[str | Predictions] = [*plan.models, *([plan.predictions] if plan.predictions else [])]
        for subject in subjects:
            name = subject if isinstance(subject, str) else subject.title
            model: Colorizer | Predictions | None = None
            for dataset in plan.datasets:
                task = progress.add_task(escape(f"{name} on {dataset.name}"), total=len(dataset))
                try:
                    if model is None:
                        model = _loaded(plan, subject)
                    run = evaluate(
                        model,
                        dataset,
                        plan.protocol,
                        device=device,
                        store=store,
                        settings=settings,
                        on_progress=lambda done, total, task=task: progress.update(task, completed=done, total=total),  # type: ignore[misc]
                    )
                except BenchError as error:
                    if on_error is None:
                        raise
                    progress.remove_task(task)
                    on_error(name, dataset, error)
                    continue
                progress.update(task, completed=len(dataset))
                if run.environment.start < begun:
                    when = f"{run.environment.start:%Y-%m-%d %H:%M}"
                    note = f"{name} on {dataset.name} was measured {when} UTC; bench run --no-resume measures it again."
                    progress.console.print(f"[dim]{escape(note)}[/dim]")
                yield run


def _loaded(plan: Plan, subject: str | Predictions) -> Colorizer | Predictions:
    """What ``evaluate`` takes. A network lies on the CPU at first: each process then moves it to its own device."""
    if not isinstance(subject, str):
        return subject
    from bench.loading import load_model

    sampling = plan.sampling if card_of(subject).stochastic else {}
    return load_model(subject, plan.weights, device="cpu", **plan.options, **sampling)
