"""Finding photographs on disk: the data roots, the layouts people have, and what to say when there is nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.base import Dataset, DatasetInfo
from bench.errors import DatasetError
from bench.suffixes import PHOTO_SUFFIXES

ANY = re.compile("")
"""As ``Place.below``: look into all folders, however deep."""


@dataclass(frozen=True)
class Place:
    """A folder that may hold photographs.

    Args:
        folder: where to look.
        below: look also into subfolders whose names start with this pattern; None = into none.
    """

    folder: Path
    below: re.Pattern[str] | None = None


def data_roots(data_root: str | Path | None = None) -> list[Path]:
    """Where datasets are looked for: ``data_root`` alone if given, else $BENCH_DATA (several are separated as in PATH),
    ``data`` and ``datasets`` in the current folder.

    Raises:
        DatasetError: ``data_root`` is not a folder.
    """
    if data_root is not None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise DatasetError(f"the data root {root} is not a folder. Expected the folder that holds the datasets.")
        return [root]
    named = [Path(part).expanduser() for part in os.environ.get("BENCH_DATA", "").split(os.pathsep) if part]
    return [*named, Path("data"), Path("datasets")]


def photos(place: Place) -> Iterator[Path]:
    """Every photograph of a place, by suffix in any case; hidden files and folders are skipped. In no fixed order.

    A file that is a broken link is found too: it is missing, and the one who reads it shall say so.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [place.folder]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DatasetError(f"the folder {folder} cannot be read: {error.strerror or error}.") from error
        if (status.st_dev, status.st_ino) in visited:
            continue  # a symbolic link that leads back
        visited.add((status.st_dev, status.st_ino))
        below = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if _is_folder(entry):
                if place.below is not None and place.below.match(entry.name):
                    below.append(path)
            elif path.suffix.lower() in PHOTO_SUFFIXES:
                yield path
        waiting.extend(reversed(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def natural(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key by which ``photo10`` follows ``photo9``; the exact name settles ties, so the order is total."""
    parts = re.split("([0-9]+)", name.replace("/", "\0"))
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p.casefold()) for p in parts], name


def by_path(folder: Path, below: re.Pattern[str] | None = ANY) -> dict[str, Path]:
    """Photographs of a folder: POSIX path below it, with suffix -> file, in natural order."""
    found = {path.relative_to(folder).as_posix(): path for path in photos(Place(folder, below))}
    return {name: found[name] for name in sorted(found, key=natural)}


def by_number(place: Place, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Photographs whose name without suffix is ``pattern``: its number (group 1) -> file, in ascending order.

    Raises:
        DatasetError: two files have the same number.
    """
    found: dict[int, Path] = {}
    for path in photos(place):
        if match := pattern.fullmatch(path.stem):
            number = int(match[1])
            if number in found:
                raise DatasetError(
                    f"{found[number]} and {path} are the same photograph of the dataset. Remove one of the two files."
                )
            found[number] = path
    return dict(sorted(found.items()))


def first_numbered(places: Iterable[Place], pattern: re.Pattern[str]) -> tuple[Path, dict[int, Path]] | None:
    """The first place that holds numbered photographs, with those; None if no place does."""
    for place in places:
        if found := by_number(place, pattern):
            return place.folder, found
    return None


def numbered_dataset(
    info: DatasetInfo, split: str, root: Path, files: Mapping[int, Path], name_of: str, strays: int = 0
) -> Dataset:
    """A Dataset of numbered files; ``name_of`` formats a number.

    Raises:
        DatasetError: there are more files than the split has, so it must be another one.
    """
    expected = info.splits[split]
    if expected is not None and len(files) > expected:
        raise DatasetError(
            f"{root} holds {len(files):,} photographs, but {info.name}/{split} has {expected:,}: it is another split. "
            f"Expected layout: {info.layout}"
        )
    names = tuple(name_of.format(number) for number in files)
    return Dataset(info.name, split, root, names, tuple(files.values()), expected=expected, strays=strays)


def missing(info: DatasetInfo, roots: Sequence[Path], places: Iterable[Place], what: str) -> DatasetError:
    """The error that says where ``info`` was looked for and how to get it. ``what``: the files that were expected."""
    barren = [str(place.folder) for place in places if place.folder not in roots and place.folder.is_dir()]
    lines = [
        f"dataset {info.name!r} was not found. Looked in: {', '.join(map(str, roots))}.",
        *([f"These folders exist, but hold no {what}: {', '.join(barren)}."] if barren else []),
        f"Expected below one of these: {info.layout}",
        f"To get it: {info.obtain}",
        "If it lies elsewhere, name the folder above it: --data-root FOLDER, or set BENCH_DATA.",
        "The dataset `samples` needs no download.",
    ]
    return DatasetError("\n".join(lines))
