"""What stands beside the numbers of a report: failures, protocols, environments, and how to measure again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.labels import dataset_label
from bench.metrics import NUMBERS
from bench.runs import Environment, Run

Name = Callable[[Run], str]
_CONTENT = ("name", "description", "metrics")  # keys of a protocol that are not shown among the others


@dataclass(frozen=True)
class Named:
    """Models by the photographs they were measured on."""

    photographs: str
    models: Sequence[str]


@dataclass(frozen=True)
class FailureFacts:
    """One photograph that could not be measured, and for which models."""

    photographs: str
    name: str
    reason: str
    models: Sequence[str]


@dataclass(frozen=True)
class ProtocolFacts:
    """One protocol: its definition but for the numbers, these with what they mean, and the Runs made under it."""

    name: str
    hash: str
    description: str
    definition: dict[str, Any]
    numbers: Sequence[tuple[str, str]]
    runs: Sequence[Named]


@dataclass(frozen=True)
class EnvironmentFacts:
    """Code, device and libraries that several Runs share."""

    mark: str
    title: str
    code: dict[str, Any]
    device: dict[str, Any]
    libraries: dict[str, str]
    runs: Sequence[Named]


@dataclass(frozen=True)
class Reproduction:
    """One row of the tables: which Run it is and the command that made it."""

    model: str
    photographs: str
    facts: dict[str, Any]
    command: str


class Facts:
    """All of these, of Runs.

    Args:
        runs: of the report.
        model: label of a Run's model.
        photographs: title of what it was measured on.
    """

    def __init__(self, runs: Sequence[Run], model: Name, photographs: Name) -> None:
        self.runs, self._model, self._photographs = runs, model, photographs

    def failures(self) -> list[FailureFacts]:
        """By photograph and reason; models that share both stand together."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for run in self.runs:
            for failure in run.failures:
                found.setdefault((self._photographs(run), failure.name, failure.reason), []).append(self._model(run))
        return [FailureFacts(*key, models) for key, models in found.items()]

    def protocols(self) -> list[ProtocolFacts]:
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.protocol.hash, []).append(run)
        return [self._protocol(group) for group in groups.values()]

    def environments(self) -> list[EnvironmentFacts]:
        """Marked A, B, C in the order of their first Runs."""
        return [self._environment(group, mark) for mark, group in self._by_environment().items()]

    def reproductions(self) -> list[Reproduction]:
        mark = {run.folder: mark for mark, group in self._by_environment().items() for run in group}
        return [
            Reproduction(
                self._model(run),
                self._photographs(run),
                _facts_of(run) | {"environment": mark[run.folder]},
                run.environment.command,
            )
            for run in self.runs
        ]

    def _by_environment(self) -> dict[str, list[Run]]:
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            shared = run.environment.model_dump_json(exclude={"command", "start", "end"})
            groups.setdefault(shared, []).append(run)
        return {_letters(place): group for place, group in enumerate(groups.values())}

    def _protocol(self, group: Sequence[Run]) -> ProtocolFacts:
        protocol = group[0].protocol
        definition = protocol.definition
        names = definition.get("metrics") or list(group[0].metrics)
        numbers = [(NUMBERS[n].label, NUMBERS[n].definition) if n in NUMBERS else (n, "") for n in names]
        rest = {key: value for key, value in definition.items() if key not in _CONTENT}
        description = str(definition.get("description", ""))
        return ProtocolFacts(protocol.name, protocol.hash, description, rest, numbers, self._named(group))

    def _environment(self, group: Sequence[Run], mark: str) -> EnvironmentFacts:
        environment = group[0].environment
        device = {key.replace("_", " "): value for key, value in environment.device.items() if value is not None}
        title = str(device.get("name") or device.get("type") or "unknown device")
        code = _code(environment) | {"precision": environment.precision}
        return EnvironmentFacts(mark, title, code, device, environment.libraries, self._named(group))

    def _named(self, group: Iterable[Run]) -> list[Named]:
        found: dict[str, list[str]] = {}
        for run in group:
            found.setdefault(self._photographs(run), []).append(self._model(run))
        return [Named(photographs, models) for photographs, models in found.items()]


def _code(environment: Environment) -> dict[str, Any]:
    changes = {True: "with uncommitted changes", False: "none uncommitted", None: "unknown"}[environment.dirty]
    return {
        "version": environment.code_version,
        "commit": environment.commit or "unknown",
        "changes": changes,
        "sources": environment.code_digest,
    }


def _facts_of(run: Run) -> dict[str, Any]:
    """What besides the command decides the numbers."""
    model, dataset = run.model, run.dataset
    expected = f" of {dataset.expected:,}" if dataset.expected not in (None, dataset.n) else ""
    return {
        "weights": f"{model.weights} ({model.source})",
        **({"weights file": model.file} if model.file else {}),
        **({"weights sha256": model.sha256} if model.sha256 else {}),
        **({"options": json.dumps(model.options, sort_keys=True, default=str)} if model.options else {}),
        "photographs": f"{dataset.n:,}{expected} of {dataset_label(dataset.name, dataset.split)}",
        "dataset digest": dataset.digest,
        "protocol": f"{run.protocol.name} ({run.protocol.hash})",
        "seed": run.seed,
        **({"hints": run.hints} if run.hints else {}),
        "commit": (run.environment.commit or "unknown")
        + (" with uncommitted changes" if run.environment.dirty else ""),
        "record": (run.folder / "result.json").as_posix(),
    }


def _letters(place: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)
