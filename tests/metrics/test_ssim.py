from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from bench.errors import ImageError
from bench.metrics.ssim import SSIM, ssim


def reference(prediction: Tensor, target: Tensor) -> list[float]:
    return [
        structural_similarity(
            t, p, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for p, t in zip(prediction.numpy(), target.numpy(), strict=True)
    ]


@pytest.mark.parametrize("crop", [(64, 64), (11, 64), (37, 20)])
def test_agrees_with_scikit_image(photos: Tensor, noisy: Tensor, crop: tuple[int, int]) -> None:
    height, width = crop
    prediction, target = noisy[::4, :, :height, :width], photos[::4, :, :height, :width]
    expected = reference(prediction, target)
    np.testing.assert_allclose(ssim(prediction, target).numpy(), expected, atol=2e-5)
    metric = SSIM()
    metric.update(prediction, target)
    assert metric.compute()["ssim"].item() == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_images_where_rounding_shows_most(level: int) -> None:
    target = torch.full((1, 3, 40, 40), level, dtype=torch.uint8)
    prediction = target.clone()
    prediction[..., ::2, ::3] ^= 1
    np.testing.assert_allclose(ssim(prediction, target).numpy(), reference(prediction, target), atol=1e-4)
    np.testing.assert_allclose(ssim(target, target).numpy(), 1, atol=1e-6)


def test_images_smaller_than_the_window_are_named(photos: Tensor) -> None:
    with pytest.raises(ImageError, match="at least 11 pixels a side, got 64 x 10"):
        ssim(photos[:1, :, :10], photos[:1, :, :10])
