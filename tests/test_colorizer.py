"""The interface around every network: any photograph in, its own lightness and size out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from bench.colorizer import Colorizer, Generator, Hints, colorize, grid, predict_chroma
from bench.errors import HintsError, ImageError
from bench.registry import build


class Toy(Colorizer):
    """One chroma everywhere, or that of the hints; notes the sizes it is shown."""

    accepts_hints = True

    def __init__(self, ab: tuple[float, float] = (12, 18), working_size: int | None = None, stride: int = 1) -> None:
        super().__init__()
        self.ab, self.working_size, self.stride = ab, working_size, stride
        self.seen: list[tuple[int, ...]] = []

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.seen.append(tuple(lightness.shape))
        ab = torch.tensor(self.ab).view(1, 2, 1, 1).expand(len(lightness), 2, *lightness.shape[-2:])
        return ab if hints is None else torch.where(hints.mask > 0, hints.ab, ab)


class Echo(Toy):
    """Chroma that shows what lightness arrived: a* = L*, b* = -L*."""

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.seen.append(tuple(lightness.shape))
        return torch.cat((lightness, -lightness), dim=1)


class Dice(Colorizer):
    stochastic = True

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        assert isinstance(generator, torch.Generator)
        return torch.randn(len(lightness), 2, *lightness.shape[-2:], generator=generator) * 5


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """(173, 211, 3) uint8: a face, an orange suit, a flag."""
    return np.ascontiguousarray(data.astronaut()[60:233, 130:341])


def within_gamut(lab: np.ndarray) -> np.ndarray:
    """Where scikit-image's (clipping) way to sRGB and back changes nothing."""
    return np.abs(rgb2lab(lab2rgb(lab)) - lab).max(axis=-1) < 0.01


# --- colorize ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*negative Z values.*")
@pytest.mark.parametrize("working_size", [None, 32])
@pytest.mark.parametrize("ab", [(0.0, 0.0), (12.0, 18.0), (-20.0, -25.0)])
def test_lightness_is_the_photographs_own(photo: np.ndarray, ab: tuple[float, float], working_size: int | None) -> None:
    model = Toy(ab, working_size)
    out = colorize(model, photo)
    assert (out.size, out.mode) == ((211, 173), "RGB")
    assert model.seen == [(1, 1, working_size or 173, working_size or 211)]
    wanted = np.concatenate((rgb2lab(photo)[..., :1], np.broadcast_to(ab, (173, 211, 2))), axis=-1)
    inside = within_gamut(wanted)
    assert inside.mean() > 0.4
    found = rgb2lab(np.asarray(out))
    assert np.abs(found - wanted)[inside, 0].max() < 0.6
    assert np.abs(found - wanted)[inside, 1:].mean() < 0.6


def test_gray_keeps_lightness_everywhere(photo: np.ndarray) -> None:
    out = np.asarray(colorize(build("gray"), photo))
    assert np.ptp(out.astype(int), axis=-1).max() <= 1
    assert np.abs(rgb2lab(out)[..., 0] - rgb2lab(photo)[..., 0]).max() < 0.6


def test_transparency_is_kept(photo: np.ndarray) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, photo.shape[:2], dtype=np.uint8)
    out = colorize(Toy(working_size=32), Image.fromarray(np.dstack((photo, alpha))))
    assert out.mode == "RGBA"
    assert np.array_equal(np.asarray(out)[..., 3], alpha)
    assert np.array_equal(np.asarray(out)[..., :3], np.asarray(colorize(Toy(working_size=32), photo)))


@pytest.mark.parametrize("size", [(1, 1), (500, 3), (3, 500)])
@pytest.mark.parametrize("model", [Toy(), Toy(stride=32), Toy(working_size=64, stride=32)])
def test_photographs_of_any_shape(size: tuple[int, int], model: Toy) -> None:
    out = colorize(model, Image.new("RGB", size, (120, 120, 120)))
    assert out.size == size
    red, green, blue = np.asarray(out).reshape(-1, 3).mean(axis=0)
    assert red > green > blue  # a* and b* positive: orange


def test_gray_photographs_of_mode_l(photo: np.ndarray) -> None:
    gray = Image.fromarray(photo).convert("L")
    out = colorize(Toy((0.0, 0.0)), gray)
    assert out.mode == "RGB"
    assert np.abs(np.asarray(out).astype(int) - np.asarray(gray)[..., None]).max() <= 1


def test_a_path_an_array_and_a_picture_are_the_same(photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    first, *others = (
        np.asarray(colorize(Toy(), source))
        for source in (photo, Image.fromarray(photo), tmp_path / "photo.png", str(tmp_path / "photo.png"))
    )
    assert all(np.array_equal(first, other) for other in others)
    with pytest.raises(ImageError, match=r"absent\.png"):
        colorize(Toy(), tmp_path / "absent.png")


def test_the_seed_decides_what_is_drawn(photo: np.ndarray) -> None:
    first, same, other = (np.asarray(colorize(Dice(), photo[:20, :20], seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_hints_colour_their_place(photo: np.ndarray) -> None:
    mask = torch.zeros(1, 1, 173, 211)
    mask[..., 40:80, 100:160] = 1
    blue = Hints(torch.tensor([0.0, -30.0]).view(1, 2, 1, 1) * mask, mask)
    plain = photo * 0 + 128
    found = rgb2lab(np.asarray(colorize(Toy((0.0, 30.0)), plain, hints=blue)))
    assert np.abs(found[40:80, 100:160, 2] + 30).max() < 1
    assert np.abs(found[:40, :, 2] - 30).max() < 1
    with pytest.raises(HintsError, match="takes no colour hints"):
        colorize(build("gray"), plain, hints=blue)


# --- grid and predict_chroma -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "working_size", "photo_size", "size", "expected"),
    [
        (1, None, (173, 211), None, (173, 211)),
        (32, None, (173, 211), None, (160, 224)),
        (32, None, (176, 175), None, (192, 160)),
        (32, None, (1, 500), None, (32, 512)),
        (8, 256, (173, 211), None, (256, 256)),
        (32, 256, (173, 211), 100, (96, 96)),
        (32, None, (173, 211), 500, (512, 512)),
        (32, 256, (173, 211), 3, (32, 32)),
    ],
)
def test_grid_is_the_nearest_that_the_model_takes(
    stride: int, working_size: int | None, photo_size: tuple[int, int], size: int | None, expected: tuple[int, int]
) -> None:
    assert grid(Toy(working_size=working_size, stride=stride), *photo_size, size) == expected


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 by Pillow's bilinear filter, which is antialiased. ``size``: (height, width)."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("full", "size", "seen"), [((45, 70), None, (32, 32)), ((20, 90), 64, (64, 64)), ((32, 32), None, (32, 32))]
)
def test_chroma_is_predicted_at_the_working_size(
    full: tuple[int, int], size: int | None, seen: tuple[int, int]
) -> None:
    lightness = torch.rand(1, 1, *full, generator=torch.Generator().manual_seed(0)) * 100
    model = Echo(working_size=32, stride=32)
    ab = predict_chroma(model, lightness, size=size)
    assert model.seen == [(1, 1, *seen)]
    assert ab.shape == (1, 2, *full)
    assert ab.dtype == torch.float32
    expected = resized(resized(lightness[0, 0].numpy(), seen), full)
    assert np.abs(ab[0, 0].numpy() - expected).max() < 1e-2
    assert np.abs(ab[0, 1].numpy() + expected).max() < 1e-2


def test_images_of_a_batch_do_not_mix() -> None:
    lightness = torch.rand(3, 1, 45, 70, generator=torch.Generator().manual_seed(1)) * 100
    together = predict_chroma(Echo(working_size=32), lightness)
    assert together.shape == (3, 2, 45, 70)
    for i in range(3):
        assert torch.allclose(predict_chroma(Echo(working_size=32), lightness[i : i + 1])[0], together[i], atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1)


def test_hints_reach_the_model_on_its_own_grid() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :2, :2] = 1
    hints = Hints(torch.full((1, 2, 64, 64), 40.0) * mask, mask)
    ab = predict_chroma(Toy((0, 0), working_size=32), torch.full((1, 1, 64, 64), 50.0), hints)
    assert ab[0, 0, 0, 0] == pytest.approx(40, abs=1e-4)
    assert ab[0, 0, 8:, 8:].abs().max() == 0


# --- Hints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full", "size"), [((4, 6), (2, 3)), ((5, 7), (2, 3)), ((173, 211), (32, 32)), ((3, 2), (6, 4))]
)
def test_resized_hints_are_the_mean_colours_of_their_cells(full: tuple[int, int], size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    mask = (random.random((1, *full)) < 0.2).astype(np.float32)
    ab = random.uniform(-90, 90, (2, *full)).astype(np.float32) * mask
    found = Hints(torch.from_numpy(ab)[None], torch.from_numpy(mask)[None]).resized(size)
    assert found.ab.shape == (1, 2, *size)
    assert 0 < found.mask.sum() <= size[0] * size[1]
    for i in range(size[0]):
        for j in range(size[1]):
            rows = slice(i * full[0] // size[0], -(-(i + 1) * full[0] // size[0]))
            columns = slice(j * full[1] // size[1], -(-(j + 1) * full[1] // size[1]))
            hinted = mask[0, rows, columns] > 0
            expected = ab[:, rows, columns][:, hinted].mean(axis=1) if hinted.any() else np.zeros(2)
            assert found.mask[0, 0, i, j] == hinted.any()
            assert np.abs(found.ab[0, :, i, j].numpy() - expected).max() < 1e-3


def test_hints_of_the_right_size_stay_as_they_are() -> None:
    hints = Hints(torch.ones(1, 2, 4, 5), torch.ones(1, 1, 4, 5))
    assert hints.resized((4, 5)) is hints
