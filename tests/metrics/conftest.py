"""Crops of photographs that ship with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

_SIDE = 64


@pytest.fixture(scope="session")
def photos() -> Tensor:
    """(120, 3, 64, 64) uint8 RGB; the order is a fixed shuffle, so any part shows all photographs."""
    crops = []
    for image in (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()):
        rows, columns = image.shape[0] // _SIDE, image.shape[1] // _SIDE
        crops += [
            image[r * _SIDE : (r + 1) * _SIDE, c * _SIDE : (c + 1) * _SIDE] for r in range(rows) for c in range(columns)
        ]
    order = np.random.default_rng(0).permutation(len(crops))[:120]
    return torch.from_numpy(np.stack([crops[i] for i in order])).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def noisy(photos: Tensor) -> Tensor:
    """``photos`` with noise of a different strength in each."""
    noise = torch.randn(photos.shape, generator=torch.Generator().manual_seed(1))
    strength = torch.linspace(1, 40, len(photos)).view(-1, 1, 1, 1)
    return (photos + strength * noise).round().clamp(0, 255).to(torch.uint8)
