"""Where training photographs lie: a folder of any layout, or WebDataset tar shards. Nothing is decoded here."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.datasets.search import by_path
from bench.errors import DatasetError
from bench.suffixes import PHOTO_SUFFIXES

_CLASS_FOLDER = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Encoded:
    """One photograph as it lies on disk. ``label``: its class, -1 = unknown."""

    name: str
    data: bytes
    label: int


class Source(Protocol):
    """Photographs that can be read in any order, from any process."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 class of each photograph; -1 = unknown."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int) -> Encoded:
        """Raises OSError if the bytes cannot be had."""
        ...


class FolderSource:
    """A folder and the folders below it. In class folders (ImageNet train: nXXXXXXXX) the class is their rank.

    Args:
        folder: an existing folder.

    Raises:
        DatasetError: it holds no photograph.
    """

    def __init__(self, folder: Path) -> None:
        found = by_path(folder)
        if not found:
            raise DatasetError(f"{folder} holds neither photographs nor tar shards. Expected one or the other.")
        self.folder = folder
        # One array of bytes instead of a million objects, which every worker would copy.
        self._names = np.array([name.encode() for name in found])
        owners = [_class_of(name) for name in found]
        classes = {owner: rank for rank, owner in enumerate(sorted({o for o in owners if o is not None}))}
        self.labels = np.array([classes.get(o, -1) if o is not None else -1 for o in owners], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> Encoded:
        name = self._names[index].decode()
        return Encoded(name, (self.folder / name).read_bytes(), int(self.labels[index]))


def _class_of(name: str) -> str | None:
    return next((part for part in Path(name).parts[:-1] if _CLASS_FOLDER.fullmatch(part)), None)


class ShardSource:
    """Tar shards on this computer, read at random through an index of their members.

    A member ``NAME.cls`` holds the class of the photograph ``NAME.*``.

    Args:
        shards: tar files, uncompressed; their order counts.

    Raises:
        DatasetError: a shard is damaged or compressed, or none holds a photograph.
    """

    def __init__(self, shards: list[Path]) -> None:
        self.shards = shards
        names: list[bytes] = []
        places: list[tuple[int, int, int, int]] = []
        for number, shard in enumerate(shards):
            for name, offset, size, label in _members(shard):
                names.append(f"{shard.name}/{name}".encode())
                places.append((number, offset, size, label))
        if not names:
            raise DatasetError(f"the tar shards in {shards[0].parent} hold no photograph.")
        self._names, self._places = np.array(names), np.array(places, dtype=np.int64)
        self.labels = self._places[:, 3]

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> Encoded:
        number, offset, size, label = map(int, self._places[index])
        # Opened anew each time, like loose files: there may be more shards than a process may keep open.
        with self.shards[number].open("rb", buffering=0) as shard:
            shard.seek(offset)
            return Encoded(self._names[index].decode(), shard.read(size), label)


def _members(shard: Path) -> list[tuple[str, int, int, int]]:
    """(name, offset, size, class) of every photograph of a shard, in its order."""
    photos: list[tuple[str, int, int]] = []
    classes: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                stem, _, suffix = member.name.rpartition(".")
                if suffix == "cls" and (content := archive.extractfile(member)) is not None:
                    classes[stem] = _class_in(content.read(), f"{shard}: {member.name}")
                elif f".{suffix.lower()}" in PHOTO_SUFFIXES and member.isfile():
                    photos.append((member.name, member.offset_data, member.size))
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"the shard {shard} cannot be read: {error}. Expected an uncompressed tar file.") from error
    return [(name, offset, size, classes.get(name.rpartition(".")[0], -1)) for name, offset, size in photos]


def _class_in(text: bytes, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DatasetError(f"{name} holds {text[:40]!r}. Expected the number of a class.") from None


def is_stream(path: str) -> bool:
    """Whether ``path`` names shards that can only be read from front to back."""
    return "://" in path or path.startswith("pipe:")


def open_source(path: str) -> Source:
    """The photographs of a folder, of a folder of shards, or of one shard.

    Raises:
        DatasetError: there is nothing of that kind; says what was expected.
    """
    place = Path(path).expanduser()
    if place.is_file() and place.suffix == ".tar":
        return ShardSource([place])
    if not place.is_dir():
        raise DatasetError(
            f"there is no training data at {place}. Expected a folder of photographs or of tar shards, or a .tar file."
        )
    shards = sorted(place.glob("*.tar"))
    return ShardSource(shards) if shards else FolderSource(place)
