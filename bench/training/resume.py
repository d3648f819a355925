"""Which checkpoint a run goes on from, agreed upon by all of its processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from bench.training.checkpoint import Checkpoints
from bench.training.config import TrainConfig, check_same_run
from bench.training.parallel import gathered


def newest_checkpoint(
    checkpoints: Checkpoints, config: TrainConfig, out: Path, resume: bool
) -> tuple[dict[str, Any], list[str]] | None:
    """The newest checkpoint that can be read and why newer ones cannot; None if there is none. All processes call this.

    Args:
        checkpoints: of the run.
        config: of the run as it is to go on.
        out: folder of the run.
        resume: whether it may go on.

    Raises:
        ConfigError: there is one, but ``resume`` is False, its configuration is another, or not all processes find it.
        WeightsError: there are some, but none can be read.
    """
    found = checkpoints.load_latest()
    steps = gathered(None if found is None else int(found[0]["step"]))
    if len(set(steps)) > 1:
        raise ConfigError(
            f"the processes find different checkpoints in {out} (steps {', '.join(map(str, steps))}). "
            "All must see the same --out folder (a shared file system)."
        )
    if found is None:
        return None
    if not resume:
        raise ConfigError(
            f"{out} holds a run already, at step {steps[0]}. "
            "Continue it with --resume, or choose another folder with --out."
        )
    check_same_run(config, TrainConfig.model_validate_json(found[0]["config"]), out, tuned=True)
    return found
