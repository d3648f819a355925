"""One ImageNet photograph a class: a public set of a thousand, small enough to measure on anywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import ANY, Place, by_path, missing

_NAME = re.compile(r"n\d{8}_.+")
_FOLDERS = ("imagenet_sample", "imagenet-sample", "imagenet-sample-images")


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """Every ``nXXXXXXXX_class.JPEG`` below one of the folders above.

    Raises:
        DatasetError: there are none.
    """
    places = [Place(root / folder, ANY) for root in roots for folder in _FOLDERS]
    for place in places:
        found = {name: path for name, path in by_path(place.folder, place.below).items() if _NAME.match(path.name)}
        if found:
            return Dataset(
                INFO.name, split, place.folder, tuple(found), tuple(found.values()), expected=INFO.splits[split]
            )
    raise missing(INFO, roots, places, "photographs named nXXXXXXXX_class.JPEG")


INFO = DatasetInfo(
    name="imagenet-sample",
    title="One ImageNet photograph a class; probably from its training split, so unfit for models trained on ImageNet",
    splits={"all": 1000},
    default_split="all",
    homepage="https://github.com/EliSchwartz/imagenet-sample-images",
    terms="those of ImageNet: research, not commerce",
    obtain="clone https://github.com/EliSchwartz/imagenet-sample-images into data/imagenet_sample.",
    layout="imagenet_sample/n01440764_tench.JPEG and so on.",
    find=find,
)
