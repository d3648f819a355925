from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from bench.errors import DatasetError
from bench.metrics.colourfulness import Colourfulness
from bench.training.config import DataConfig, load_config
from bench.training.data import Photographs, Places, colourfulness, make_loader
from bench.training.sources import FolderSource, ShardSource, open_source
from bench.training.streams import open_loader

Photographs_ = Callable[..., Path]


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def png(colour: tuple[int, int, int], side: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def flat(loaded: Iterable) -> list[int]:
    return [place for part in loaded for place in part.places.tolist()]


def test_shards_and_folders_hold_the_same_photographs(photographs: Photographs_, tmp_path: Path) -> None:
    folder = photographs(7)
    files = sorted(folder.iterdir())
    (tmp_path / "tars").mkdir()
    for number, part in enumerate((files[:4], files[4:])):
        members = {f.name: f.read_bytes() for f in part} | {f"{f.stem}.cls": b"5" for f in part}
        shard(tmp_path / "tars" / f"{number}.tar", members)
    loose, packed = open_source(str(folder)), open_source(str(tmp_path / "tars"))
    assert isinstance(loose, FolderSource)
    assert isinstance(packed, ShardSource)
    assert len(loose) == len(packed) == 7
    for i in range(7):
        assert packed.read(i).data == loose.read(i).data
        assert packed.read(i).name == f"{i // 4}.tar/{loose.read(i).name}"
        assert (packed.read(i).label, loose.read(i).label) == (5, -1)


def test_class_folders_are_numbered_in_their_order(tmp_path: Path) -> None:
    for owner in ("n02000000", "n01000000", "n03000000"):
        (tmp_path / owner).mkdir()
        (tmp_path / owner / "a.png").write_bytes(png((0, 0, 0)))
    source = open_source(str(tmp_path))
    assert [(source.read(i).name, source.read(i).label) for i in range(3)] == [
        ("n01000000/a.png", 0), ("n02000000/a.png", 1), ("n03000000/a.png", 2),
    ]  # fmt: skip


def test_every_epoch_holds_every_photograph_in_another_order(photographs: Photographs_) -> None:
    source = FolderSource(photographs(8))
    chosen = Photographs(source, DataConfig(size=16, fit="squash"), seed=3)
    images = [chosen[place].image for place in range(24)]
    epochs = [[hash(image.numpy().tobytes()) for image in images[8 * k : 8 * k + 8]] for k in range(3)]
    assert all(len(set(epoch)) == 8 and set(epoch) == set(epochs[0]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    again = Photographs(source, DataConfig(size=16, fit="squash"), seed=3)
    assert torch.equal(again[21].image, images[21])
    other = Photographs(source, DataConfig(size=16, fit="squash"), seed=4)
    assert any(not torch.equal(other[place].image, images[place]) for place in range(8))


def test_processes_and_parts_share_a_step_out_and_a_run_can_start_anywhere() -> None:
    whole = [place for part in Places(0, 5, 12, 0, 1, 1) for place in part]
    assert whole == list(range(60))
    shares = [list(Places(0, 5, 12, rank, 2, 3)) for rank in (0, 1)]
    for step in range(5):
        seen = [place for share in shares for part in share[3 * step : 3 * step + 3] for place in part]
        assert sorted(seen) == whole[12 * step : 12 * step + 12]
    assert [place for part in Places(3, 5, 12, 0, 1, 1) for place in part] == whole[36:]
    with pytest.raises(DatasetError, match="batch_size 10 cannot be shared out to 2 processes x 2 parts"):
        Places(0, 5, 10, 0, 2, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_and_dull_photographs_are_replaced_and_named(workers: int, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(png((255, 0, 0))[:60])
    (tmp_path / "dull.png").write_bytes(png((90, 100, 90)))
    for i in range(4):
        (tmp_path / f"red{i}.png").write_bytes(png((255, 10 * i, 0)))
    chosen = Photographs(FolderSource(tmp_path), DataConfig(size=16, min_cf=30), seed=0)
    parts = list(make_loader(chosen, Places(0, 6, 4, 0, 1, 1), workers, pin=False))
    assert flat(parts) == list(range(24))
    assert all(bool((part.images[:, 0] == 255).all()) for part in parts)
    skipped: dict[str, str] = {}
    for part in parts:
        skipped |= part.skipped
    assert set(skipped) == {"broken.png", "dull.png"}
    assert "damaged" in skipped["broken.png"]
    assert "below min_cf 30" in skipped["dull.png"]


def test_nothing_usable_is_an_error_not_an_endless_search(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png((90, 90, 90)))
    with pytest.raises(DatasetError, match="none of 3 photographs in a row can be used"):
        Photographs(FolderSource(tmp_path), DataConfig(size=16, min_cf=1), seed=0)[0]


def test_colourfulness_is_the_one_that_is_measured() -> None:
    for image in (data.astronaut(), data.chelsea(), data.coffee()):
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        measured = Colourfulness().measure(pixels, pixels)["cf"].item()
        assert colourfulness(image) == pytest.approx(measured, rel=1e-4)


def test_fit_squashes_or_keeps_the_middle(tmp_path: Path) -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40, 0] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    source = FolderSource(tmp_path)
    middle = Photographs(source, DataConfig(size=20, fit="center"), 0)[0].image
    assert bool((middle[0] == 255).all())
    squashed = Photographs(source, DataConfig(size=20, fit="squash", resample="box"), 0)[0].image
    assert squashed[0, :, [0, 10, 19]].float().mean(dim=0).tolist() == [0, 255, 0]


def test_places_without_data_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds neither photographs nor tar shards"):
        open_source(str(tmp_path))
    with pytest.raises(DatasetError, match="there is no training data at"):
        open_source(str(tmp_path / "nowhere"))
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DatasetError, match=r"bad\.tar cannot be read"):
        open_source(str(tmp_path))


def test_streamed_shards_deliver_every_photograph_once_an_epoch(tmp_path: Path) -> None:
    for number in range(4):
        members = {f"{number}{i}.png": png((200, 50 * number, 40 * i)) for i in range(3)}
        members |= {"broken.png": png((0, 0, 0))[:50]} if number == 2 else {}
        members |= {f"{number}2.cls": b"7"} if number == 0 else {}  # members of one sample are neighbours
        shard(tmp_path / f"{number:02d}.tar", members)
    urls = f"file://{tmp_path}/{{00..03}}.tar"
    settings = load_config("ddcolor-mini", ["steps=6", "batch_size=4", "data.size=16", "augment.size=16"], urls)
    for workers in (0, 2):
        parts = list(zip(range(6), open_loader(settings, 0, 0, 1, workers, pin=False), strict=False))
        colours = [tuple(image[:, 0, 0].tolist()) for _, part in parts for image in part.images]
        assert len(colours) == 24
        assert len(set(colours)) == 12
        labels = {label for _, part in parts for label in part.labels.tolist()}
        assert labels == {-1, 7}
        skipped = {name for _, part in parts for name in part.skipped}
        assert skipped <= {"02.tar/broken.png"}
    with pytest.raises(DatasetError, match="4 shards cannot feed 5 decoding processes"):
        next(iter(open_loader(settings, 0, 0, 1, 5, pin=False)))
