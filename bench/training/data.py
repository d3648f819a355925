"""Decoded training photographs, in an order that is a function of (seed, place): so a run can continue anywhere.

Place k of the endless order is photograph ``k % n`` of the permutation of epoch ``k // n``. Step s takes the places
[s * batch, (s + 1) * batch), of which each process and each accumulated part gets its share; so neither the number of
processes nor an interruption changes what a step sees. Shards that are streamed have no such order: see ``streams``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from bench.errors import DatasetError, ImageError
from bench.images import read_photo
from bench.stopping import ignore_stop_signals
from bench.training.config import DataConfig
from bench.training.sources import Encoded, Source

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}
PATIENCE = 1000  # photographs in a row that may be unusable
PREFETCH = 4  # parts of batches that each decoding process works ahead
_PAUSES = (0.1, 1.0)  # seconds; network file systems fail for a moment


@dataclass(frozen=True)
class Sample:
    """One decoded photograph and what was passed over on the way to it.

    Args:
        image: (3, S, S) uint8 RGB.
        label: its class, -1 = unknown.
        place: in the order of the run.
        skipped: name -> reason, of photographs that cannot be used.
    """

    image: Tensor
    label: int
    place: int
    skipped: dict[str, str]


@dataclass(frozen=True)
class Loaded:
    """A part of a batch, as the workers deliver it."""

    images: Tensor  # (B, 3, S, S) uint8 RGB
    labels: Tensor  # (B,) int64
    places: Tensor  # (B,) int64
    skipped: dict[str, str]

    def pin_memory(self) -> Loaded:
        return Loaded(self.images.pin_memory(), self.labels.pin_memory(), self.places.pin_memory(), self.skipped)


class Photographs(Dataset[Sample]):
    """Places of the order -> photographs. One that is gone, damaged or dull is replaced by the next that can be used.

    Args:
        source: where they lie.
        config: how they are decoded.
        seed: of the order.

    Raises:
        DatasetError: on reading, if no photograph can be used, or the source fails again and again.
    """

    def __init__(self, source: Source, config: DataConfig, seed: int) -> None:
        self.source, self.decoder, self.seed = source, Decoder(config), seed
        self._unusable: set[int] = set()

    def __getitem__(self, place: int) -> Sample:
        n = len(self.source)
        index = int(permutation(self.seed, place // n, n)[place % n])
        skipped: dict[str, str] = {}
        for _ in range(min(n, PATIENCE)):
            if index not in self._unusable:
                name = f"photograph {index}"
                try:
                    encoded = self._read(index)
                    name = encoded.name
                    return Sample(self.decoder(encoded), encoded.label, place, skipped)
                except (ImageError, FileNotFoundError) as error:
                    self._unusable.add(index)
                    skipped[name] = str(error)
            index = (index + 1) % n
        raise none_usable(f"{min(n, PATIENCE)} photographs in a row", skipped)

    def __getitems__(self, places: Sequence[int]) -> list[Sample | DatasetError]:
        """What the loader calls. An error is a value here: raised, it would reach the user as a worker's traceback."""
        try:
            return [self[place] for place in places]
        except DatasetError as error:
            return [error]

    def _read(self, index: int) -> Encoded:
        """A file that is not there is the photograph's fault (FileNotFoundError), anything else the source's."""
        pauses = iter(_PAUSES)
        while True:
            try:
                return self.source.read(index)
            except FileNotFoundError:
                raise
            except OSError as error:
                pause = next(pauses, None)
                if pause is None:
                    raise DatasetError(
                        f"photograph {index} cannot be read: {error}. Training stops rather than leave out photographs "
                        "that are there. Once they can be read again, continue with --resume."
                    ) from error
                time.sleep(pause)


def none_usable(what: str, skipped: Mapping[str, str]) -> DatasetError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    return DatasetError(f"none of {what} can be used ({reasons or 'see above'}).")


class Decoder:
    """Bytes -> (3, size, size) uint8 RGB; refuses photographs that are damaged or not colourful enough."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config

    def __call__(self, encoded: Encoded) -> Tensor:
        """Raises ImageError."""
        config, side = self.config, (self.config.size, self.config.size)
        photo = read_photo(encoded.data, encoded.name).convert("RGB")
        resample = _RESAMPLING[config.resample]
        photo = ImageOps.fit(photo, side, resample) if config.fit == "center" else photo.resize(side, resample)
        pixels = np.array(photo)
        if config.min_cf and (cf := colourfulness(pixels)) < config.min_cf:
            raise ImageError(f"colourfulness {cf:.1f} is below min_cf {config.min_cf:g}")
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def colourfulness(pixels: np.ndarray) -> float:
    """``cf`` of (H, W, 3) uint8 RGB: absolute opponents, as colorization papers compute it."""
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    rg, yb = np.abs(red - green), np.abs((red + green) / 2 - blue)
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of ``n`` photographs in one epoch."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(n)


class Places(Sampler[list[int]]):
    """The places of every part of every batch that one process works on, from step ``start`` to step ``stop``.

    Raises:
        DatasetError: the batch cannot be shared out evenly.
    """

    def __init__(self, start: int, stop: int, batch_size: int, rank: int, world: int, accumulate: int) -> None:
        if batch_size % (world * accumulate):
            raise DatasetError(
                f"batch_size {batch_size} cannot be shared out to {world} processes x {accumulate} parts. "
                "Expected a multiple of their product."
            )
        self.start, self.stop, self.batch_size = start, stop, batch_size
        self.rank, self.accumulate = rank, accumulate
        self.part = batch_size // (world * accumulate)

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            first = step * self.batch_size + self.rank * self.accumulate * self.part
            for part in range(self.accumulate):
                begin = first + part * self.part
                yield list(range(begin, begin + self.part))


def collate(items: Sequence[Sample | DatasetError]) -> Loaded | DatasetError:
    """A part of a batch, or the error that kept it from being one."""
    samples: list[Sample] = []
    skipped: dict[str, str] = {}
    for item in items:
        if isinstance(item, DatasetError):
            return item
        samples.append(item)
        skipped |= item.skipped
    return Loaded(
        torch.stack([s.image for s in samples]),
        torch.tensor([s.label for s in samples]),
        torch.tensor([s.place for s in samples]),
        skipped,
    )


def default_workers() -> int:
    """Decoding processes for each training process; torchrun and Slurm say how many share these cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "LOCAL_WORLD_SIZE" in os.environ:
        processes = int(os.environ["LOCAL_WORLD_SIZE"])
    elif cores < int(os.environ.get("SLURM_CPUS_ON_NODE", "1")):
        processes = 1  # Slurm has bound each task to cores of its own
    else:
        processes = int(os.environ.get("SLURM_NTASKS_PER_NODE", "1"))
    return max(1, min(16, cores // processes - 1)) if cores > processes else 0


def make_loader(
    photographs: Photographs | IterableDataset[Sample | DatasetError], places: Places, workers: int, pin: bool
) -> Iterator[Loaded]:
    """Parts of batches, decoded ahead of time by ``workers`` processes; 0 = by this one.

    Raises:
        DatasetError: on the way, in the words of the process that met it.
    """
    ordered = isinstance(photographs, Photographs)
    loader: DataLoader[Loaded | DatasetError] = DataLoader(
        photographs,  # type: ignore[arg-type]
        batch_sampler=places if ordered else None,
        batch_size=1 if ordered else places.part,
        drop_last=False,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=PREFETCH if workers else None,
        persistent_workers=workers > 0,
        worker_init_fn=ignore_stop_signals,
    )
    for part in loader:
        if isinstance(part, DatasetError):
            raise part
        yield part
