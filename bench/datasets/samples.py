"""Photographs that come with scikit-image and scikit-learn: always there, no download, free licences."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.errors import DatasetError

_FILES = {
    "skimage": (
        "data",
        (
            "astronaut.png",
            "chelsea.png",
            "coffee.png",
            "rocket.jpg",
            "hubble_deep_field.jpg",
            "retina.jpg",
            "ihc.png",
            "motorcycle_left.png",
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}


def _folder(package: str) -> Path | None:
    """Where a package is installed; found without importing it, which takes a second."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def find(split: str, roots: Sequence[Path]) -> Dataset:
    """The ten photographs, as far as the installed versions of the two packages have them.

    Raises:
        DatasetError: neither package has any.
    """
    folders = {package: folder for package in _FILES if (folder := _folder(package))}
    files = [
        folder / below / name
        for package, folder in folders.items()
        for below, names in (_FILES[package],)
        for name in names
    ]
    present = tuple(path for path in files if path.is_file())
    if not present:
        raise DatasetError(
            "dataset 'samples' was not found: scikit-image and scikit-learn, which its photographs come with, are not "
            "installed. Run `pip install scikit-image scikit-learn`."
        )
    names = tuple(path.stem for path in present)
    return Dataset(INFO.name, split, present[0].parent, names, present, expected=INFO.splits[split])


INFO = DatasetInfo(
    name="samples",
    title="Sample photographs of scikit-image and scikit-learn",
    splits={"all": sum(len(names) for _, names in _FILES.values())},
    default_split="all",
    homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
    terms="public domain, CC0 or no known restrictions (scikit-image; motorcycle_left: Middlebury 2014 stereo data); "
    "CC-BY-2.0 by danielbuechele (china) and vultilion (flower)",
    obtain="nothing to do: it is installed with this package.",
    layout="inside the installed packages skimage (data/) and sklearn (datasets/images/).",
    find=find,
)
