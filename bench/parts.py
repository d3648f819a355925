"""What an unfinished run has measured so far, on disk, so that a kill costs seconds.

Every process of every session owns one part and replaces it atomically at each checkpoint: the rows it measured and the
metric states that belong to exactly these rows. Whoever continues counts the rows of all parts as done; the end result
is the merge of all parts, whatever the number of processes or interruptions.
"""

from __future__ import annotations

import io
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bench.cache import write_atomically

States = dict[str, dict[str, Tensor]]


@dataclass
class Part:
    """Rows and states of one process in one session.

    Args:
        rows: column -> (n,) values on the CPU; ``index`` is the photograph's place in the dataset.
        states: metric -> its state tensors.
        failures: (index, reason) of photographs that could not be read.
        images, seconds: measured in the streaming pass, for the throughput.
    """

    rows: dict[str, Tensor] = field(default_factory=dict)
    states: States = field(default_factory=dict)
    failures: list[tuple[int, str]] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0

    def extend(self, rows: dict[str, Tensor]) -> None:
        for column, values in rows.items():
            self.rows[column] = torch.cat((self.rows[column], values)) if column in self.rows else values


class Parts:
    """The folder of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mine = folder / f"part-{uuid.uuid4().hex}.pt"

    def load(self) -> list[Part]:
        """Every part there is. Parts are written atomically, so each is whole."""
        return [
            Part(**torch.load(path, map_location="cpu", weights_only=True))
            for path in sorted(self.folder.glob("part-*.pt"))
        ]

    def done(self) -> set[int]:
        """Places of the photographs that need no measuring again."""
        return {int(i) for part in self.load() for i in part.rows.get("index", ())}

    def save(self, part: Part) -> None:
        buffer = io.BytesIO()
        torch.save(vars(part), buffer)
        write_atomically(self._mine, buffer.getvalue())

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def merge_rows(parts: list[Part]) -> dict[str, Tensor]:
    """All rows, in the order of the dataset."""
    columns = {column for part in parts for column in part.rows}
    rows = {c: torch.cat([part.rows[c] for part in parts if c in part.rows]) for c in columns}
    order = rows["index"].argsort() if rows else torch.empty(0, dtype=torch.long)
    return {column: values[order] for column, values in rows.items()}
