from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets import DATASETS, Dataset, open_dataset
from bench.errors import DatasetError, UnknownNameError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test makes exists: no data root of the user's, no cache of the user's."""
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)


def put(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (shade % 256, 90, 30)).save(file, "JPEG")
    path.write_bytes(file.getvalue())
    return path


def imagenet_file(number: int, suffix: str = ".JPEG") -> str:
    return f"ILSVRC2012_val_{number:08d}{suffix}"


IMAGENET_LAYOUTS = [
    "imagenet/val",
    "ImageNet/val",
    "ILSVRC2012/val",
    "ILSVRC/Data/CLS-LOC/val",
    "imagenet/validation",
    "imagenet/ILSVRC2012_img_val",
    "ILSVRC2012_img_val",
    "val",
    "imagenet",
    ".",
]


@pytest.mark.parametrize("layout", IMAGENET_LAYOUTS)
@pytest.mark.parametrize("in_classes", [False, True])
def test_imagenet_layouts(tmp_path: Path, layout: str, in_classes: bool) -> None:
    folder = tmp_path / "root" / layout
    for number, synset in ((3, "n01440764"), (10, "n01440764"), (1, "n09999999")):
        put(folder / (synset if in_classes else "") / imagenet_file(number))
    dataset = open_dataset("imagenet", data_root=tmp_path / "root")
    assert dataset.names == ("ILSVRC2012_val_00000001", "ILSVRC2012_val_00000003", "ILSVRC2012_val_00000010")
    assert [path.stem for path in dataset.paths] == list(dataset.names)
    assert all(path.is_file() for path in dataset.paths)
    assert (dataset.name, dataset.split, dataset.has_reference) == ("imagenet", "val5k", True)


@pytest.mark.parametrize("layout", ["coco/val2017", "COCO/images/val2017", "cocostuff/val2017", "val2017", "."])
def test_coco_layouts(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "root" / layout
    put(folder / "000000000632.jpg")
    put(folder / "000000000139.JPG")
    put(folder / "000000000632_mask.png")
    dataset = open_dataset("coco", data_root=tmp_path / "root")
    assert dataset.names == ("000000000139", "000000000632")
    assert dataset.key == "coco/val2017"


@pytest.mark.parametrize(
    "layout",
    [
        "ade20k/images/validation",
        "ADE20K/images/validation",
        "ADEChallengeData2016/images/validation",
        "ade20k/ADEChallengeData2016/images/validation",
        "ade20k/validation",
        "images/validation",
        "ADE20K_2021_17_01/images/ADE/validation/urban/street",
        "ade20k/ADE20K_2021_17_01/images/ADE/validation/home_or_hotel/bedroom",
        "ADE20K_2016_07_26/images/validation/a/abbey",
        ".",
    ],
)
def test_ade20k_layouts(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "root" / layout
    put(folder / "ADE_val_00000002.jpg")
    put(folder / "ADE_val_00000001.jpg")
    put(folder / "ADE_val_00000001_seg.png")
    put(folder / "ADE_val_00000001" / "instance_000_ADE_val_00000001.png")
    dataset = open_dataset("ade20k", data_root=tmp_path / "root")
    assert dataset.names == ("ADE_val_00000001", "ADE_val_00000002")
    assert dataset.expected == 2000


def test_imagenet_splits(tmp_path: Path) -> None:
    for number in (*range(1, 5001), 5001, 49_999):
        path = tmp_path / "imagenet/val" / imagenet_file(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    val5k = open_dataset("imagenet", data_root=tmp_path)
    assert (len(val5k), val5k.names[-1], val5k.strays) == (5000, "ILSVRC2012_val_00005000", 0)
    assert val5k.complete
    assert val5k.count == "5,000"
    val50k = open_dataset("imagenet/val50k", data_root=tmp_path)
    assert (len(val50k), val50k.expected, val50k.complete) == (5002, 50_000, False)
    assert val50k.count == "5,002 of 50,000"


def test_a_subset_of_imagenet_is_never_complete(tmp_path: Path) -> None:
    for number in (*range(1, 5000), 6000, 7000):
        path = tmp_path / "imagenet/val" / imagenet_file(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    dataset = open_dataset("imagenet", data_root=tmp_path)
    assert (len(dataset), dataset.expected, dataset.strays) == (5000, 5000, 1)
    assert not dataset.complete
    assert dataset.count == "5,000 of 5,000 (1 from outside the split)"
    assert dataset.limited(10).strays == 0


def test_the_same_photograph_twice_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "imagenet/val" / imagenet_file(1))
    put(tmp_path / "imagenet/val/n01440764" / imagenet_file(1, ".jpg"))
    with pytest.raises(DatasetError, match="same photograph"):
        open_dataset("imagenet", data_root=tmp_path)


def test_another_split_is_not_taken_for_the_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2001):
        path = tmp_path / "ade20k/images/validation" / f"ADE_val_{number:08d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(DatasetError, match=r"2,001 photographs.*2,000.*another split"):
        open_dataset("ade20k", data_root=tmp_path)


def test_where_datasets_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("option", "one", "two", "data", "datasets"):
        put(tmp_path / place / "coco/val2017/000000000139.jpg")

    def root_of(**options: Path) -> str:
        return open_dataset("coco", **options).root.relative_to(tmp_path).parts[0]  # type: ignore[arg-type]

    monkeypatch.setenv("BENCH_DATA", os.pathsep.join([str(tmp_path / "absent"), str(tmp_path / "two")]))
    assert root_of(data_root=tmp_path / "option") == "option"
    assert root_of() == "two"
    monkeypatch.delenv("BENCH_DATA")
    assert open_dataset("coco").root == Path("data/coco/val2017")
    (tmp_path / "data").rename(tmp_path / "moved")
    assert open_dataset("coco").root == Path("datasets/coco/val2017")


def test_an_option_is_not_silently_overruled(tmp_path: Path) -> None:
    put(tmp_path / "data/coco/val2017/000000000139.jpg")
    (tmp_path / "option").mkdir()
    with pytest.raises(DatasetError, match="was not found"):
        open_dataset("coco", data_root=tmp_path / "option")
    with pytest.raises(DatasetError, match="not a folder"):
        open_dataset("coco", data_root=tmp_path / "typo")


@pytest.mark.parametrize("name", ["imagenet", "coco", "ade20k", "imagenet-sample", "historical"])
def test_a_missing_dataset_says_where_and_how(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DatasetError) as caught:
        open_dataset(name)
    text = str(caught.value)
    for part in (str(tmp_path / "elsewhere"), "data, datasets", "--data-root", "BENCH_DATA", "samples"):
        assert part in text
    assert DATASETS[name].layout in text
    assert DATASETS[name].obtain in text


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "imagenet/val").mkdir(parents=True)
    put(tmp_path / "imagenet/val/mine.jpg")
    with pytest.raises(DatasetError, match=r"hold no ILSVRC2012_val_X+\.JPEG: .*imagenet/val"):
        open_dataset("imagenet", data_root=tmp_path)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean imagenet"):
        open_dataset("imagnet")
    with pytest.raises(UnknownNameError, match=r"split of imagenet 'val10k'.*val50k"):
        open_dataset("imagenet", "val10k")
    with pytest.raises(UnknownNameError, match="split of coco"):
        open_dataset("coco/val5k")
    with pytest.raises(UnknownNameError, match="split of a folder"):
        open_dataset("folder:x", "train")
    with pytest.raises(DatasetError, match="two splits"):
        open_dataset("imagenet/val5k", "val50k")


def test_a_path_given_as_a_name(tmp_path: Path) -> None:
    (tmp_path / "my" / "photos").mkdir(parents=True)
    with pytest.raises(DatasetError, match="Write folder:my/photos"):
        open_dataset("my/photos")


def test_folders_of_any_photographs(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name in ("photo10.jpg", "photo9.JPEG", "b/photo1.PNG", "b/c/1.webp", "a.jpg", "a.png", "Ähre.TIF"):
        put(folder / name)
    for name in (".hidden.jpg", ".git/x.jpg", "notes.txt", "photo.jpg.part"):
        put(folder / name)
    dataset = open_dataset(f"folder:{folder}")
    assert dataset.names == (
        "a.jpg",
        "a.png",
        "b/c/1.webp",
        "b/photo1.PNG",
        "photo9.JPEG",
        "photo10.jpg",
        "Ähre.TIF",
    )
    assert dataset.paths == tuple(folder / name for name in dataset.names)
    assert dataset.key == "folder:mine/all"
    assert dataset.complete


def test_folders_relative_to_a_data_root(tmp_path: Path) -> None:
    put(tmp_path / "root/imagenet_sample/n01440764_tench.JPEG")
    dataset = open_dataset("folder:imagenet_sample", data_root=tmp_path / "root")
    assert dataset.names == ("n01440764_tench.JPEG",)
    with pytest.raises(DatasetError, match=r"no folder 'imagenet_sampel'.*root/imagenet_sampel"):
        open_dataset("folder:imagenet_sampel", data_root=tmp_path / "root")


def test_folders_without_photographs(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("none")
    with pytest.raises(DatasetError, match=r"holds no photograph.*\.jpg"):
        open_dataset("folder:mine")
    with pytest.raises(DatasetError, match="no folder is named"):
        open_dataset("folder:")


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_symbolic_links(tmp_path: Path) -> None:
    put(tmp_path / "mine/sub/a.jpg")
    put(tmp_path / "other/b.jpg")
    (tmp_path / "mine/loop").symlink_to(tmp_path / "mine")
    (tmp_path / "mine/linked").symlink_to(tmp_path / "other")
    (tmp_path / "mine/self.jpg").symlink_to(tmp_path / "mine/self.jpg")
    (tmp_path / "mine/broken.jpg").symlink_to(tmp_path / "gone.jpg")
    dataset = open_dataset("folder:mine")
    assert dataset.names == ("broken.jpg", "linked/b.jpg", "self.jpg", "sub/a.jpg")


def test_historical_has_no_reference(tmp_path: Path) -> None:
    put(tmp_path / "historical/London 1945.jpg")
    put(tmp_path / "imagenet/val" / imagenet_file(1))
    dataset = open_dataset("historical", data_root=tmp_path)
    assert dataset.names == ("London 1945.jpg",)
    assert not dataset.has_reference
    (tmp_path / "historical/London 1945.jpg").unlink()
    with pytest.raises(DatasetError):  # not the ImageNet photograph below the same root
        open_dataset("historical", data_root=tmp_path)


def test_imagenet_sample_takes_class_photographs_only(tmp_path: Path) -> None:
    put(tmp_path / "imagenet-sample-images/n01443537_goldfish.JPEG")
    put(tmp_path / "imagenet-sample-images/n01440764_tench.JPEG")
    put(tmp_path / "imagenet-sample-images/gallery.jpg")
    dataset = open_dataset("imagenet-sample", data_root=tmp_path)
    assert dataset.names == ("n01440764_tench.JPEG", "n01443537_goldfish.JPEG")
    assert (dataset.expected, dataset.complete, dataset.has_reference) == (1000, False, True)


def test_samples_are_always_there() -> None:
    dataset = open_dataset("samples")
    assert dataset.complete
    assert set(dataset.names) >= {"astronaut", "chelsea", "coffee", "rocket", "china", "flower"}
    assert len(dataset) == 10


def test_samples_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install scikit-image"):
        open_dataset("samples")


def test_the_catalogue_is_light() -> None:
    """Neither torch nor the packages that hold the samples are imported."""
    code = (
        "import sys; from bench.datasets import open_dataset; open_dataset('samples'); "
        "sys.exit(bool({'torch', 'skimage', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_catalogue_is_consistent() -> None:
    for name, info in DATASETS.items():
        assert name == info.name
        assert info.default_split in info.splits
        assert all((info.title, info.terms, info.obtain, info.layout))


def test_limits(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / "mine" / f"{i}.jpg")
    dataset = open_dataset("folder:mine")
    two = dataset.limited(2)
    assert two.names == ("0.jpg", "1.jpg")
    assert not two.complete
    assert two.count == "2 of 4"
    assert dataset.limited(4) is dataset
    assert dataset.limited(None) is dataset
    with pytest.raises(DatasetError, match="limit of 0"):
        dataset.limited(0)


def test_names_must_be_unique(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two photographs are named a"):
        Dataset("x", "all", tmp_path, ("a", "b", "a"), (Path("1"), Path("2"), Path("3")))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs of the developers' machine are not here")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("imagenet", 38),
        ("imagenet/val50k", 38),
        ("coco", 251),
        ("ade20k", 37),
        ("historical", 30),
        ("imagenet-sample", 962),
    ],
)
def test_photographs_at_hand(name: str, count: int) -> None:
    dataset = open_dataset(name, data_root=SHARED)
    assert len(dataset) == count
    assert len(set(dataset.names)) == count
