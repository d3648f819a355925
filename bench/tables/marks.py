"""What a reader must know of a Run beside its numbers, in a word or two each."""

from __future__ import annotations

from typing import Any

from bench.runs import Run

REFERENCE = "reference"  # family of the floor and the ceiling: no colorizers, so that nothing competes with them

_SOURCES = {
    "shipped": "trained here",
    "trained here": "trained here",
    "third party": "third-party weights",
    "random": "random weights",
    "memory": "weights in memory",
}


def marks(run: Run, options: bool = True) -> tuple[str, ...]:
    """Whatever makes a Run another thing than photographs coloured by official weights in full precision.

    That only a part of the split was there is not among them: ``subset`` says that.

    Args:
        options: whether to name those of the network.
    """
    found = [] if run.complete else ["incomplete"]
    found += _weights(run)
    found += [f"{key}={value}" for key, value in sorted(run.model.options.items()) if options]
    found += [f"{run.hints} hint{'s' * (run.hints > 1)}"] if run.hints else []
    found += [run.environment.precision] if run.environment.precision != "fp32" else []
    return tuple(found)


def subset(run: Run) -> str | None:
    """``38/5000`` where not exactly the photographs of the split were measured, else None."""
    dataset = run.dataset
    return None if dataset.complete else f"{dataset.n}/{dataset.expected or dataset.n}"


def device_name(run: Run) -> str:
    """What it was measured on, e.g. ``NVIDIA H200`` or ``CPU: AMD EPYC 9654``."""
    device: dict[str, Any] = run.environment.device
    name = str(device.get("name") or "unknown device")
    return f"CPU: {name}" if device.get("type") == "cpu" else name


def _weights(run: Run) -> list[str]:
    """Where the weights came from, unless they are official or there is nothing to train."""
    if run.model.source == "predictions":
        return [run.model.weights]
    if run.model.source == "file":
        return [f"weights {run.model.weights}"]
    return [_SOURCES[run.model.source]] if run.model.source in _SOURCES else []
