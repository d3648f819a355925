"""A Dataset: named colour images of one split, in a fixed order, with a digest. Never resizes, converts or batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.datasets.digests import FileDigests, Progress, combined
from bench.errors import DatasetError


@dataclass(frozen=True)
class Dataset:
    """The photographs of one split.

    Args:
        name: name in the catalogue, or ``folder:NAME``.
        split: e.g. ``"val5k"``.
        root: folder the photographs were found in.
        names: one unique name per photograph, e.g. ``ILSVRC2012_val_00000001``; a POSIX path below ``root``, with
            suffix, where the dataset has no names of its own.
        paths: the files, in the order of ``names``.
        has_reference: False where the photographs have no true colours to compare with.
        expected: how many photographs the whole split has; None = as many as there are.
        strays: how many of these photographs the official split does not have (see ``imagenet``).

    Raises:
        DatasetError: two photographs have one name.
    """

    name: str
    split: str
    root: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    has_reference: bool = True
    expected: int | None = None
    strays: int = 0

    def __post_init__(self) -> None:
        if len(self.names) != len(self.paths):
            raise ValueError(f"{len(self.names)} names for {len(self.paths)} files")
        if len(set(self.names)) != len(self.names):
            double = Counter(self.names).most_common(1)[0][0]
            raise DatasetError(f"{self.key}: two photographs are named {double}. Names must be unique.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def key(self) -> str:
        """``name/split``, as the command line and the protocols write it."""
        return f"{self.name}/{self.split}"

    @property
    def complete(self) -> bool:
        """Whether these are exactly the photographs of the split."""
        return self.strays == 0 and (self.expected is None or len(self) == self.expected)

    @property
    def count(self) -> str:
        """For listings: ``5,000``, or ``38 of 5,000`` where some are missing."""
        if self.complete:
            return f"{len(self):,}"
        strays = f" ({self.strays:,} from outside the split)" if self.strays else ""
        return f"{len(self):,} of {self.expected or len(self):,}{strays}"

    def limited(self, n: int | None) -> Dataset:
        """The first ``n`` photographs; no longer complete, unless there are no more than ``n``.

        Raises:
            DatasetError: ``n`` is not positive.
        """
        if n is None or n >= len(self):
            return self
        if n < 1:
            raise DatasetError(f"{self.key}: a limit of {n} photographs leaves nothing. Expected 1 or more.")
        expected = self.expected if self.expected is not None else len(self)
        # The photographs are in official order, so those from outside the split are the last.
        strays = max(0, self.strays - (len(self) - n))
        return replace(self, names=self.names[:n], paths=self.paths[:n], expected=expected, strays=strays)

    def digest(self, progress: Progress | None = None) -> str:
        """sha256 (hex) over every name and the sha256 of its file's bytes (or ``unreadable``), in order.

        File digests are cached by path, size and time of modification, so only the first call reads the files.

        Args:
            progress: called with (files done, files in all).
        """
        return combined(self.names, FileDigests(self.root).of(self.paths, progress))

    def quick_digest(self) -> str | None:
        """``digest()`` if it is known without reading a single photograph, else None."""
        known = FileDigests(self.root).known(self.paths)
        return None if known is None else combined(self.names, known)


@dataclass(frozen=True)
class DatasetInfo:
    """What the catalogue says of a dataset.

    Args:
        name, title: short name on the command line, and the full one.
        splits: split -> how many photographs it has; None = as many as there are.
        default_split: the split meant when none is given.
        homepage: where it is described.
        terms: what one may do with the photographs, in short; the home page decides.
        obtain: how to get it, in shell commands or words.
        layout: the folders it is looked for in, below a data root.
        find: (split, data roots) -> Dataset, or DatasetError.
    """

    name: str
    title: str
    splits: Mapping[str, int | None]
    default_split: str
    homepage: str
    terms: str
    obtain: str
    layout: str
    find: Callable[[str, Sequence[Path]], Dataset]
