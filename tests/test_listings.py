"""What the listings say, for people to act on."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from bench.cli import main
from bench.listings import check_and_print, model_card

Photographs = Callable[..., Path]


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=300, highlight=False)


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def imagenet(root: Path, *numbers: int) -> Path:
    for number in numbers:
        path = root / "imagenet" / "val" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (number % 256, 0, 0)).save(path)
    return root


def test_a_sound_folder_passes(photographs: Photographs, screen: Console) -> None:
    folder = photographs(2)
    assert check_and_print(f"folder:{folder}", None, None, screen)
    first, *_, last = printed(screen).splitlines()
    assert first == f"folder:photos/all: 2 photographs in {folder}"
    assert last.startswith("digest ")
    assert len(last.split()[1]) == 64


def test_what_cannot_be_read_is_named_as_it_is_and_before_the_digest(photographs: Photographs, screen: Console) -> None:
    folder = photographs(1, name="a[")
    for name in ("b].png", "broken [draft].png"):
        (folder / name).write_bytes(b"no photograph")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    assert not check_and_print(f"folder:{folder}", None, None, screen)
    text = printed(screen)
    assert f"unreadable: b].png: {folder}/b].png is not an image" in text
    assert "unreadable: broken [draft].png: " in text
    assert "unreadable: gone.png: " in text
    assert "the same photograph: b].png, broken [draft].png" in text
    assert text.splitlines()[-1].startswith("digest ")


def test_the_report_is_printed_though_the_digest_fails(
    photographs: Photographs, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_self: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.datasets.Dataset.digest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_and_print(f"folder:{photographs(2)}", None, None, screen)
    assert "2 photographs" in printed(screen)


def test_an_incomplete_dataset_fails_and_says_how_many_are_missing(tmp_path: Path, screen: Console) -> None:
    root = imagenet(tmp_path, 1, 2, 3, 7_000)
    assert not check_and_print("imagenet/val5k", None, root, screen)
    assert "4,997 of 5,000 photographs are missing" in printed(screen)
    assert "1 photographs are from outside the split" in printed(screen)
    done = CliRunner().invoke(main, ["datasets", "check", "imagenet/val5k", "--data-root", str(root)])
    assert done.exit_code == 3
    assert "4,997 of 5,000 photographs are missing" in done.output


def test_lists_show_paths_and_notes_as_they_are(tmp_path: Path, screen: Console) -> None:
    root = imagenet(tmp_path / "data [/old]", 1)
    listed = CliRunner().invoke(main, ["datasets", "--data-root", str(root)])
    assert listed.exit_code == 0, listed.output
    assert f"{root}/imagenet/val" in listed.output
    source = tmp_path / "net [v2].py"
    source.write_text(
        "CARDS = (ModelCard(name='Net', family='f[/x]', title='Net [beta]', note='see [1]', weights=()),)\n",
        encoding="utf-8",
    )
    screen.print(model_card(f"{source}:Net"))
    for expected in ("net [v2].py:Net – Net [beta]", "f[/x]", "see [1]"):
        assert expected in printed(screen)


def test_doctor_shows_paths_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = imagenet(tmp_path / "data [/old]", 1)
    monkeypatch.setenv("BENCH_DATA", str(root))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache[/x]"))
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    assert f"$BENCH_DATA is {root}" in done.output
    assert f"1 of 5000 photographs in {root}/imagenet/val" in done.output
    assert f"{tmp_path}/cache[/x]" in done.output
