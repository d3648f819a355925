"""The loader of a run; and shards that can only be read from front to back, through WebDataset.

Streamed shards have no exact order: each epoch shuffles the shards, deals them out to the decoding processes, and
shuffles within a window. A run that goes on starts with shards in a new order instead of where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from bench.errors import ConfigError, DatasetError, ImageError
from bench.suffixes import PHOTO_SUFFIXES
from bench.training.config import DataConfig, TrainConfig
from bench.training.data import Decoder, Loaded, Photographs, Places, Sample, make_loader
from bench.training.sources import Encoded, is_stream, open_source

_WINDOW = 1000


class StreamedPhotographs(IterableDataset[Sample]):
    """Photographs of shards behind a URL, endlessly.

    Args:
        urls: of the shards; ``{000..099}`` expands, ``pipe:COMMAND`` reads from a command.
        config: how they are decoded.
        seed: of the order.
        start: step from which the run goes on; gives another order.
        rank, world: of the process; each photograph goes to one.
    """

    def __init__(self, urls: str, config: DataConfig, seed: int, start: int, rank: int, world: int) -> None:
        import braceexpand

        self.shards = list(braceexpand.braceexpand(urls))
        self.decoder, self.seed, self.start, self.rank, self.world = Decoder(config), seed, start, rank, world

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        mine, readers = self.rank * workers + number, self.world * workers
        if readers > len(self.shards):
            raise DatasetError(
                f"{len(self.shards)} shards cannot feed {readers} decoding processes. "
                "Expected at least one shard each: set data.workers lower, or cut the data into more shards."
            )
        place = mine
        for epoch in range(2**31):
            order = np.random.Generator(np.random.PCG64([self.seed, self.start, epoch])).permutation(len(self.shards))
            skipped: dict[str, str] = {}
            usable = 0
            for encoded in self._encoded([self.shards[i] for i in order[mine::readers]], epoch):
                try:
                    yield Sample(self.decoder(encoded), encoded.label, place, skipped)
                except ImageError as error:
                    skipped = {**skipped, encoded.name: str(error)}
                    continue
                place, usable, skipped = place + readers, usable + 1, {}
            if not usable:
                raise DatasetError(f"the shards {self.shards[0]} ... hold no photograph that can be used.")

    def _encoded(self, shards: list[str], epoch: int) -> Iterator[Encoded]:
        import random

        import webdataset as wds

        samples = wds.WebDataset(shards, shardshuffle=False, nodesplitter=None, workersplitter=None, empty_check=False)
        for sample in samples.shuffle(_WINDOW, rng=random.Random(self.seed * 1_000_003 + self.start * 1_009 + epoch)):
            key = next((k for k in sample if f".{k.lower()}" in PHOTO_SUFFIXES), None)
            if key is not None:
                yield Encoded(_name(sample, key), sample[key], int(sample.get("cls", b"-1")))


def _name(sample: dict[str, Any], key: str) -> str:
    return f"{PurePosixPath(str(sample['__url__'])).name}/{sample['__key__']}.{key}"


def open_loader(config: TrainConfig, start: int, rank: int, world: int, workers: int, pin: bool) -> DataLoader[Loaded]:
    """Parts of batches for one process, from step ``start`` on.

    Raises:
        ConfigError: no data is named.
        DatasetError: there is none, or a batch cannot be shared out.
    """
    if config.data.path is None:
        raise ConfigError("no training data is named. Expected --data PATH: a folder of photographs or of tar shards.")
    places = Places(start, config.steps, config.batch_size, rank, world, config.accumulate)
    if is_stream(config.data.path):
        stream = StreamedPhotographs(config.data.path, config.data, config.seed, start, rank, world)
        return make_loader(stream, places, workers, pin)
    source = open_source(config.data.path)
    return make_loader(Photographs(source, config.data, config.seed), places, workers, pin)
