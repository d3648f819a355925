"""What all metrics share: uint8 RGB in, states that add up exactly across processes and interruptions, numbers out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from bench.statistics import interval

_CPU_SLICE = 2


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast, no TF32, no algorithm picked by a stopwatch: the same input gives the same features, always."""
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    exact = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
    )
    try:
        with torch.autocast(device.type, enabled=False), exact:
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


def slices(n: int, device: torch.device) -> list[slice]:
    """A batch in pieces whose intermediate maps stay in a CPU's cache, 3 to 5 times faster; in one piece elsewhere."""
    step = _CPU_SLICE if device.type == "cpu" else max(n, 1)
    return [slice(start, start + step) for start in range(0, max(n, 1), step)]


class Metric(torchmetrics.Metric):
    """A torchmetrics.Metric whose states are tensors that merge by addition.

    ``compute`` does not synchronise processes by itself (states usually travel by ``state_tensors``, and one process
    alone may compute); torchmetrics' own ``sync`` works when called.

    Args:
        numbers: names of what ``compute`` reports.
    """

    full_state_update = False

    def __init__(self, numbers: tuple[str, ...]) -> None:
        super().__init__(sync_on_compute=False, compute_with_cache=False)
        self.numbers = numbers

    def add_sum(self, name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
        """Declare a state that starts at zero and merges by addition."""
        self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    def images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB, brought to the metric's device.

        Raises:
            ValueError: another shape or dtype.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 RGB (B, 3, H, W), got {images.dtype} {tuple(images.shape)}")
        return images.to(self.device, non_blocking=True)

    def pair(self, prediction: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both checked and on the metric's device.

        Raises:
            ValueError: no target, or one of another shape.
        """
        if target is None:
            raise ValueError(f"{type(self).__name__} compares with originals; a target was expected, got None")
        prediction, target = self.images(prediction), self.images(target)
        if prediction.shape != target.shape:
            raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
        return prediction, target

    def flush(self) -> None:
        """Bring what still waits into the states. By default nothing waits."""

    def state_tensors(self) -> dict[str, Tensor]:
        """Copies of the states on the CPU, for ``merge_tensors`` in another process or another session."""
        self.flush()
        return {name: torch.clone(getattr(self, name)).cpu() for name in self.metric_state}

    def merge_tensors(self, states: Mapping[str, Tensor]) -> None:
        """Add the states of a disjoint part of the data; afterwards it is as if this metric had seen that part too.

        Raises:
            ValueError: states of another metric.
        """
        if unknown := sorted(set(states) - set(self.metric_state)):
            raise ValueError(f"{type(self).__name__} has no states {', '.join(unknown)}")
        for name, value in states.items():
            setattr(self, name, getattr(self, name) + value.to(self.device))
        self._update_count += 1  # else torchmetrics warns that compute() comes before update()

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """torchmetrics' merge across processes, of everything seen so far."""
        self.flush()
        super().sync(*args, **kwargs)

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor | None = None) -> None:
        """Take in a batch.

        Args:
            prediction: (B, 3, H, W) uint8 RGB.
            target: the originals, likewise.
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """The numbers so far, each a float64 scalar."""


class ImageMetric(Metric):
    """One or more values per image; the numbers are made from their means.

    Args:
        columns: names of the values of each image.
        numbers: what is made from their means; default: the means themselves.
    """

    originals: Mapping[str, str] = {}
    """Numbers that the originals have too -> the columns that hold theirs."""
    total: Tensor
    count: Tensor

    def __init__(self, columns: tuple[str, ...], numbers: tuple[str, ...] | None = None) -> None:
        super().__init__(columns if numbers is None else numbers)
        self.columns = columns
        self.add_sum("total", len(columns))
        self.add_sum("count")

    @torch.no_grad()
    def measure(self, prediction: Tensor, target: Tensor | None = None) -> dict[str, Tensor]:
        """Column -> (B,) float64 values on the metric's device; never waits for the device.

        Raises:
            ValueError: images of another shape or dtype, or no target where one is needed.
        """
        if target is not None:
            prediction, target = self.pair(prediction, target)
        with full_precision(self.device):
            parts = [
                self.values(prediction[part], None if target is None else target[part])
                for part in slices(len(prediction), self.device)
            ]
        return {column: torch.cat([part[column] for part in parts]).double() for column in parts[0]}

    @abstractmethod
    def values(self, prediction: Tensor, target: Tensor | None) -> dict[str, Tensor]:
        """Column -> (B,) values; see ``measure``."""

    def reduce(self, means: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers from the means of the columns: floats, or arrays and tensors of replicates, elementwise."""
        return {number: means[number] for number in self.numbers}

    def intervals(self, replicates: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Number -> ends of its 95 % interval, from bootstrap means of the columns."""
        return {number: interval(values) for number, values in self.reduce(replicates).items()}

    def update(self, prediction: Tensor, target: Tensor | None = None) -> None:
        values = self.measure(prediction, target)
        self.total = self.total + torch.stack([values[column].sum() for column in self.columns])
        self.count = self.count + len(prediction)

    def compute(self) -> dict[str, Tensor]:
        """The numbers so far; NaN before the first image."""
        return self.reduce(dict(zip(self.columns, (self.total / self.count).unbind(), strict=True)))


class PairMetric(ImageMetric):
    """One value per pair of prediction and original, under one name."""

    def __init__(self, name: str) -> None:
        super().__init__((name,))

    def values(self, prediction: Tensor, target: Tensor | None) -> dict[str, Tensor]:
        return {self.columns[0]: self.compare(*self.pair(prediction, target))}

    @abstractmethod
    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB twice -> (B,) values."""


class DistributionMetric(Metric):
    """Numbers of a whole set of images, which have no value per image."""
