from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import open_dataset
from bench.datasets.check import Size, check_dataset

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def test_everything_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "colour.png")
    (folder / "twin.png").write_bytes((folder / "colour.png").read_bytes())
    Image.fromarray(noise[..., 0]).save(folder / "gray.png")
    Image.fromarray(np.repeat(noise[..., :1], 3, -1)).save(folder / "gray_in_rgb.bmp")
    Image.new("RGB", (90, 80), "red").save(folder / "large.jpg")
    Image.new("L", (3, 2)).save(folder / "small.jpg")
    (folder / "cut.png").write_bytes((folder / "colour.png").read_bytes()[:500])
    (folder / "empty.jpg").touch()
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")

    seen: list[tuple[int, int]] = []
    report = check_dataset(open_dataset(f"folder:{folder}"), progress=lambda done, total: seen.append((done, total)))

    assert seen == [(i, 9) for i in range(1, 10)]
    assert (report.found, report.expected, report.complete, report.sound) == (9, None, True, False)
    assert [name for name, _ in report.unreadable] == ["cut.png", "empty.jpg", "gone.jpg"]
    reasons = dict(report.unreadable)
    assert "damaged" in reasons["cut.png"]
    assert str(folder / "empty.jpg") in reasons["empty.jpg"]
    assert "empty" in reasons["empty.jpg"]
    assert "cannot be read" in reasons["gone.jpg"]
    assert report.gray == ("gray.png", "gray_in_rgb.bmp", "small.jpg")
    assert report.duplicates == (("colour.png", "twin.png"),)
    assert report.smallest == Size("small.jpg", 3, 2)
    assert report.largest == Size("large.jpg", 90, 80)


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photograph")
    report = check_dataset(open_dataset(f"folder:{tmp_path}"))
    assert not report.sound
    assert report.smallest is None
    assert report.largest is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs of the developers' machine are not here")
def test_photographs_at_hand_are_sound() -> None:
    report = check_dataset(open_dataset("ade20k", data_root=SHARED))
    assert report.sound
    assert (report.found, report.expected, report.complete) == (37, 2000, False)
    assert report.duplicates == ()
    assert report.largest is not None
    assert (report.largest.width, report.largest.height) == (256, 256)
