"""Old black-and-white photographs: nothing to compare with, only to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.datasets.search import ANY, Place, by_path, missing


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """Every photograph below ``historical``, or else directly in a data root.

    Raises:
        DatasetError: there are none.
    """
    # A data root also holds other datasets, so it is not searched to its depths.
    places = [*(Place(root / "historical", ANY) for root in roots), *map(Place, roots)]
    for place in places:
        if found := by_path(place.folder, place.below):
            return Dataset(INFO.name, split, place.folder, tuple(found), tuple(found.values()), has_reference=False)
    raise missing(INFO, roots, places, "photographs")


INFO = DatasetInfo(
    name="historical",
    title="Old photographs without a colour reference",
    splits={"all": None},
    default_split="all",
    homepage="",
    terms="those of your photographs",
    obtain="put black-and-white photographs of your own into data/historical.",
    layout="historical/, with any names and folders.",
    find=find,
)
