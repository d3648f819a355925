from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from bench.metrics.psnr import PSNR, psnr


def test_agrees_with_scikit_image(photos: Tensor, noisy: Tensor) -> None:
    expected = [
        peak_signal_noise_ratio(t, p, data_range=255) for t, p in zip(photos.numpy(), noisy.numpy(), strict=True)
    ]
    np.testing.assert_allclose(psnr(noisy, photos).numpy(), expected, atol=1e-9)
    metric = PSNR()
    metric.update(noisy, photos)
    assert metric.compute()["psnr"].item() == pytest.approx(np.mean(expected), abs=1e-9)


def test_is_not_the_psnr_of_the_pooled_error(photos: Tensor, noisy: Tensor) -> None:
    pooled = peak_signal_noise_ratio(photos.numpy(), noisy.numpy(), data_range=255)
    assert psnr(noisy, photos).mean().item() > pooled + 1


def test_identical_images_are_capped(photos: Tensor) -> None:
    np.testing.assert_allclose(psnr(photos[:2], photos[:2]).numpy(), 10 * np.log10(255**2 / 1e-5))


def test_extremes_do_not_overflow() -> None:
    black, white = torch.zeros(1, 3, 300, 300, dtype=torch.uint8), torch.full((1, 3, 300, 300), 255, dtype=torch.uint8)
    assert psnr(black, white).item() == 0


def test_misuse_is_refused(photos: Tensor) -> None:
    metric = PSNR()
    with pytest.raises(ValueError, match="target was expected"):
        metric.measure(photos[:1], None)
    with pytest.raises(ValueError, match="differ in shape"):
        metric.measure(photos[:2], photos[:1])
    with pytest.raises(ValueError, match="differ in shape"):
        metric.measure(photos[:2], photos[:3])
    with pytest.raises(ValueError, match="uint8 RGB"):
        metric.measure(photos[:1].float(), photos[:1])
    with pytest.raises(ValueError, match="uint8 RGB"):
        metric.measure(photos[:1, :1], photos[:1, :1])
