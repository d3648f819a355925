"""Where coloured files go, and where they must not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bench.cli import main
from bench.errors import BenchError
from bench.gallery import outputs, photos_in

Photographs = Callable[..., Path]


def colorize(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        main, ["colorize", *map(str, arguments), "--model", "gray", "--device", "cpu"], catch_exceptions=False
    )


def test_a_photograph_is_never_written_over(photographs: Photographs) -> None:
    folder = photographs(1)
    before = (folder / "photo0000.png").read_bytes()
    for source, out in ((folder, folder), (folder / "photo0000.png", folder / "more" / "..")):
        done = colorize(source, "--out", out)
        assert done.exit_code == 1
        assert "over the photograph" in done.output
        assert "photo0000.png" in done.output
    assert (folder / "photo0000.png").read_bytes() == before


def test_nor_through_links(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(1)
    before = (folder / "photo0000.png").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    os.link(folder / "photo0000.png", out / "photo0000.png")
    assert "over the photograph" in colorize(folder, "--out", out).output
    (out / "photo0000.png").unlink()
    (out / "photo0000.png").symlink_to(folder / "photo0000.png")
    assert "over the photograph" in colorize(folder, "--out", out).output
    (tmp_path / "other").symlink_to(folder)
    assert "over the photograph" in colorize(folder, "--out", tmp_path / "other").output
    assert (folder / "photo0000.png").read_bytes() == before


def test_nor_another_photograph(tmp_path: Path) -> None:
    """The second colouring of a.jpg is a-2.png, which may be a photograph of its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b/a.png", "b/a-2.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(folder / name)
    photos = photos_in([folder / "a.jpg", folder / "b" / "a-2.png"])
    with pytest.raises(BenchError, match=r"a\.jpg coloured would be written to .*a-2\.png, over the photograph"):
        outputs(photos, folder / "b", samples=2)
    with pytest.raises(BenchError, match=r"a\.jpg and .*a\.png would both be written to"):
        photos_in([folder / "a.jpg", folder / "b"])


def test_two_colourings_never_share_a_file(tmp_path: Path) -> None:
    """Two folders of the output may be one by a link."""
    one, two = tmp_path / "photos" / "one", tmp_path / "photos" / "two"
    for folder in (one, two):
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "a.png")
    out = tmp_path / "out"
    (out / "one").mkdir(parents=True)
    (out / "two").symlink_to(out / "one")
    for samples in (1, 3):
        with pytest.raises(BenchError, match="would both be written to"):
            outputs(photos_in([tmp_path / "photos"]), out, samples)
    names = [[path.name for path in paths] for paths in outputs(photos_in([one]), tmp_path / "free", 3)]
    assert names == [["a-1.png", "a-2.png", "a-3.png"]]


@pytest.mark.parametrize("out", ["file.txt", "file.txt/below", "/dev/null/below"])
def test_an_output_folder_that_cannot_be_made_is_named(photographs: Photographs, tmp_path: Path, out: str) -> None:
    (tmp_path / "file.txt").write_text("here already")
    done = colorize(photographs(1), "--out", tmp_path / out)
    assert done.exit_code == 1
    assert str(tmp_path / out) in done.output
    assert "cannot be made" in done.output


def test_an_output_that_cannot_be_written_is_named(photographs: Photographs, tmp_path: Path) -> None:
    blocked = tmp_path / "out" / "photo0000.png"
    blocked.mkdir(parents=True)
    done = colorize(photographs(1), "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{blocked} cannot be written" in done.output


def test_hidden_files_are_not_coloured(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(1)
    (folder / "._photo0000.png").write_bytes(b"what macOS leaves behind")
    done = colorize(folder, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo0000.png"]


def test_names_with_brackets_are_told_as_they_are(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(1, name="a[")
    (folder / "b].png").write_bytes(b"no photograph")
    (folder / "broken [draft].png").write_bytes(b"no photograph")
    done = colorize(folder, "--out", tmp_path / "out[/red]")
    assert done.exit_code == 3, done.output
    assert "a[/b].png" in done.output
    assert "broken [draft].png" in done.output
    assert f"{tmp_path}/out[/red]" in done.output
