from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from bench.color import gray_rgb, join, lab_to_rgb, rgb_to_lab, to_uint8


@pytest.fixture
def rgb() -> np.ndarray:
    corners = np.stack(np.meshgrid(*[[0, 1, 10, 11, 128, 254, 255]] * 3), axis=-1).reshape(1, -1, 3)
    random = np.random.default_rng(0).integers(0, 256, (1, 5000, 3))
    return np.concatenate((corners, random), axis=1).astype(np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(image, -1, 0)[None])


def array(image: torch.Tensor) -> np.ndarray:
    return np.moveaxis(image[0].numpy(), 0, -1)


def test_lab_agrees_with_scikit_image(rgb: np.ndarray) -> None:
    assert np.abs(array(rgb_to_lab(tensor(rgb))) - rgb2lab(rgb)).max() < 1e-3
    double = rgb_to_lab(tensor(rgb / 255))
    assert double.dtype == torch.float64
    assert np.abs(array(double) - rgb2lab(rgb)).max() < 1e-3


@pytest.mark.filterwarnings("ignore:.*negative Z values.*")
def test_rgb_agrees_with_scikit_image_inside_and_outside_the_gamut() -> None:
    rng = np.random.default_rng(1)
    lab = np.stack((rng.uniform(0, 100, 5000), *rng.uniform(-120, 120, (2, 5000))), axis=-1)[None]
    assert np.abs(array(lab_to_rgb(tensor(lab))) - lab2rgb(lab)).max() < 1e-4


def test_round_trip_through_uint8_is_exact(rgb: np.ndarray) -> None:
    assert torch.equal(to_uint8(lab_to_rgb(rgb_to_lab(tensor(rgb)))), tensor(rgb))


def test_gray_rgb_is_neutral_and_keeps_lightness() -> None:
    lightness = torch.linspace(0, 100, 500).view(1, 1, 1, -1)
    gray = gray_rgb(lightness)
    assert gray.shape == (1, 3, 1, 500)
    assert (gray - join(lightness, torch.zeros(1, 2, 1, 500))).abs().max() < 1e-3
    assert np.abs(rgb2lab(array(gray).astype(np.float64))[..., 0] - array(lightness)[..., 0]).max() < 1e-3


def test_gradients_are_right_and_finite_at_black_and_white() -> None:
    rgb = torch.rand(1, 3, 2, 2, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lab_to_rgb(rgb_to_lab(x)), rgb)
    edge = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).repeat(1, 3, 1, 1).requires_grad_()
    rgb_to_lab(edge).sum().backward()
    assert edge.grad is not None
    assert bool(torch.isfinite(edge.grad).all())


def test_inference_does_not_spoil_later_training() -> None:
    """Constants made under inference mode could not be used with gradients; float16 is used by no other test."""
    pixel = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float16)
    with torch.inference_mode():
        rgb_to_lab(pixel)
    pixel.requires_grad_()
    rgb_to_lab(pixel).sum().backward()
    assert pixel.grad is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_agrees_with_cpu(rgb: np.ndarray) -> None:
    lab = rgb_to_lab(tensor(rgb))
    assert (rgb_to_lab(tensor(rgb).cuda()).cpu() - lab).abs().max() < 1e-3


def test_autocast_and_tf32_touch_no_digit(rgb: np.ndarray) -> None:
    """Both round the factors of matrix products, by up to 0.07 of a*; there must be none."""
    image = tensor(rgb)
    expected = rgb_to_lab(image)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rgb_to_lab(image), expected)
        back = lab_to_rgb(expected)
    assert torch.equal(back, lab_to_rgb(expected))
