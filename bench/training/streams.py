"""The loader of a run; and shards that can only be read from front to back, through WebDataset.

Streamed shards have no exact order: each epoch shuffles the shards, deals them out to the decoding processes, and
shuffles within a window. A run that goes on starts with shards in a new order instead of where it was. The places, and
with them crops and noise, are those of any other run.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from bench.errors import ConfigError, DatasetError, ImageError
from bench.suffixes import PHOTO_SUFFIXES
from bench.training.config import DataConfig, TrainConfig
from bench.training.data import (
    PATIENCE,
    Decoder,
    Loaded,
    Photographs,
    Places,
    Sample,
    default_workers,
    make_loader,
    none_usable,
)
from bench.training.sources import Encoded, is_stream, open_source

_WINDOW = 1000


class StreamedPhotographs(IterableDataset[Sample | DatasetError]):
    """Photographs of shards behind a URL. A shard that breaks off or cannot be had is noted, and the next one follows.

    Args:
        urls: of the shards; ``{000..099}`` expands, ``pipe:COMMAND`` reads from a command.
        config: how they are decoded.
        seed: of the order.
        places: that this process works on; the order of the shards depends on their first step.
        rank, world: of the process; each photograph goes to one.
        classes: photographs of other classes than 0 to ``classes`` - 1 are left out; None = no class is needed.
    """

    def __init__(
        self, urls: str, config: DataConfig, seed: int, places: Places, rank: int, world: int, classes: int | None
    ) -> None:
        import braceexpand

        self.shards = list(braceexpand.braceexpand(urls))
        self.decoder, self.seed, self.places, self.rank, self.world = Decoder(config), seed, places, rank, world
        self.classes = classes

    def workers(self, wanted: int | None) -> int:
        """Decoding processes for this one; None = as many as pay and find a shard.

        Raises:
            DatasetError: there are fewer shards than processes that read.
        """
        workers = min(default_workers(), len(self.shards) // self.world) if wanted is None else wanted
        readers = self.world * max(workers, 1)
        if readers > len(self.shards):
            raise DatasetError(
                f"{len(self.shards)} shards cannot feed {readers} decoding processes. Expected at least one shard "
                "each: set data.workers lower, train in fewer processes, or cut the data into more shards."
            )
        return workers

    def __iter__(self) -> Iterator[Sample | DatasetError]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        places = chain.from_iterable(islice(self.places, number, None, workers))  # the loader asks workers in turn
        usable = self._usable(self.rank * workers + number, self.world * workers)
        try:
            for place, (image, label, skipped) in zip(places, usable, strict=False):
                yield Sample(image, label, place, skipped)
        except DatasetError as error:  # a value: raised, it would reach the user as a worker's traceback
            yield error

    def _usable(self, mine: int, readers: int) -> Iterator[tuple[Tensor, int, dict[str, str]]]:
        """Image, class and what was passed over on the way to it, endlessly; from every ``readers``-th shard."""
        skipped: dict[str, str] = {}
        for epoch in count():
            order = np.random.Generator(np.random.PCG64([self.seed, self.places.start, epoch]))
            shards = [self.shards[i] for i in order.permutation(len(self.shards))[mine::readers]]
            found = 0
            for encoded in self._encoded(shards, epoch, skipped):
                try:
                    image = self._decoded(encoded)
                except ImageError as error:
                    skipped[encoded.name] = str(error)
                    if len(skipped) < PATIENCE:
                        continue
                    break
                yield image, encoded.label, dict(skipped)
                skipped.clear()
                found += 1
            if not found and not skipped:
                skipped = dict.fromkeys(shards, "holds no photograph")
            if not found or len(skipped) >= PATIENCE:
                raise none_usable(f"{len(skipped)} photographs and shards", skipped)

    def _decoded(self, encoded: Encoded) -> Tensor:
        if self.classes is not None and not 0 <= encoded.label < self.classes:
            raise ImageError(f"its class is {encoded.label} (-1 = unknown), not one of 0 to {self.classes - 1}")
        return self.decoder(encoded)

    def _encoded(self, shards: list[str], epoch: int, skipped: dict[str, str]) -> Iterator[Encoded]:
        """The photographs of these shards; what keeps one from being read goes to ``skipped``."""
        import random

        import webdataset as wds

        window = wds.shuffle(_WINDOW, rng=random.Random(self.seed * 1_000_003 + self.places.start * 1_009 + epoch))
        for sample in window(_members(shards, skipped)):
            key = next((k for k in sample if f".{k.lower()}" in PHOTO_SUFFIXES), None)
            if key is None:
                continue
            name = f"{PurePosixPath(str(sample['__url__'])).name}/{sample['__key__']}"
            try:
                yield Encoded(f"{name}.{key}", sample[key], int(sample.get("cls", b"-1")))
            except ValueError:
                skipped[f"{name}.cls"] = f"{sample['cls'][:40]!r} is not the number of a class"


def _members(shards: list[str], skipped: dict[str, str]) -> Iterator[dict[str, Any]]:
    from webdataset.tariterators import tarfile_samples

    for shard in shards:

        def note(error: Exception, shard: str = shard) -> bool:
            skipped[shard] = f"the shard cannot be read to its end: {next(iter(error.args), '') or error!r}"
            return True  # go on

        yield from tarfile_samples([{"url": shard}], handler=note)


def open_loader(
    config: TrainConfig, start: int, rank: int, world: int, workers: int | None, pin: bool, classes: int | None = None
) -> Iterator[Loaded]:
    """Parts of batches for one process, from step ``start`` on.

    Args:
        config: of the run.
        start: its first step.
        rank, world: of the process.
        workers: decoding processes; None = as many as pay.
        pin: the tensors' memory, for a GPU.
        classes: see ``Recipe.classes``.

    Raises:
        ConfigError: no data is named.
        DatasetError: there is none, a batch cannot be shared out, or photographs lack their class.
    """
    if config.data.path is None:
        raise ConfigError("no training data is named. Expected --data PATH: a folder of photographs or of tar shards.")
    places = Places(start, config.steps, config.batch_size, rank, world, config.accumulate)
    if is_stream(config.data.path):
        stream = StreamedPhotographs(config.data.path, config.data, config.seed, places, rank, world, classes)
        return make_loader(stream, places, stream.workers(workers), pin)
    source = open_source(config.data.path)
    if classes is not None:
        _check_classes(source.labels, classes, config.data.path)
    photographs = Photographs(source, config.data, config.seed)
    return make_loader(photographs, places, default_workers() if workers is None else workers, pin)


def _check_classes(labels: np.ndarray, classes: int, path: str) -> None:
    unfit = labels[(labels < 0) | (labels >= classes)]
    if len(unfit):
        raise DatasetError(
            f"a loss needs the class of every photograph, 0 to {classes - 1}, but {len(unfit)} of the {len(labels)} in "
            f"{path} have another one, for example {unfit[0]} (-1 = unknown). Expected class folders (nXXXXXXXX) or "
            "shards with .cls members. Without them, give that loss no weight: --set recipe.losses.classification=0."
        )
