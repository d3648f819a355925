from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.datasets import Dataset, open_dataset

OLD = 1_600_000_000_000_000_000  # a time of modification long past, in ns


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files that nobody touched for years, and an empty cache. Digests never decode, so any bytes will do."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in (("a.jpg", b"first"), ("b.jpg", b"second")):
        write(folder / name, content)
    return folder


def write(path: Path, content: bytes, modified: int | None = OLD) -> None:
    path.write_bytes(content)
    if modified is not None:
        os.utime(path, ns=(modified, modified))


def opened(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}")


def expected(**contents: bytes) -> str:
    lines = [f"{name}.jpg\0{hashlib.sha256(content).hexdigest()}\n" for name, content in contents.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_digest_is_what_the_documentation_says(folder: Path) -> None:
    assert opened(folder).digest() == expected(a=b"first", b=b"second")
    assert opened(folder).digest() == expected(a=b"first", b=b"second")


def test_the_digest_does_not_depend_on_the_place(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert opened(tmp_path / "elsewhere").digest() == opened(folder).digest()


def test_names_and_order_count(folder: Path) -> None:
    before = opened(folder).digest()
    assert opened(folder).limited(1).digest() == expected(a=b"first") != before
    (folder / "a.jpg").rename(folder / "c.jpg")
    assert opened(folder).digest() != before


def test_one_byte_counts_even_at_the_same_size(folder: Path) -> None:
    assert opened(folder).digest() == expected(a=b"first", b=b"second")
    write(folder / "a.jpg", b"fIrst", OLD + 1)
    assert opened(folder).digest() == expected(a=b"fIrst", b=b"second")


def test_a_change_right_after_hashing_is_seen(folder: Path) -> None:
    """Both writes may fall into one tick of the file system's clock; simulated by equal times of modification."""
    write(folder / "a.jpg", b"first", modified=None)
    now = (folder / "a.jpg").stat().st_mtime_ns
    assert opened(folder).digest() == expected(a=b"first", b=b"second")
    write(folder / "a.jpg", b"fIrst", now)
    assert opened(folder).digest() == expected(a=b"fIrst", b=b"second")


def test_settled_files_are_read_only_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder).digest()
    write(folder / "a.jpg", b"fIrst")  # same size and time: only reading it again would tell
    assert opened(folder).digest() == first
    write(folder / "a.jpg", b"longer")
    assert opened(folder).digest() == expected(a=b"longer", b=b"second")


def test_the_quick_digest_never_reads(folder: Path) -> None:
    assert opened(folder).quick_digest() is None
    digest = opened(folder).digest()
    assert opened(folder).quick_digest() == digest
    assert opened(folder).limited(1).quick_digest() == expected(a=b"first")
    write(folder / "b.jpg", b"other", OLD + 1)
    assert opened(folder).quick_digest() is None
    opened(folder).digest()
    (folder / "b.jpg").unlink()
    assert opened(folder).quick_digest() == expected(a=b"first")


def test_splits_of_one_folder_share_what_is_remembered(tmp_path: Path, folder: Path) -> None:
    for number in range(3):
        path = tmp_path / "imagenet/val" / f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, b"photo %d" % number)
    open_dataset("imagenet/val50k", data_root=tmp_path).digest()
    assert open_dataset("imagenet/val5k", data_root=tmp_path).quick_digest()
    open_dataset("imagenet/val5k", data_root=tmp_path).limited(1).digest()
    assert open_dataset("imagenet/val50k", data_root=tmp_path).quick_digest()


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[1]", b'{"x": 3}', b"\xff\xfe"])
def test_a_damaged_cache_is_an_empty_one(folder: Path, tmp_path: Path, content: bytes) -> None:
    opened(folder).digest()
    (cache,) = (tmp_path / "cache").rglob("*.json")
    cache.write_bytes(content)
    assert opened(folder).digest() == expected(a=b"first", b=b"second")
    assert len(json.loads(cache.read_bytes())) >= 2


def test_without_a_place_for_the_cache_it_still_works(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    assert opened(folder).digest() == expected(a=b"first", b=b"second")


def test_progress_and_interruption(folder: Path) -> None:
    seen: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(folder).digest(progress=interrupt)
    assert seen == [(1, 2)]
    assert opened(folder).limited(1).quick_digest() == expected(a=b"first")
    opened(folder).digest(progress=lambda done, total: seen.append((done, total)))
    assert seen[1:] == [(1, 2), (2, 2)]


def test_an_unreadable_file_counts_as_such_and_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    (folder / "b.jpg").unlink()
    (folder / "b.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    lines = f"a.jpg\0{hashlib.sha256(b'first').hexdigest()}\nb.jpg\0unreadable\n"
    assert opened(folder).digest() == hashlib.sha256(lines.encode()).hexdigest()
    assert opened(folder).quick_digest() is None
    write(tmp_path / "elsewhere.jpg", b"second")
    assert opened(folder).digest() == expected(a=b"first", b=b"second")


def test_a_file_one_may_not_read_is_not_remembered_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may read all, so the refusal is simulated; size and time of the file are the same before it."""
    path_open = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "b.jpg":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return path_open(path, *arguments, **options)

    with monkeypatch.context() as context:
        context.setattr(Path, "open", refuse)
        assert opened(folder).digest() not in (expected(a=b"first", b=b"second"), expected(a=b"first"))
    assert opened(folder).quick_digest() is None
    assert opened(folder).digest() == expected(a=b"first", b=b"second")
