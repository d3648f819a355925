"""The 313 bins and soft encoding, against the published list and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from torch import Tensor

from bench.gamut import in_gamut_bins, soft_encode

# a*: (lowest b*, highest b*) of pts_in_hull.npy, the list that the authors published.
PUBLISHED = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100),
    -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90),
    50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def bins() -> Tensor:
    return in_gamut_bins()


def test_bins_are_the_published_ones_in_their_order(bins: Tensor) -> None:
    expected = [(a, b) for a, (low, high) in PUBLISHED.items() for b in range(low, high + 1, 10)]
    assert bins.dtype == torch.float32
    assert [tuple(map(int, row)) for row in bins.tolist()] == expected
    assert len(expected) == 313
    assert bins[120].tolist() == [0, 0]


def at(*ab: float) -> Tensor:
    return torch.tensor(ab).view(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("ab", "expected"),
    [
        ((0.0, 0.0), {(0, 0): 0.648786, **dict.fromkeys(((-10, 0), (10, 0), (0, -10), (0, 10)), 0.087804)}),
        (
            (57.3, 41.8),
            {(60, 40): 0.539597, (50, 40): 0.215040, (60, 50): 0.150028, (50, 50): 0.059789, (60, 30): 0.035546},
        ),
    ],
)
def test_soft_encoding_of_the_worked_examples(
    bins: Tensor, ab: tuple[float, float], expected: dict[tuple[int, int], float]
) -> None:
    encoded = soft_encode(at(*ab), bins, k=5, sigma=5.0)[0, :, 0, 0]
    found = {(int(bins[i, 0]), int(bins[i, 1])): float(encoded[i]) for i in encoded.nonzero()[:, 0]}
    assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_soft_encoding_of_images_agrees_with_a_search_tree(bins: Tensor, k: int) -> None:
    ab = (torch.rand(2, 2, 5, 7, generator=torch.Generator().manual_seed(0)) - 0.5) * 200
    encoded = soft_encode(ab, bins, k, sigma=5.0)
    assert encoded.shape == (2, 313, 5, 7)
    assert encoded.dtype == torch.float32
    distances, indices = KDTree(bins.numpy()).query(ab.permute(0, 2, 3, 1).double().numpy(), k=[*range(1, k + 1)])
    weights = np.exp(-(distances**2 - distances[..., :1] ** 2) / 50)
    expected = np.zeros((2, 5, 7, 313))
    np.put_along_axis(expected, indices, weights / weights.sum(axis=-1, keepdims=True), axis=-1)
    np.testing.assert_allclose(encoded.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_chroma_far_outside_the_gamut_still_has_a_distribution(bins: Tensor) -> None:
    encoded = soft_encode(at(-500.0, 500.0), bins)
    assert encoded.sum() == pytest.approx(1)
    assert bins[encoded[0, :, 0, 0].argmax()].tolist() == [-90, 90]
