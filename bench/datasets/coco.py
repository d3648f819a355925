"""COCO-Stuff: its photographs are those of COCO val2017."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import Place, first_numbered, missing, numbered_dataset

_FILE = re.compile(r"(\d{12})")
_BASES = ("coco", "COCO", "cocostuff", "coco-stuff", ".")
_FOLDERS = ("val2017", "images/val2017")


def places(roots: Sequence[Path]) -> list[Place]:
    """Where the photographs may lie, the likeliest first."""
    below = [root / base / folder for root in roots for base in _BASES for folder in _FOLDERS]
    return [Place(folder) for folder in (*below, *roots)]


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """``val2017``, by image id.

    Raises:
        DatasetError: there are none, or more than the split has.
    """
    found = first_numbered(places(roots), _FILE)
    if found is None:
        raise missing(INFO, roots, places(roots), "photograph named by 12 digits, e.g. 000000000139.jpg")
    return numbered_dataset(INFO, split, *found, "{:012d}")


INFO = DatasetInfo(
    name="coco",
    title="COCO-Stuff (COCO val2017)",
    splits={"val2017": 5_000},
    default_split="val2017",
    homepage="https://github.com/nightrome/cocostuff",
    terms="photographs under Flickr's terms of use, each with its own licence; annotations (not used here) CC-BY-4.0",
    obtain="`curl -LO http://images.cocodataset.org/zips/val2017.zip && unzip -q val2017.zip -d data/coco` (0.8 GB).",
    layout="coco/val2017/XXXXXXXXXXXX.jpg. Instead of coco: COCO, cocostuff, coco-stuff or nothing; instead of "
    "val2017: images/val2017.",
    find=find,
)
