"""Which bytes a dataset consists of: sha256 of every file, remembered by path, size and time of modification."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.cache import cache_dir, write_atomically
from bench.errors import BenchError

Progress = Callable[[int, int], None]

# A file changed twice within one tick of the file system's clock keeps its time of modification, so (like git) we do
# not remember files that were modified only just before they were read. FAT, the coarsest, ticks every 2 s.
_SETTLED_NS = 3_000_000_000


UNREADABLE = "unreadable"
"""Stands for the sha256 of a file that cannot be read: whoever decodes it will name it and say why."""


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file, or UNREADABLE where the system refuses to read it (a broken link, no permission)."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return UNREADABLE


def combined(names: Iterable[str], digests: Iterable[str]) -> str:
    """One sha256 (hex) over ordered (name, digest) pairs."""
    total = hashlib.sha256()
    for name, digest in zip(names, digests, strict=True):
        total.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


class FileDigests:
    """sha256 of the files of one folder, with a cache of one JSON file in the cache directory.

    Args:
        root: the folder; only names the cache file.
    """

    def __init__(self, root: Path) -> None:
        identity = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:16]
        self.file = cache_dir() / "digests" / f"{identity}.json"

    def known(self, paths: Sequence[Path]) -> list[str] | None:
        """The digests of ``paths``, if every one is remembered and its file has not changed since; else None."""
        remembered = self._load()
        found = [remembered.get(_key(path)) for path in paths] if remembered else []
        if not found or None in found:
            return None
        digests = []
        for path, entry in zip(paths, found, strict=True):
            stamp = _stamp(path)
            if stamp is None or entry is None or entry[:2] != [*stamp]:
                return None
            digests.append(str(entry[2]))
        return digests

    def of(self, paths: Sequence[Path], progress: Progress | None = None) -> list[str]:
        """The digests of ``paths``, in order; UNREADABLE for those that cannot be read.

        What was hashed is remembered, also if the user interrupts.
        """
        remembered, fresh = self._load(), {}
        digests: list[str] = []

        def digest(path: Path) -> tuple[str, list[int | str] | None]:
            stamp, entry = _stamp(path), remembered.get(_key(path))
            if stamp and entry and entry[:2] == [*stamp]:
                return str(entry[2]), None
            started = time.time_ns()
            value = file_digest(path)
            settled = stamp is not None and stamp == _stamp(path) and stamp[1] < started - _SETTLED_NS
            return value, [*stamp, value] if stamp and settled and value != UNREADABLE else None

        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:
            for path, (value, entry) in zip(paths, pool.map(digest, paths), strict=True):
                digests.append(value)
                if entry is not None:
                    fresh[_key(path)] = entry
                if progress is not None:
                    progress(len(digests), len(paths))
        finally:
            pool.shutdown(cancel_futures=True)
            self._remember(fresh)
        return digests

    def _load(self) -> dict[str, list[int | str]]:
        """Remembered entries: path -> [size, mtime_ns, sha256]. A missing or damaged cache is an empty one."""
        try:
            stored = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(stored, dict):
            return {}
        return {path: entry for path, entry in stored.items() if isinstance(entry, list) and len(entry) == 3}

    def _remember(self, fresh: dict[str, list[int | str]]) -> None:
        if not fresh:
            return
        content = json.dumps(self._load() | fresh, separators=(",", ":"))
        with contextlib.suppress(BenchError):  # without a place for the cache, all is only slower
            write_atomically(self.file, content.encode())


def _key(path: Path) -> str:
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
