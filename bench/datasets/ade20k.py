"""ADE20K validation photographs, from the scene parsing challenge (flat) or the full release (in scene folders)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import ANY, Place, first_numbered, missing, numbered_dataset

_FILE = re.compile(r"ADE_val_(\d{8})")
_BASES = ("ade20k", "ADE20K", "ADEChallengeData2016", "ade20k/ADEChallengeData2016", ".")
_FOLDERS = ("images/validation", "images/ADE/validation", "validation")
_RELEASES = ("ADE20K_2021_17_01", "ADE20K_2016_07_26")


def places(roots: Sequence[Path]) -> list[Place]:
    """Where the photographs may lie, the likeliest first."""
    releases = [f"{base}{release}" for release in _RELEASES for base in ("", "ade20k/", "ADE20K/")]
    below = [root / base / folder for root in roots for base in (*_BASES, *releases) for folder in _FOLDERS]
    return [*(Place(folder, ANY) for folder in below), *map(Place, roots)]


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """``validation``, by file number. Segmentation maps among the photographs are left alone.

    Raises:
        DatasetError: there are none, or more than the split has.
    """
    found = first_numbered(places(roots), _FILE)
    if found is None:
        raise missing(INFO, roots, places(roots), "ADE_val_XXXXXXXX.jpg")
    return numbered_dataset(INFO, split, *found, "ADE_val_{:08d}")


INFO = DatasetInfo(
    name="ade20k",
    title="ADE20K validation",
    splits={"validation": 2_000},
    default_split="validation",
    homepage="https://ade20k.csail.mit.edu/",
    terms="photographs for non-commercial research and education; annotations (not used here) BSD-3-Clause",
    obtain="`curl -LO http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip && "
    "unzip -q ADEChallengeData2016.zip -d data/ade20k` (0.9 GB).",
    layout="ade20k/images/validation/ADE_val_XXXXXXXX.jpg. Instead of ade20k: ADE20K, ADEChallengeData2016, "
    "ade20k/ADEChallengeData2016, ADE20K_2021_17_01 or nothing; instead of images/validation: validation, or "
    "images/ADE/validation with scene folders.",
    find=find,
)
