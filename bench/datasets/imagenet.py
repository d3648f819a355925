"""ImageNet (ILSVRC2012) validation photographs, flat or in class folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import Place, first_numbered, missing, numbered_dataset

_FILE = re.compile(r"ILSVRC2012_val_(\d{8})", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"n\d{8}")
_BASES = ("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC", ".")
_FOLDERS = ("val", "validation", "ILSVRC2012_img_val")


def places(roots: Sequence[Path]) -> list[Place]:
    """Where the photographs may lie, the likeliest first."""
    below = [root / base / folder for root in roots for base in _BASES for folder in _FOLDERS]
    bases = [root / base for root in roots for base in _BASES]
    return [Place(folder, _CLASS_FOLDER) for folder in (*below, *bases)]


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """``val5k``: the first 5,000 by file number, whatever class folder they lie in; ``val50k``: all.

    Of a subset of the files, ``val5k`` takes the first 5,000 that are there. Those numbered above 5,000 are counted
    as ``strays``, and the dataset is not complete.

    Raises:
        DatasetError: there are none.
    """
    found = first_numbered(places(roots), _FILE)
    if found is None:
        raise missing(INFO, roots, places(roots), "ILSVRC2012_val_XXXXXXXX.JPEG")
    folder, files = found
    size = INFO.splits[split] or 0
    chosen = dict(islice(files.items(), size)) if split == "val5k" else files
    strays = sum(number > size for number in chosen)
    return numbered_dataset(INFO, split, folder, chosen, "ILSVRC2012_val_{:08d}", strays)


INFO = DatasetInfo(
    name="imagenet",
    title="ImageNet (ILSVRC2012) validation",
    splits={"val5k": 5_000, "val50k": 50_000},
    default_split="val5k",
    homepage="https://image-net.org/challenges/LSVRC/2012/",
    terms="non-commercial research and education, after registration; the photographers keep their rights",
    obtain="register at image-net.org and download ILSVRC2012_img_val.tar (6.3 GB), then "
    "`mkdir -p data/imagenet/val && tar -xf ILSVRC2012_img_val.tar -C data/imagenet/val`.",
    layout="imagenet/val/ILSVRC2012_val_XXXXXXXX.JPEG, with or without class folders (val/nXXXXXXXX/). Instead of "
    "imagenet: ImageNet, ILSVRC2012, ILSVRC/Data/CLS-LOC or nothing; instead of val: validation, ILSVRC2012_img_val "
    "or nothing.",
    find=find,
)
