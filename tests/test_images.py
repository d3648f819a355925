from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color as skcolor

from bench.errors import ImageError
from bench.images import photo_from_tensor, read_photo, read_rgb, rgb_tensor
from bench.suffixes import PHOTO_SUFFIXES


def gradient(height: int = 40, width: int = 56) -> np.ndarray:
    """(H, W, 3) uint8 with a different ramp in every channel, smooth enough for JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 60 * x / width - 60 * y / height], -1).astype(np.uint8)


def encoded(photo: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    photo.save(file, kind, **options)
    return file.getvalue()


def close(photo: Image.Image, expected: np.ndarray, tolerance: float) -> bool:
    difference = np.abs(np.asarray(photo, dtype=float) - expected)
    return photo.size == (expected.shape[1], expected.shape[0]) and bool(difference.max() <= tolerance)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_exactly(kind: str) -> None:
    assert close(read_photo(encoded(Image.fromarray(gradient()), kind)), gradient(), 0)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_files_come_back_nearly(kind: str) -> None:
    assert close(read_photo(encoded(Image.fromarray(gradient()), kind, quality=98)), gradient(), 12)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBX", "YCbCr", "HSV"])
def test_opaque_modes_become_rgb(mode: str) -> None:
    photo = Image.fromarray(gradient()).convert(mode)
    read = read_photo(photo)
    assert read.mode == "RGB"
    assert np.array_equal(np.asarray(read), np.asarray(photo.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_alpha_channels_are_kept(mode: str) -> None:
    alpha = np.full((40, 56), 255, np.uint8)
    alpha[:10] = 0
    gray = mode in ("LA", "La")
    full = Image.fromarray(gradient()).convert("L" if gray else "RGB")
    full.putalpha(Image.fromarray(alpha))
    photo = full.convert("P").convert("PA") if mode == "PA" else full.convert(mode)
    if mode == "PA":
        photo.putalpha(Image.fromarray(alpha))
    read = read_photo(photo)
    assert read.mode == "RGBA"
    assert np.array_equal(np.asarray(read.getchannel("A")), alpha)
    assert read_rgb(photo).shape == (40, 56, 3)


def test_a_palette_with_transparency_becomes_rgba() -> None:
    photo = Image.new("P", (4, 2))
    photo.putpalette([255, 0, 0, 0, 0, 255])
    photo.putdata([0, 1, 0, 1, 1, 1, 1, 1])
    read = read_photo(encoded(photo, "PNG", transparency=0))
    assert read.mode == "RGBA"
    assert read.getpixel((0, 0)) == (255, 0, 0, 0)
    assert read.getpixel((1, 0)) == (0, 0, 255, 255)


def test_transparency_is_dropped_not_blended() -> None:
    pixels = np.dstack([gradient(), np.zeros((40, 56), np.uint8)])
    assert np.array_equal(read_rgb(pixels), gradient())


def test_cmyk_jpeg_with_and_without_adobe_marker() -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0], ink[..., 3] = 200, 20  # much cyan, little black
    adobe = encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=100)
    start = adobe.index(b"\xff\xee")
    length = int.from_bytes(adobe[start + 2 : start + 4], "big")
    assert adobe[start + 4 : start + 9] == b"Adobe"
    # Pillow stores inverted inks; without Adobe's marker the same samples mean the complement.
    plain = adobe[:start] + adobe[start + 2 + length :]
    expected = [(255 - c) * (255 - 20) / 255 for c in (200, 0, 0)]
    complement = [c * 20 / 255 for c in (200, 0, 0)]
    assert close(read_photo(adobe), np.broadcast_to(expected, (16, 16, 3)), 4)
    assert close(read_photo(plain), np.broadcast_to(complement, (16, 16, 3)), 4)


def test_a_turned_cmyk_jpeg_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.fromarray(gradient()).convert("CMYK")
    assert read_photo(encoded(photo, "JPEG", exif=exif)).size == (40, 56)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_gray_is_scaled(kind: str) -> None:
    levels = np.linspace(0, 65535, 40 * 56).reshape(40, 56).astype(np.uint16)
    read = read_photo(encoded(Image.fromarray(levels), kind))
    assert close(read, np.repeat(np.rint(levels / 257.0)[..., None], 3, -1), 0)


def test_a_dark_sixteen_bit_photo_stays_dark() -> None:
    levels = np.full((8, 8), 200, np.uint16)
    assert read_rgb(encoded(Image.fromarray(levels), "PNG")).max() == 1
    header = b"P5 8 8 65535\n"
    assert read_rgb(header + levels.astype(">u2").tobytes()).max() == 1


@pytest.mark.parametrize(("top", "kind"), [(1.0, "F"), (255.0, "F"), (65535.0, "F"), (255, "I"), (65535, "I")])
def test_gray_of_32_bits_is_scaled_by_its_range(top: float, kind: str) -> None:
    ramp = np.linspace(0, top, 64).reshape(8, 8).astype(np.float32 if kind == "F" else np.int32)
    photo = Image.fromarray(ramp)
    assert photo.mode == kind
    expected = np.rint(ramp * 255.0 / top)
    for source in (photo, encoded(photo, "TIFF")):
        assert close(read_photo(source), np.repeat(expected[..., None], 3, -1), 0)


@pytest.mark.parametrize("values", [[-1.0, 3.0], [0.0, 1e6], [0.0, np.nan], [0.0, np.inf]])
def test_gray_without_a_known_range_is_refused(values: list[float]) -> None:
    photo = Image.fromarray(np.array([values], np.float32))
    with pytest.raises(ImageError, match="gray values"):
        read_photo(photo)


def test_lab_is_read_with_its_d50_white() -> None:
    lab = np.zeros((1, 3, 3), np.uint8)
    lab[0] = [[128, 128, 128], [153, 168, 108], [200, 118, 158]]  # L* 0..255, a* and b* offset by 128
    signed = lab ^ np.array([0, 128, 128], np.uint8)  # TIFF stores a* and b* as two's complement
    read = np.asarray(read_photo(encoded(Image.fromarray(signed, "LAB"), "TIFF")), dtype=float)
    values = lab.astype(float)
    scaled = np.dstack([values[..., 0] / 2.55, values[..., 1:] - 128])
    bradford = np.array(
        [[0.9555766, -0.0230393, 0.0631636], [-0.0282895, 1.0099416, 0.0210077], [0.0122982, -0.0204830, 1.3299098]]
    )
    expected = skcolor.xyz2rgb(skcolor.lab2xyz(scaled, illuminant="D50") @ bradford.T) * 255
    assert np.abs(read - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    upright = gradient()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),  # shown after turning it clockwise
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert close(read_photo(file), upright, 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_hide_the_photo() -> None:
    file = encoded(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=98)
    assert close(read_photo(file), gradient(), 12)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_of_several_pictures_the_first_is_read(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), name) for name in ("red", "blue"))
    read = read_photo(encoded(red, kind, save_all=True, append_images=[blue]))
    assert read.getpixel((4, 4)) == (255, 0, 0)


def test_arrays() -> None:
    assert np.array_equal(read_rgb(gradient()), gradient())
    assert np.array_equal(read_rgb(gradient()[..., 0])[..., 2], gradient()[..., 0])
    assert read_photo(np.dstack([gradient(), gradient()[..., 0]])).mode == "RGBA"
    assert np.array_equal(read_rgb(gradient()[::-1, ::2]), gradient()[::-1, ::2])


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="Expected"):
        read_photo(pixels)


def _bad_files() -> dict[str, tuple[bytes, str]]:
    jpeg = encoded(Image.fromarray(gradient(200, 200)), "JPEG")
    png = encoded(Image.fromarray(gradient(200, 200)), "PNG")
    return {
        "empty": (b"", "empty"),
        "text": (b"<html>not found</html>", "not an image"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "truncated jpeg": (jpeg[: len(jpeg) // 2], "damaged"),
        "truncated png": (png[: len(png) // 2], "damaged"),
        "damaged png": (png[:60] + bytes(40) + png[100:], "damaged"),
        "header only": (jpeg[:20], "not an image|damaged"),
    }


@pytest.mark.parametrize("case", list(_bad_files()))
def test_bad_files_are_named_with_the_reason(case: str, tmp_path: Path) -> None:
    data, reason = _bad_files()[case]
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"holiday\.jpg.*({reason})"):
        read_photo(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no file .*nowhere\.png"):
        read_photo(str(tmp_path / "nowhere.png"))
    with pytest.raises(ImageError, match="is a folder"):
        read_photo(tmp_path)
    with pytest.raises(ImageError, match="null"):
        read_photo("a\0b")


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="more than 200 pixels"):
        read_photo(encoded(Image.fromarray(gradient()), "PNG"))


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="no pixels"):
        read_photo(Image.new("RGB", (0, 5)))


def test_tensors_there_and_back() -> None:
    tensor = rgb_tensor(Image.fromarray(gradient()))
    assert tensor.shape == (3, 40, 56)
    assert tensor.dtype == torch.uint8
    assert tensor[:, 3, 5].tolist() == gradient()[3, 5].tolist()
    assert np.array_equal(np.asarray(photo_from_tensor(tensor)), gradient())


def test_transparency_is_put_back() -> None:
    rgba = np.dstack([gradient(), gradient()[..., 0]])
    photo = read_photo(rgba)
    again = photo_from_tensor(rgb_tensor(photo), alpha=photo)
    assert np.array_equal(np.asarray(again), rgba)
    assert photo_from_tensor(rgb_tensor(photo), alpha=photo.convert("RGB")).mode == "RGB"
    with pytest.raises(ImageError, match="does not fit"):
        photo_from_tensor(rgb_tensor(photo)[:, :5], alpha=photo)


def test_the_source_is_left_as_it_was() -> None:
    photo = Image.fromarray(gradient())
    read_photo(photo).paste((0, 0, 0), (0, 0, 9, 9))
    assert np.array_equal(np.asarray(photo), gradient())


def test_suffixes_are_lower_case_and_what_people_have() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PHOTO_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".gif"} <= PHOTO_SUFFIXES
