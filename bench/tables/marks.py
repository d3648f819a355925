"""What a reader must know of a Run beside its numbers, in a word or two each."""

from __future__ import annotations

from typing import Any

from bench.labels import hints_label
from bench.runs import Run

REFERENCE = "reference"  # family of the floor and the ceiling: no colorizers, so that nothing competes with them

TRAINED_HERE = "trained here"
LOSSLESS = "predictions"  # weights of images that were coloured elsewhere and kept without loss
_SOURCES = {
    "shipped": TRAINED_HERE,
    "trained here": TRAINED_HERE,
    "third party": "third-party weights",
    "random": "random weights",
    "memory": "weights in memory",
}


def marks(run: Run) -> tuple[str, ...]:
    """Whatever makes a Run another thing than photographs coloured by official weights in full precision.

    That only a part of the split was there is not among them: ``subset`` says that.
    """
    found = [] if run.complete else ["incomplete"]
    found += [weights_mark(run)]
    found += [f"{key}={value}" for key, value in sorted(run.model.options.items())]
    found += [hints_mark(run)]
    found += [f"{run.colourings} colourings"] if run.colourings > 1 else []
    found += [run.environment.precision] if run.environment.precision != "fp32" else []
    return tuple(filter(None, found))


def weights_mark(run: Run) -> str:
    """Where the weights came from; empty if they are official or there is nothing to train."""
    if run.model.source == "predictions":
        return run.model.weights
    if run.model.source == "file":
        return f"weights {run.model.weights}"
    return _SOURCES.get(run.model.source, "")


def hints_mark(run: Run) -> str:
    """``5 hints``; empty without any."""
    return hints_label(run.hints) if run.hints else ""


def competes(run: Run) -> bool:
    """Whether a Run may be called the best of anything: a colorizer that was trained, all of it measured, unaided.

    The floor and the ceiling, random weights, hints and incomplete Runs are shown, but compete with nothing.
    """
    return run.complete and not run.hints and run.model.family != REFERENCE and run.model.source != "random"


def subset(run: Run) -> str | None:
    """``38/5000`` where not exactly the photographs of the split were measured, else None."""
    dataset = run.dataset
    return None if dataset.complete else f"{dataset.n}/{dataset.expected or dataset.n}"


def device_name(run: Run) -> str:
    """What it was measured on, e.g. ``NVIDIA H200`` or ``CPU: AMD EPYC 9654``."""
    device: dict[str, Any] = run.environment.device
    name = str(device.get("name") or "unknown device")
    return f"CPU: {name}" if device.get("type") == "cpu" else name
