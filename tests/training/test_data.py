from __future__ import annotations

import errno
import io
import resource
import tarfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from bench.errors import DatasetError
from bench.metrics.colourfulness import Colourfulness
from bench.training.config import DataConfig, TrainConfig, load_config
from bench.training.data import Photographs, Places, colourfulness, default_workers, make_loader
from bench.training.sources import Encoded, FolderSource, ShardSource, open_source
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
        open_loader(settings, 0, 0, 1, 5, pin=False)


def test_more_shards_than_open_files_are_allowed(tmp_path: Path) -> None:
    for number in range(40):
        shard(tmp_path / f"{number:02d}.tar", {"a.png": png((number, 0, 0))})
    source = open_source(str(tmp_path))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 10, allowed[1]))
    try:
        chosen = Photographs(source, DataConfig(size=16), seed=0)
        samples = [chosen[place] for place in range(40)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert sorted(int(sample.image[0, 0, 0]) for sample in samples) == list(range(40))
    assert not any(sample.skipped for sample in samples)


class Failing(FolderSource):
    """A disk that fails ``times`` times, then works."""

    def __init__(self, folder: Path, error: OSError, times: int) -> None:
        super().__init__(folder)
        self.error, self.times = error, times

    def read(self, index: int) -> Encoded:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return super().read(index)


def test_a_disk_that_fails_for_a_moment_costs_no_photograph(
    photographs: Photographs_, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.data._PAUSES", (0.0, 0.0))
    folder = photographs(3)
    sample = Photographs(Failing(folder, OSError(errno.EIO, "input/output error"), 2), DataConfig(size=16), 0)[0]
    assert sample.skipped == {}
    with pytest.raises(DatasetError, match=r"photograph \d cannot be read: .*too many open files.*--resume"):
        Photographs(Failing(folder, OSError(errno.EMFILE, "too many open files"), 3), DataConfig(size=16), 0)[0]
    gone = Photographs(Failing(folder, FileNotFoundError(errno.ENOENT, "no such file"), 1), DataConfig(size=16), 0)[0]
    assert len(gone.skipped) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_decoding_process_arrives_as_a_sentence(workers: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png((90, 90, 90)))
    chosen = Photographs(FolderSource(tmp_path), DataConfig(size=16, min_cf=1), seed=0)
    with pytest.raises(DatasetError, match="^none of 1 photographs in a row can be used") as caught:
        list(make_loader(chosen, Places(0, 1, 1, 0, 1, 1), workers, pin=False))
    assert "Traceback" not in str(caught.value)


def streamed(tmp_path: Path, *changes: str) -> TrainConfig:
    urls = f"file://{tmp_path}/{{00..03}}.tar"
    return load_config("ddcolor-mini", ["steps=6", "batch_size=4", "data.size=16", "augment.size=16", *changes], urls)


def four_shards(tmp_path: Path) -> None:
    for number in range(4):
        shard(tmp_path / f"{number:02d}.tar", {f"{number}{i}.png": png((200, 50 * number, 40 * i)) for i in range(3)})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_streamed_shard_that_breaks_off_or_is_absent_is_passed_over_and_named(workers: int, tmp_path: Path) -> None:
    four_shards(tmp_path)
    whole = (tmp_path / "01.tar").read_bytes()
    (tmp_path / "01.tar").write_bytes(whole[:1550])  # within the second photograph
    (tmp_path / "02.tar").unlink()
    parts = list(open_loader(streamed(tmp_path), 0, 0, 1, workers, pin=False))
    greens = [int(image[1, 0, 0]) for part in parts for image in part.images]
    assert len(greens) == 24
    assert {0, 50, 150} == set(greens)
    skipped: dict[str, str] = {}
    for part in parts:
        skipped |= part.skipped
    assert {name.rsplit("/")[-1] for name in skipped} == {"01.tar", "02.tar"}
    assert all("cannot be read to its end" in reason for reason in skipped.values())


def test_no_streamed_shard_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"00\.tar: the shard cannot be read"):
        list(open_loader(streamed(tmp_path), 0, 0, 1, 0, pin=False))
    for number in range(4):
        shard(tmp_path / f"{number:02d}.tar", {"readme.txt": b"nothing"})
    with pytest.raises(DatasetError, match=r"\.tar: holds no photograph"):
        list(open_loader(streamed(tmp_path), 0, 0, 1, 1, pin=False))


@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (1, 2)])
def test_a_streamed_run_uses_every_place_once_also_after_an_interruption(
    workers: int, accumulate: int, tmp_path: Path
) -> None:
    """Crops and noise hang on the place."""
    four_shards(tmp_path)
    settings = streamed(tmp_path, f"accumulate={accumulate}")
    shares = [open_loader(settings, start, rank, 2, workers, pin=False) for start in (0, 4) for rank in (0, 1)]
    before = [flat(islice(share, 4 * accumulate)) for share in shares[:2]]
    after = [flat(share) for share in shares[2:]]
    assert sorted(before[0] + before[1]) == list(range(16))
    assert sorted(after[0] + after[1]) == list(range(16, 24))


def test_streams_take_no_more_decoding_processes_than_there_are_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_shards(tmp_path)
    monkeypatch.setattr("bench.training.streams.default_workers", lambda: 16)
    made: list[int] = []
    monkeypatch.setattr("bench.training.streams.make_loader", lambda _data, _places, workers, pin: made.append(workers))
    for world in (1, 2, 4):
        open_loader(streamed(tmp_path), 0, 0, world, None, pin=False)
    assert made == [4, 2, 1]
    with pytest.raises(DatasetError, match="4 shards cannot feed 8 decoding processes"):
        open_loader(streamed(tmp_path, "batch_size=8"), 0, 0, 8, None, pin=False)


def test_classes_are_checked_before_the_first_step(tmp_path: Path) -> None:
    for owner in ("n01000000", "n02000000", "n03000000"):
        (tmp_path / owner).mkdir()
        (tmp_path / owner / "a.png").write_bytes(png((0, 0, 0)))
    settings = load_config("ddcolor-mini", ["steps=1", "batch_size=1"], str(tmp_path))
    open_loader(settings, 0, 0, 1, 0, pin=False, classes=3)
    with pytest.raises(DatasetError, match=r"0 to 1, but 1 of the 3 in .* another one, for example 2"):
        open_loader(settings, 0, 0, 1, 0, pin=False, classes=2)
    (tmp_path / "n03000000").rename(tmp_path / "others")
    open_loader(settings, 0, 0, 1, 0, pin=False)
    with pytest.raises(DatasetError, match=r"1 of the 3 in .*for example -1 \(-1 = unknown\)"):
        open_loader(settings, 0, 0, 1, 0, pin=False, classes=3)


def test_a_class_that_is_no_number_is_named(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {"a.png": png((0, 0, 0)), "a.cls": b"cat"})
    with pytest.raises(DatasetError, match=r"a\.tar: a\.cls holds b'cat'\. Expected the number of a class"):
        open_source(str(tmp_path / "a.tar"))


def test_streamed_photographs_without_their_class_are_passed_over_when_it_is_needed(tmp_path: Path) -> None:
    classes = {"a": b"0", "b": b"9", "c": b"cat", "d": None}
    for number in range(4):
        members: dict[str, bytes] = {}
        for name, text in classes.items():
            members |= {f"{name}.png": png((200, 0, 0))} | ({f"{name}.cls": text} if text else {})
        shard(tmp_path / f"{number:02d}.tar", members)
    parts = list(open_loader(streamed(tmp_path), 0, 0, 1, 0, pin=False, classes=5))
    assert {label for part in parts for label in part.labels.tolist()} == {0}
    skipped: dict[str, str] = {}
    for part in parts:
        skipped |= part.skipped
    assert {name.split("/")[1] for name in skipped} == {"b.png", "c.cls", "d.png"}
    labels = [
        label for part in open_loader(streamed(tmp_path), 0, 0, 1, 0, pin=False) for label in part.labels.tolist()
    ]
    assert set(labels) == {-1, 0, 9}


@pytest.mark.parametrize(
    ("environment", "cores", "workers"),
    [
        ({}, 16, 15),
        ({"LOCAL_WORLD_SIZE": "4"}, 16, 3),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_ON_NODE": "32"}, 8, 7),  # bound: these cores are its own
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_ON_NODE": "32"}, 32, 7),  # not bound: all four share them
        ({"LOCAL_WORLD_SIZE": "4"}, 2, 0),
    ],
)
def test_as_many_processes_decode_as_there_are_cores_for(
    environment: dict[str, str], cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers() == workers
