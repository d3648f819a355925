from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bench.errors import ConfigError, UnknownNameError
from bench.protocol import Preprocessing, Protocol, load_protocol, protocol_names


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def checked(preprocessing: Preprocessing, pixels: np.ndarray) -> np.ndarray:
    result = preprocessing.apply(Image.fromarray(pixels))
    assert result.shape == (preprocessing.size, preprocessing.size, 3)
    assert result.dtype == np.uint8
    return result


@pytest.mark.parametrize("shape", [(300, 451), (40, 31), (64, 200), (1, 1), (7, 1000), (64, 65)])
def test_opencv_bilinear_is_opencvs(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    expected = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_LINEAR)
    result = checked(Preprocessing(size=64, resample="opencv-bilinear"), pixels)
    difference = np.abs(result.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.mark.parametrize(
    ("resample", "pillow"),
    [
        ("bicubic", Image.Resampling.BICUBIC),
        ("bilinear", Image.Resampling.BILINEAR),
        ("box", Image.Resampling.BOX),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
def test_filters_are_pillows(resample: str, pillow: Image.Resampling) -> None:
    pixels = noise(100, 130)
    result = checked(Preprocessing.model_validate({"size": 32, "resample": resample}), pixels)
    assert np.array_equal(result, np.asarray(Image.fromarray(pixels).resize((32, 32), pillow)))


def test_shrinking_is_antialiased_but_for_opencv() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::8] = 255
    assert checked(Preprocessing(size=32, resample="box"), stripes).std() == 0
    assert checked(Preprocessing(size=32), stripes)[:, 2:-2].std() < 1
    shifted = checked(Preprocessing(size=32, resample="opencv-bilinear"), np.roll(stripes, 3, axis=1))
    assert shifted.mean() > 100  # 12.5 % of the pixels are white, but OpenCV looks at every eighth


@pytest.mark.parametrize(("height", "width"), [(40, 64), (64, 40), (41, 64), (64, 41), (40, 40)])
def test_the_centre_square(height: int, width: int) -> None:
    pixels = noise(height, width)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    result = checked(Preprocessing(crop="center", size=side), pixels)
    assert np.array_equal(result, square)
    smaller = checked(Preprocessing(crop="center", size=20), pixels)
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(square)).resize((20, 20), Image.Resampling.BICUBIC))
    assert np.array_equal(smaller, expected)


@pytest.mark.parametrize("resample", ["bicubic", "lanczos", "opencv-bilinear"])
@pytest.mark.parametrize("crop", ["none", "center"])
def test_a_photo_of_the_right_size_is_untouched(resample: str, crop: str) -> None:
    pixels = noise(32, 32)
    preprocessing = Preprocessing.model_validate({"crop": crop, "size": 32, "resample": resample})
    assert np.array_equal(checked(preprocessing, pixels), pixels)


def test_transparency_is_dropped() -> None:
    rgba = np.dstack([noise(32, 32), np.zeros((32, 32), np.uint8)])
    assert np.array_equal(Preprocessing(size=32).apply(Image.fromarray(rgba)), rgba[..., :3])


def test_the_protocols_that_come_with_the_package() -> None:
    assert protocol_names() == ["crop256", "ddcolor-code", "paper"]
    for name in protocol_names():
        protocol = load_protocol(name)
        assert protocol.name == name
        assert protocol.description
    assert len({load_protocol(name).hash for name in protocol_names()}) == 3


def test_paper_is_the_papers() -> None:
    paper = load_protocol("paper")
    cropped, squashed = Preprocessing(crop="center", size=256), Preprocessing(crop="none", size=256)
    assert paper.for_dataset("imagenet", "val5k") == cropped
    for name, split in (("imagenet", "val50k"), ("coco", "val2017"), ("ade20k", "validation"), ("folder:x", "all")):
        assert paper.for_dataset(name, split) == squashed
    numbers = "fid cf cf_hasler dcf dcf_image psnr ssim lpips_alex lpips_vgg fcd auc"
    assert paper.metrics == numbers.split()


def test_the_other_protocols() -> None:
    assert load_protocol("crop256").for_dataset("coco", "val2017").crop == "center"
    code = load_protocol("ddcolor-code")
    assert code.for_dataset("imagenet", "val5k") == Preprocessing(resample="opencv-bilinear")
    assert "fid_ddcolor" in code.metrics


def test_overrides_of_a_dataset_and_of_a_split() -> None:
    small, smaller = Preprocessing(size=64), Preprocessing(size=32)
    protocol = Protocol(name="x", overrides={"imagenet": small, "imagenet/val5k": smaller}, metrics=["psnr"])
    assert protocol.for_dataset("imagenet", "val5k") == smaller
    assert protocol.for_dataset("imagenet", "val50k") == small
    assert protocol.for_dataset("coco", "val2017").size == 256


def test_the_hash_is_of_everything_but_the_description() -> None:
    base = Protocol(name="x", metrics=["psnr", "cf"])
    content = {
        "metrics": ["psnr", "cf"],
        "name": "x",
        "overrides": {},
        "preprocessing": {"crop": "none", "resample": "bicubic", "size": 256},
        "seed": 0,
    }
    canonical = json.dumps(content, separators=(",", ":"))
    assert base.hash == hashlib.sha256(canonical.encode()).hexdigest()[:12]
    assert base.model_copy(update={"description": "words"}).hash == base.hash
    for change in (
        {"name": "y"},
        {"seed": 1},
        {"metrics": ["psnr"]},
        {"preprocessing": Preprocessing(size=255)},
        {"overrides": {"coco": Preprocessing()}},
    ):
        assert base.model_copy(update=change).hash != base.hash


def test_a_protocol_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_protocol("paper").seed = 1


def mine(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    path = mine(tmp_path, "name: mine\nmetrics: [psnr]\npreprocessing: {size: 64}\n")
    expected = Protocol(name="mine", metrics=["psnr"], preprocessing=Preprocessing(size=64))
    assert load_protocol(path) == load_protocol(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nmetrics: [psnr]\npreprocesing: {}\n", r"mine\.yaml.*'preprocesing'.*mean 'preprocessing'"),
        (
            "name: x\nmetrics: [psnr]\npreprocessing: {resampling: box}\n",
            r"'preprocessing\.resampling'.*mean 'resample'",
        ),
        ("name: x\nmetrics: [psnr]\noverrides: {coco: {sise: 3}}\n", r"'overrides\.coco\.sise'.*mean 'size'"),
        ("name: x\nmetrics: [psnr]\npreprocessing: {crop: centre}\n", r"'preprocessing\.crop'.*'center'.*'centre'"),
        ("name: x\nmetrics: [psnr]\npreprocessing: {size: 0}\n", r"'preprocessing\.size'.*found 0"),
        ("name: x\nmetrics: [psnr]\npreprocessing: {size: big}\n", r"'preprocessing\.size'.*'big'"),
        ("name: x\nmetrics: []\n", r"key 'metrics'"),
        ("metrics: [psnr]\n", r"key 'name'.*[Rr]equired"),
        ("name: 'a/b'\nmetrics: [psnr]\n", r"key 'name'.*'a/b'"),
        ("name: x\nmetrics: [psnrr]\n", r"mine\.yaml.*unknown metric 'psnrr'.*mean psnr"),
        ("name: x\nmetrics: [psnr, psnr]\n", r"'metrics'.*twice"),
        ("name: x\nmetrics: [psnr]\noverrides: {imagnet: {}}\n", r"unknown dataset 'imagnet'.*mean imagenet"),
        ("name: x\nmetrics: [psnr]\noverrides: {imagenet/val10k: {}}\n", r"split of imagenet 'val10k'"),
        ("name: [x\n", r"mine\.yaml is not YAML.*line 2"),
        ("", r"holds no settings"),
        ("- a\n- b\n", r"holds no settings"),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_protocol(mine(tmp_path, text))


def test_unknown_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'papre'.*mean paper"):
        load_protocol("papre")
    with pytest.raises(ConfigError, match=r"no file .*absent\.yaml.*paper"):
        load_protocol(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_protocol(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not YAML"):
        load_protocol(tmp_path / "binary.yaml")
