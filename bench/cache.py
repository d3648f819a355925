"""Where things that can be made again are kept, and how a file is written so that nobody ever sees half of it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from bench.errors import BenchError

_FOLDER = "colorization-bench"


def cache_dir() -> Path:
    """The folder of everything that may be deleted at any time: ``$BENCH_CACHE``, or the platform's user cache.

    The folder is not created here; ``write_atomically`` creates what it needs.
    """
    if chosen := os.environ.get("BENCH_CACHE"):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / _FOLDER
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / _FOLDER / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / _FOLDER


def write_atomically(path: str | Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` so that readers see the old file or the whole new one, also after a power cut.

    Parent folders are created. The bytes go to a temporary file in the same folder, are forced to disk, and the file
    is then renamed over ``path`` with the permissions an ordinary new file would get.

    Raises:
        BenchError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError):
            raise BenchError(
                f"cannot write {path}: {error.strerror or error}. "
                "Free some space or choose another place (for the cache: set BENCH_CACHE)."
            ) from error
        raise


def _umask() -> int:
    """The process' umask. Reading it means setting it; on Linux it can be read from /proc without that race."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
