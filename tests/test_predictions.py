"""Which coloured image belongs to which photograph."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench.datasets import Dataset, open_dataset
from bench.errors import DatasetError
from bench.predictions import Predictions


def touch(folder: Path, *names: str) -> Path:
    """Files of a byte or two each: matching never decodes."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def photographs(tmp_path: Path, *names: str) -> Dataset:
    return open_dataset(f"folder:{touch(tmp_path / 'photos', *names)}")


def images(tmp_path: Path, *names: str) -> Predictions:
    return Predictions(touch(tmp_path / "coloured", *names))


def matched(predictions: Predictions, dataset: Dataset) -> dict[str, str]:
    found = predictions.matched(dataset)
    return {name: path.relative_to(predictions.folder).as_posix() for name, path in found.items()}


def test_equal_names_in_folders_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    dataset = photographs(tmp_path, "a/x.png", "b/x.JPG", "y.png")
    predictions = images(tmp_path, "a/x.webp", "b/x.png", "y.tif", "y/other.png")
    assert matched(predictions, dataset) == {"a/x.png": "a/x.webp", "b/x.JPG": "b/x.png", "y.png": "y.tif"}


def test_a_name_alone_decides_where_nothing_else_has_it(tmp_path: Path) -> None:
    dataset = photographs(tmp_path, "a/x.png", "b/y.png", "c/z.png")
    assert matched(images(tmp_path, "x.png", "deep/er/y.jpg"), dataset) == {
        "a/x.png": "x.png",
        "b/y.png": "deep/er/y.jpg",
    }


def test_names_without_suffix_keep_their_dots(tmp_path: Path) -> None:
    root = touch(tmp_path / "photos", "one.jpg", "two.jpg")
    dataset = Dataset("d", "s", root, ("val.1", "val.2"), (root / "one.jpg", root / "two.jpg"))
    assert matched(images(tmp_path, "val.2.png", "val.1.jpg"), dataset) == {"val.1": "val.1.jpg", "val.2": "val.2.png"}


@pytest.mark.parametrize(
    ("of_photographs", "of_images", "culprit"),
    [
        (("a/x.png", "b/x.png"), ("x.png",), "x.png"),
        (("a/x.png", "b/x.png"), ("a/x.png", "x.png"), "coloured/x.png"),
        (("x.png",), ("one/x.png", "two/x.png"), "one/x.png"),
        (("a/x.png", "a/x.jpg"), ("x.png",), "x.png"),
    ],
)
def test_a_name_that_fits_several_is_refused(
    tmp_path: Path, of_photographs: tuple[str, ...], of_images: tuple[str, ...], culprit: str
) -> None:
    dataset = photographs(tmp_path, *of_photographs)
    with pytest.raises(DatasetError, match=f"{culprit} cannot be told apart.*named x.*at the path of its photograph"):
        images(tmp_path, *of_images).matched(dataset)


def test_photographs_that_differ_in_their_suffix_are_refused(tmp_path: Path) -> None:
    dataset = photographs(tmp_path, "a/x.png", "a/x.jpg")
    with pytest.raises(DatasetError, match=r"a/x\.png may be of 2 photographs"):
        images(tmp_path, "a/x.png").matched(dataset)


def test_images_that_differ_in_their_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a/x\.jpg and .*a/x\.png have one name"):
        images(tmp_path, "a/x.png", "a/x.jpg", "b/x.png").images()


def test_images_of_other_photographs_are_left_alone(tmp_path: Path) -> None:
    """A shortened dataset (--limit) has fewer photographs than there are images."""
    dataset = photographs(tmp_path, "a/x.png", "b/x.png").limited(1)
    assert matched(images(tmp_path, "a/x.png", "b/x.png"), dataset) == {"a/x.png": "a/x.png"}


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    predictions = images(tmp_path, "x.png", "._x.png", ".cache/x.jpg")
    assert list(predictions.images()) == ["x"]


def test_the_digest_counts_names_bytes_and_what_cannot_be_read(tmp_path: Path) -> None:
    dataset = photographs(tmp_path, "x.png", "y.png")
    predictions = images(tmp_path, "x.png")
    (predictions.folder / "y.png").symlink_to(tmp_path / "nowhere.png")
    lines = f"x.png\0{hashlib.sha256(b'x.png').hexdigest()}\ny.png\0unreadable\n"
    assert predictions.digest(predictions.matched(dataset)) == hashlib.sha256(lines.encode()).hexdigest()
