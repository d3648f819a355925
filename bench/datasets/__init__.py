"""The datasets: a catalogue, and ``open_dataset`` to find one on disk. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bench.datasets import ade20k, coco, folder, historical, imagenet, imagenet_sample, samples
from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import data_roots
from bench.errors import DatasetError, UnknownNameError

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "open_dataset"]

DATASETS: dict[str, DatasetInfo] = {
    module.INFO.name: module.INFO for module in (imagenet, coco, ade20k, imagenet_sample, historical, samples)
}


def open_dataset(name: str, split: str | None = None, data_root: str | Path | None = None) -> Dataset:
    """Find the photographs of a dataset on disk. No photograph is read.

    Args:
        name: a name of ``DATASETS``, ``name/split``, or ``folder:PATH`` for any folder of photographs.
        split: a split of that dataset; None = its default one.
        data_root: folder that holds the datasets; None = $BENCH_DATA, ``./data``, ``./datasets``.

    Returns:
        The photographs that are there; ``complete`` says whether these are all of the split.

    Raises:
        UnknownNameError: no such dataset or split.
        DatasetError: the dataset is not on this computer; says where it was looked for and how to get it.
    """
    if name.startswith(folder.PREFIX):
        _check_split("a folder", split or folder.SPLIT, [folder.SPLIT])
        return folder.find(name.removeprefix(folder.PREFIX), data_roots(data_root))
    known, _, shorthand = name.partition("/")
    if known not in DATASETS:
        if Path(name).expanduser().is_dir():
            raise DatasetError(f"{name!r} is a folder, not the name of a dataset. Write {folder.PREFIX}{name}.")
        raise UnknownNameError("dataset", name, [*DATASETS, f"{folder.PREFIX}PATH"])
    if shorthand and split and shorthand != split:
        raise DatasetError(f"two splits are named, {shorthand!r} and {split!r}. Expected one.")
    info = DATASETS[known]
    chosen = shorthand or split or info.default_split
    _check_split(known, chosen, info.splits)
    return info.find(chosen, data_roots(data_root))


def _check_split(owner: str, split: str, known: Collection[str]) -> None:
    if split not in known:
        raise UnknownNameError(f"split of {owner}", split, known)
