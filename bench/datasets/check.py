"""Is a dataset whole and sound? Decodes every photograph."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.base import Dataset
from bench.datasets.digests import Progress
from bench.errors import ImageError
from bench.images import read_rgb


@dataclass(frozen=True)
class Size:
    """One photograph and its size in pixels, upright."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class CheckReport:
    """What ``check_dataset`` found.

    Args:
        key: ``name/split``.
        root: the folder.
        found: photographs that are there.
        expected: photographs the split has; None = as many as there are.
        complete, strays: see ``Dataset``.
        unreadable: (name, reason) of the photographs that cannot be decoded.
        gray: names of the photographs without any colour (R = G = B everywhere). They are kept: the published
            benchmarks contain them too (about 2 % of ImageNet).
        duplicates: names of photographs whose files are the same, byte for byte, in groups.
        smallest, largest: by number of pixels; None if no photograph is readable.
    """

    key: str
    root: Path
    found: int
    expected: int | None
    complete: bool
    strays: int
    unreadable: tuple[tuple[str, str], ...]
    gray: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    smallest: Size | None
    largest: Size | None

    @property
    def sound(self) -> bool:
        """Whether every photograph that is there can be read."""
        return not self.unreadable


@dataclass(frozen=True)
class _Finding:
    name: str
    size: Size | None = None
    gray: bool = False
    sha256: str = ""
    reason: str = ""


def check_dataset(dataset: Dataset, progress: Progress | None = None) -> CheckReport:
    """Decode every photograph and look for damage, duplicates and missing colour.

    Args:
        dataset: what to check.
        progress: called with (photographs done, photographs in all).
    """
    findings = []
    pool = ThreadPoolExecutor(os.cpu_count() or 1)  # threads suffice: Pillow's decoders release the lock
    try:
        for finding in pool.map(_examine, dataset.names, dataset.paths):
            findings.append(finding)
            if progress is not None:
                progress(len(findings), len(dataset))
    finally:
        pool.shutdown(cancel_futures=True)
    same: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.sha256:
            same[finding.sha256].append(finding.name)
    sizes = sorted((f.size for f in findings if f.size), key=lambda size: size.width * size.height)
    return CheckReport(
        key=dataset.key,
        root=dataset.root,
        found=len(dataset),
        expected=dataset.expected,
        complete=dataset.complete,
        strays=dataset.strays,
        unreadable=tuple((f.name, f.reason) for f in findings if f.reason),
        gray=tuple(f.name for f in findings if f.gray),
        duplicates=tuple(tuple(names) for names in same.values() if len(names) > 1),
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
    )


def _examine(name: str, path: Path) -> _Finding:
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Finding(name, reason=f"{path} cannot be read: {error.strerror or error}.")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        rgb = read_rgb(data, str(path))
    except ImageError as error:
        return _Finding(name, sha256=sha256, reason=str(error))
    height, width, _ = rgb.shape
    gray = bool(np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 1], rgb[..., 2]))
    return _Finding(name, Size(name, width, height), gray, sha256)
