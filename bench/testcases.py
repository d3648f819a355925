"""Test cases from photographs: decoded once, cropped and resized by the protocol, in worker processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from bench.datasets import Dataset
from bench.errors import ImageError
from bench.images import read_photo
from bench.protocol import Preprocessing
from bench.stopping import ignore_stop_signals


@dataclass(frozen=True)
class TestCase:
    """One photograph as the protocol presents it, or the reason why it could not be read."""

    __test__ = False  # not a pytest class

    index: int
    target: Tensor | None = None  # (3, S, S) uint8 RGB
    prediction: Tensor | None = None  # (3, S, S) uint8 RGB, of a system that ran elsewhere
    failure: str | None = None


@dataclass(frozen=True)
class Batch:
    indices: list[int]
    target: Tensor  # (B, 3, S, S) uint8 RGB
    prediction: Tensor | None
    failures: list[tuple[int, str]]


class TestCases(TorchDataset[TestCase]):
    """The chosen photographs of a dataset as test cases.

    Args:
        dataset: where the photographs are.
        preprocessing: what the protocol does to them.
        indices: which of them, in this order.
        predictions: for systems that ran elsewhere: photograph name -> its colourised image.
    """

    __test__ = False

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        indices: Sequence[int],
        predictions: Mapping[str, Path] | None = None,
    ) -> None:
        self.dataset, self.preprocessing, self.indices = dataset, preprocessing, list(indices)
        self.predictions = predictions

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> TestCase:
        index = self.indices[position]
        try:
            target = self._read(self.dataset.paths[index])
            if self.predictions is None:
                return TestCase(index, target)
            name = self.dataset.names[index]
            if name not in self.predictions:
                return TestCase(index, failure="no prediction with this name")
            return TestCase(index, target, self._read(self.predictions[name]))
        except (ImageError, OSError) as error:
            return TestCase(index, failure=str(error))

    def _read(self, path: Path) -> Tensor:
        pixels = self.preprocessing.apply(read_photo(path).convert("RGB"))
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()


def collate(cases: Sequence[TestCase]) -> Batch:
    read = [case for case in cases if case.target is not None]
    failures = [(case.index, case.failure or "unreadable") for case in cases if case.target is None]
    target = torch.stack([c.target for c in read if c.target is not None]) if read else torch.empty(0)
    predictions = [case.prediction for case in read if case.prediction is not None]
    return Batch([c.index for c in read], target, torch.stack(predictions) if predictions else None, failures)


def default_workers(images: int) -> int:
    """Enough processes to keep the device busy, none where starting them costs more than they bring."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if images < 64 else min(8, max(1, cores - 1))


def loader(cases: TestCases, batch_size: int, workers: int, pin: bool) -> DataLoader[Batch]:
    return DataLoader(
        cases,  # type: ignore[arg-type]
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=ignore_stop_signals,
    )
