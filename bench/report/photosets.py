"""The photographs of a report: how each model did on each, and the pictures that were kept of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.metrics import NUMBERS, Number
from bench.plots.photos import kept_files
from bench.plots.series import Panel, has_reference, looks, panels
from bench.report.pictures import embedded
from bench.runs import Run, Store
from bench.tables.marks import competes

if TYPE_CHECKING:
    import pandas as pd

INPUT, ORIGINAL = "input", "original"
_GRAY = "the original has no colour"


@dataclass
class Photo:
    """One photograph, or test case.

    Args:
        name: within its dataset.
        values: one list for each model, with its numbers as printed; None where not measured.
        original: likewise, of the original itself.
        notes: what a reader must know.
        pictures: ``input``, ``original`` or the place of a model -> the file that was kept.
    """

    name: str
    values: list[list[float | None]]
    original: list[float | None]
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class PhotoSet:
    """The photographs of one dataset under one protocol.

    Args:
        title: of the dataset, and of the protocol if there are several.
        models: one label for each Run.
        competing: whether each of them competes (see ``bench.tables.marks.competes``): the spread of models is theirs.
        has_original: whether the photographs have colours to compare with.
        numbers: those with a value per photograph.
        photos: in the order of the dataset.
        gaps: sentences on what is not there.
    """

    title: str
    models: Sequence[str]
    competing: Sequence[bool]
    has_original: bool
    numbers: Sequence[Number]
    photos: Sequence[Photo]
    gaps: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """All but the pictures."""
        shown = ("name", "label", "unit", "better", "definition", "decimals")
        return {
            "title": self.title,
            "models": list(self.models),
            "competing": list(self.competing),
            "original": self.has_original,
            "numbers": [{key: getattr(number, key) for key in shown} for number in self.numbers],
            "photos": [
                {
                    "name": photo.name,
                    "values": photo.values,
                    "original": photo.original,
                    "notes": photo.notes,
                    "pictures": list(photo.pictures),
                }
                for photo in self.photos
            ],
        }


def photosets(store: Store, runs: Sequence[Run]) -> list[PhotoSet]:
    """The photographs of all Runs, each set of them once."""
    look = looks(runs)
    return [_photoset(store, panel, [look(run).label for run in panel.runs]) for panel in panels(runs)]


def encoded(photos: Sequence[Photo], side: int) -> list[dict[str, str]]:
    """The pictures of each photograph in base64, by the keys of ``Photo.pictures``.

    Raises:
        ImageError: one of them is missing or damaged.
    """

    def one(photo: Photo) -> dict[str, str]:
        return {key: embedded(path, side, colourless=key == INPUT) for key, path in photo.pictures.items()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the interpreter's lock
        return list(pool.map(one, photos))


def _photoset(store: Store, panel: Panel, models: Sequence[str]) -> PhotoSet:
    tables = [_rows(store, run) for run in panel.runs]
    measured = {column for table in tables if table is not None for column in table.columns}
    numbers = [number for name, number in NUMBERS.items() if name in measured]
    photos: dict[int, Photo] = {}
    gaps = []
    for place, (run, table) in enumerate(zip(panel.runs, tables, strict=True)):
        if table is None:
            gaps.append(f"{models[place]}: its numbers per photograph are not in the store.")
            continue
        kept = kept_files(store, run)
        if not kept:
            gaps.append(f"{models[place]}: no pictures were kept. Measure it with a larger --samples to see them.")
        for row in _records(table):
            photo = photos.setdefault(row["index"], _photo(row, numbers, len(models)))
            photo.values[place] = _printed(row, numbers)
            if row.get("finite", 1) != 1:
                photo.notes.append(f"{models[place]} gave colours that are not finite")
            target, prediction = (store.picture(run, row["index"], which) for which in ("target", "prediction"))
            if target in kept:
                photo.pictures.setdefault(INPUT, target)
                if has_reference(run):
                    photo.pictures.setdefault(ORIGINAL, target)
            if prediction in kept:
                photo.pictures[str(place)] = prediction
    ordered = [photos[index] for index in sorted(photos)]
    competing = [competes(run) for run in panel.runs]
    return PhotoSet(panel.title, models, competing, has_reference(panel.runs[0]), numbers, ordered, gaps)


def _rows(store: Store, run: Run) -> pd.DataFrame | None:
    try:
        return store.rows(run)
    except BenchError:
        return None


def _records(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [str(column) for column in table.columns]
    return (dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None))


def _photo(row: dict[str, Any], numbers: Sequence[Number], models: int) -> Photo:
    nothing: list[list[float | None]] = [[None] * len(numbers) for _ in range(models)]
    original = _printed(row, numbers, "_target")
    return Photo(row["name"], nothing, original, [_GRAY] if row.get("gray") == 1 else [])


def _printed(row: dict[str, Any], numbers: Sequence[Number], suffix: str = "") -> list[float | None]:
    """Each value rounded to the digits worth printing; the columns are called as the numbers, and ``suffix``."""
    values = ((row.get(number.name + suffix), number.decimals) for number in numbers)
    return [None if v is None or not math.isfinite(v) else round(v, decimals) for v, decimals in values]
