"""Checkpoints: everything a run needs to go on, written so that a kill at any time leaves a good one.

What is random or ordered in a run is a function of (seed, step): the step is the position in the data and the state of
the generators.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.cache import write_atomically
from bench.errors import WeightsError

FORMAT = 1
_NAME = re.compile(r"step-(\d+)\.pt")


@dataclass(frozen=True)
class Validated:
    """The last checkpoint that was measured, and the best value so far of the number that decides.

    Args:
        step: of that checkpoint.
        metric: the number.
        best: None = the number could not be measured.
    """

    step: int
    metric: str
    best: float | None


class Checkpoints:
    """The checkpoints of one run: the last ``keep`` and the best one.

    Args:
        folder: where they lie; made when the first is saved.
        keep: how many of the latest to keep.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.best = folder / "best.pt"
        self._record = folder / "validated.json"

    def save(self, step: int, content: Mapping[str, Any]) -> Path:
        """Write, then drop the oldest."""
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "step": step, **content}, buffer)
        path = self._path(step)
        write_atomically(path, buffer.getbuffer())
        for old in list(self.paths())[self.keep :]:
            old.unlink()
        return path

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"

    def mark_best(self, step: int) -> None:
        """Keep the checkpoint of ``step`` as the best one; a second name of the same bytes where the disk can."""
        path, temporary = self._path(step), self.best.with_suffix(".part")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError:
            temporary.write_bytes(path.read_bytes())
        temporary.replace(self.best)

    def record(self, found: Validated) -> None:
        """Keep what validation found. It comes after the checkpoint, which must not wait for it."""
        write_atomically(self._record, json.dumps(asdict(found)).encode())

    def recorded(self) -> Validated | None:
        """What ``record`` kept; None if it is not there or damaged."""
        try:
            return Validated(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def paths(self) -> Iterator[Path]:
        """Newest first."""
        found = {int(m[1]): path for path in self.folder.glob("step-*.pt") if (m := _NAME.fullmatch(path.name))}
        return (found[step] for step in sorted(found, reverse=True))

    def load_latest(self) -> tuple[dict[str, Any], list[str]] | None:
        """The newest that can be read, and the reasons why newer ones cannot; None if there is none at all.

        Raises:
            WeightsError: there are some, but none can be read.
        """
        reasons: list[str] = []
        for path in self.paths():
            try:
                return load(path), reasons
            except WeightsError as error:
                reasons.append(str(error))
        if reasons:
            raise WeightsError(f"no checkpoint of the run can be read: {' '.join(reasons)}")
        return None


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU; no code in it is run.

    Raises:
        WeightsError: absent, damaged or no checkpoint of a training run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"there is no checkpoint {path}.") from None
    except Exception as error:  # torch raises whatever it stumbles over
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise WeightsError(f"the checkpoint {path} is damaged ({reason}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsError(f"{path} is no checkpoint of a training run (format {FORMAT}) of this version.")
    return content
