"""Any folder of photographs: ``folder:PATH``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import Dataset
from bench.datasets.search import by_path
from bench.errors import DatasetError
from bench.suffixes import PHOTO_SUFFIXES

PREFIX = "folder:"
SPLIT = "all"


def find(path: str, roots: Sequence[Path]) -> Dataset:
    """Every photograph of a folder and the folders below it, in natural order of their paths.

    Args:
        path: absolute, or relative to the current folder, or else to a data root.
        roots: the data roots.

    Returns:
        A Dataset named ``folder:NAME`` after the folder alone, so that records say nothing of this computer's disks.

    Raises:
        DatasetError: there is no such folder, or no photograph in it.
    """
    if not path:
        raise DatasetError("no folder is named. Expected folder:PATH, e.g. folder:photos/mine.")
    given = Path(path).expanduser()
    candidates = [given] if given.is_absolute() else [given, *(root / given for root in roots)]
    folder = next((candidate for candidate in candidates if candidate.is_dir()), None)
    if folder is None:
        looked = ", ".join(map(str, candidates))
        raise DatasetError(f"there is no folder {path!r}. Looked for: {looked}. Expected folder:PATH.")
    found = by_path(folder)
    if not found:
        suffixes = " ".join(sorted(PHOTO_SUFFIXES))
        raise DatasetError(
            f"{folder} holds no photograph. Expected files, also in subfolders, with one of: {suffixes}."
        )
    return Dataset(f"{PREFIX}{folder.resolve().name}", SPLIT, folder, tuple(found), tuple(found.values()))
