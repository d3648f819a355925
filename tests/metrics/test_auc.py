from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from bench.metrics.auc import AuC


def reference(prediction: Tensor, target: Tensor) -> tuple[float, float]:
    """Threshold by threshold and pixel by pixel, as the paper words it."""
    ab, truth = (rgb2lab(i.permute(0, 2, 3, 1).numpy())[..., 1:].reshape(-1, 2) for i in (prediction, target))
    errors = np.linalg.norm(ab - truth, axis=1)
    _, bins, sizes = np.unique(np.round(truth / 10), axis=0, return_inverse=True, return_counts=True)
    rarity = 1 / sizes[bins.ravel()]
    areas = []
    for weights in (np.ones(len(errors)), rarity):
        curve = [np.sum(weights * (errors <= threshold)) / np.sum(weights) for threshold in range(151)]
        areas.append(100 * np.trapezoid(curve) / 150)
    return areas[0], areas[1]


def test_agrees_with_the_definition(photos: Tensor) -> None:
    prediction, target = photos[:8].flip(0), photos[:8]
    metric = AuC()
    for p, t in zip(prediction.split(3), target.split(3), strict=True):
        metric.update(p, t)
    plain, rebalanced = reference(prediction, target)
    found = metric.compute()
    assert found["auc"].item() == pytest.approx(plain, abs=2e-3)
    assert found["auc_rebalanced"].item() == pytest.approx(rebalanced, abs=2e-2)
    assert plain - rebalanced > 1


def test_perfect_colours_reach_all() -> None:
    images = torch.randint(0, 256, (2, 3, 30, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    metric = AuC()
    metric.update(images, images)
    assert [value.item() for value in metric.compute().values()] == [100, 100]


def test_one_error_everywhere_cuts_the_curve_there() -> None:
    """Green against magenta: 245 apart, beyond the last threshold."""
    target = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    target[:, 1] = 255
    metric = AuC()
    metric.update(255 - target, target)
    assert [value.item() for value in metric.compute().values()] == [0, 0]


def test_every_colour_has_a_bin() -> None:
    levels = torch.tensor([0, 32, 64, 96, 128, 160, 192, 224, 255], dtype=torch.uint8)
    colours = torch.tensor(list(itertools.product(levels, repeat=3)), dtype=torch.uint8)
    images = colours.T.reshape(1, 3, 27, 27)
    metric = AuC()
    metric.update(images, images)
    occupied = metric.counts.sum(1)
    assert occupied.sum().item() == len(colours)
    bins = np.unique(np.round(rgb2lab(images[0].permute(1, 2, 0).numpy())[..., 1:].reshape(-1, 2) / 10), axis=0)
    assert (occupied > 0).sum().item() == len(bins)


def test_parts_merge_exactly(photos: Tensor, noisy: Tensor) -> None:
    whole, first, second = AuC(), AuC(), AuC()
    whole.update(noisy[:20], photos[:20])
    first.update(noisy[:7], photos[:7])
    second.update(noisy[7:20], photos[7:20])
    first.merge_tensors(second.state_tensors())
    assert torch.equal(first.counts, whole.counts)
    assert first.compute() == whole.compute()
