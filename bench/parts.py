"""What an unfinished run has measured so far, on disk, so that a kill costs seconds.

Every process of every session owns one part and replaces it atomically at each checkpoint: the rows it measured and the
metric states that belong to exactly these rows. Whoever continues counts the rows of all parts as done; the end result
is the merge of all parts, whatever the number of processes or interruptions.
"""

from __future__ import annotations

import io
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bench.cache import write_atomically
from bench.errors import BenchError
from bench.metrics.base import DistributionMetric, ImageMetric, Metric

States = dict[str, dict[str, Tensor]]


@dataclass
class Part:
    """Rows and states of one process in one session.

    Args:
        rows: column -> (n,) values on the CPU; ``index`` is the photograph's place in the dataset.
        states: metric -> its state tensors.
        failures: (index, reason) of photographs that could not be read.
        images, seconds: measured in the streaming pass, for the throughput.
        processes: that shared the pass.
    """

    rows: dict[str, Tensor] = field(default_factory=dict)
    states: States = field(default_factory=dict)
    failures: list[tuple[int, str]] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0
    processes: int = 1

    def extend(self, rows: dict[str, Tensor]) -> None:
        for column, values in rows.items():
            self.rows[column] = torch.cat((self.rows[column], values)) if column in self.rows else values


class Parts:
    """The folder of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mine = folder / f"part-{uuid.uuid4().hex}.pt"

    def create(self) -> None:
        """Raises BenchError if the folder cannot be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(f"{self.folder} cannot be made: {error.strerror}. Choose another --out.") from error

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


class Recorder:
    """Collects what one process measures; the device is asked for values only at a checkpoint."""

    def __init__(self, metrics: Sequence[Metric], parts: Parts, processes: int = 1) -> None:
        self.metrics, self.parts, self.part = metrics, parts, Part(processes=processes)
        self.images = 0
        self._waiting: list[dict[str, Tensor]] = []
        self._begun = time.monotonic()

    def add(self, indices: Sequence[int], prediction: Tensor, target: Tensor | None) -> None:
        columns: dict[str, Tensor] = {"index": torch.tensor(indices)}
        if target is not None:
            spread = target.amax(dim=1).int() - target.amin(dim=1).int()
            columns["gray"] = (spread.flatten(1).amax(dim=1) == 0).double()
        for metric in self.metrics:
            if isinstance(metric, ImageMetric):
                columns |= metric.measure(prediction, target)
            else:
                metric.update(prediction, target)
        self._waiting.append(columns)
        self.images += len(indices)

    def extend(self, columns: dict[str, Tensor]) -> None:
        """More values of the images that ``add`` took last."""
        self._waiting[-1] |= columns

    def save(self) -> None:
        """Write rows and states together, so that they never disagree.

        Raises:
            BenchError: the model gave chroma that is no number; nothing of this session is kept then.
        """
        if self._waiting:
            self.part.extend({c: torch.cat([w[c] for w in self._waiting]).cpu() for c in self._waiting[0]})
            self._waiting = []
        broken = self.part.rows["index"][self.part.rows["finite"] == 0].tolist() if self.part.rows else []
        if broken:
            raise BenchError(
                f"the model gave NaN or infinite chroma for {len(broken)} photographs, the first at place {broken[0]} "
                "of the dataset. Nothing was recorded; check its weights, or measure in --precision fp32."
            )
        self.part.states = {
            type(m).__name__: m.state_tensors() for m in self.metrics if isinstance(m, DistributionMetric)
        }
        self.part.images, self.part.seconds = self.images, time.monotonic() - self._begun
        self.parts.save(self.part)


def merge_rows(parts: list[Part]) -> dict[str, Tensor]:
    """All rows, in the order of the dataset."""
    columns = {column for part in parts for column in part.rows}
    rows = {c: torch.cat([part.rows[c] for part in parts if c in part.rows]) for c in columns}
    order = rows["index"].argsort() if rows else torch.empty(0, dtype=torch.long)
    if rows and len(rows["index"].unique()) < len(order):
        raise BenchError(
            "photographs were measured twice: two runs wrote into one folder. Measure again (--no-resume)."
        )
    return {column: values[order] for column, values in rows.items()}
