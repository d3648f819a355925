"""How to measure: what a run may choose without becoming another protocol."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from bench.errors import ConfigError
from bench.processes import Precision


@dataclass(frozen=True)
class Settings:
    """How to measure; none of it may change what the numbers are, but for ``precision``, ``hints`` and ``colourings``.

    Args:
        batch_size: photographs per forward pass.
        workers: processes that decode; None = as many as pay.
        precision: fp32, or bf16 / fp16 autocast for the model (never for the metrics).
        hints: colours per photograph that are drawn from the original and given to the model.
        colourings: of each photograph by a stochastic model; two or more also measure their diversity, and all other
            numbers are those of the first.
        resume: continue an unfinished run and reuse a finished one of the same key, also one with failures: a
            repaired photograph changes the key.
        strict: stop at the first photograph that cannot be read.
        samples: pictures to keep, spread evenly over the dataset.
        checkpoint_seconds: time between two checkpoints.
        command: what the user typed, for the record.
    """

    batch_size: int = 16
    workers: int | None = None
    precision: Precision = "fp32"
    hints: int = 0
    colourings: int = 1
    resume: bool = True
    strict: bool = False
    samples: int = 6
    checkpoint_seconds: float = 30.0
    command: str = field(default_factory=lambda: " ".join(sys.argv))


def check_abilities(name: str, takes_hints: bool, stochastic: bool, hints: int, colourings: int) -> None:
    """Raises ConfigError if a model is asked for what it cannot do."""
    if hints and not takes_hints:
        raise ConfigError(f"--hints {hints}: {name} takes no colour hints; siggraph17 does.")
    if colourings > 1 and not stochastic:
        raise ConfigError(f"--colourings {colourings}: {name} always gives the same colours; lab-diffusion does not.")
