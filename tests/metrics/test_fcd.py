from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.color import rgb2lab
from skimage.measure import block_reduce
from torch import Tensor

from bench.color import join, rgb_to_lab, to_uint8
from bench.metrics.fcd import DIMENSION, FCD, chroma_descriptor


def distance(prediction: Tensor, target: Tensor) -> float:
    metric = FCD()
    for start in range(0, len(prediction), 50):
        metric.update(prediction[start : start + 50], target[start : start + 50])
    return metric.compute()["fcd"].item()


def half_lab(image: Tensor) -> np.ndarray:
    """(3, H, W) uint8 -> (H / 2, W / 2, 3) by scikit-image and plain means."""
    return block_reduce(rgb2lab(image.permute(1, 2, 0).numpy()), (2, 2, 1), np.mean)


def recoloured(lightness: Tensor, ab: Tensor) -> Tensor:
    return to_uint8(join(lightness, ab))


@pytest.fixture(scope="module")
def lab(photos: Tensor) -> tuple[Tensor, Tensor]:
    """Lightness and muted chroma, so that no change of hue leaves the gamut."""
    lab = rgb_to_lab(photos)
    return lab[:, :1].clamp(30, 80), lab[:, 1:].clamp(-25, 25)


def test_identical_sets_are_exactly_zero_apart(photos: Tensor) -> None:
    assert distance(photos, photos) == 0


def test_order_does_not_matter(photos: Tensor) -> None:
    assert distance(photos, photos.flip(0)) < 1e-5


def test_grows_as_colours_fade(lab: tuple[Tensor, Tensor]) -> None:
    lightness, ab = lab
    target = recoloured(lightness, ab)
    distances = [distance(recoloured(lightness, s * ab), target) for s in (1, 0.9, 0.7, 0.4, 0)]
    assert distances[0] == 0
    assert all(b > 1.5 * a for a, b in pairwise(distances))
    assert distances[1] > 0.1


def test_grows_as_hue_turns(lab: tuple[Tensor, Tensor]) -> None:
    lightness, ab = lab
    target = recoloured(lightness, ab)
    distances = []
    for degrees in (10, 30, 60, 120, 180):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        a, b = ab.unbind(1)
        distances.append(distance(recoloured(lightness, torch.stack((c * a - s * b, s * a + c * b), 1)), target))
    assert all(later > earlier for earlier, later in pairwise(distances))
    assert distances[0] > 0.1


def test_notices_chroma_of_another_image(lab: tuple[Tensor, Tensor]) -> None:
    """The set of chroma maps stays the same; only what they belong to changes."""
    lightness, ab = lab
    target = recoloured(lightness, ab)
    few, many = ab.clone(), ab[torch.randperm(len(ab), generator=torch.Generator().manual_seed(0))]
    few[:30] = few[:30].roll(1, 0)
    assert distance(target, target) < distance(recoloured(lightness, few), target)
    assert distance(recoloured(lightness, few), target) < distance(recoloured(lightness, many), target)
    assert distance(recoloured(lightness, many), target) > distance(recoloured(lightness, 0.9 * ab), target)


def test_notices_colours_in_the_wrong_place(lab: tuple[Tensor, Tensor]) -> None:
    lightness, ab = lab
    target = recoloured(lightness, ab)
    assert distance(recoloured(lightness, ab.flip(2)), target) > distance(recoloured(lightness, 0.9 * ab), target)


def test_notices_bleeding(lab: tuple[Tensor, Tensor]) -> None:
    lightness, ab = lab
    target = recoloured(lightness, ab)
    blurred = [F.interpolate(F.avg_pool2d(ab, n), ab.shape[-2:], mode="bilinear") for n in (2, 4, 8)]
    distances = [distance(recoloured(lightness, chroma), target) for chroma in blurred]
    assert distances[0] > 0.1
    assert all(later > 1.5 * earlier for earlier, later in pairwise(distances))


def test_the_histogram_is_a_bilinear_vote(photos: Tensor) -> None:
    found = (chroma_descriptor(photos[:3])[:, :81] / 10) ** 2
    for image, histogram in zip(photos[:3], found.view(3, 9, 9), strict=True):
        expected = np.zeros((10, 10))
        position = np.clip(np.arcsinh(half_lab(image)[..., 1:].reshape(-1, 2) / 8) / 0.75, -4, 4) + 4
        low = np.floor(position).astype(int)
        rest = position - low
        for da in (0, 1):
            for db in (0, 1):
                share = np.abs(1 - da - rest[:, 0]) * np.abs(1 - db - rest[:, 1])
                np.add.at(expected, (low[:, 0] + da, low[:, 1] + db), share)
        np.testing.assert_allclose(histogram.numpy(), expected[:9, :9] / len(position), atol=1e-5)


def test_a_gray_image_has_only_lightness() -> None:
    gray = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    histogram, layout, bands, edges = chroma_descriptor(gray)[0].split((81, 20, 12, 3))
    assert histogram.argmax() == 40
    assert histogram[40].item() == pytest.approx(10, abs=1e-2)
    assert layout.abs().max() < 0.01
    assert edges.tolist() == [0, 0, 0]
    lightness = rgb2lab(np.full((1, 1, 3), 100, np.uint8))[0, 0, 0]
    np.testing.assert_allclose(bands.view(3, 4)[:, 0].numpy(), [10 - lightness / 5, lightness / 5, 0], atol=1e-3)


def test_layout_and_bands_are_plain_means(photos: Tensor) -> None:
    _, layout, bands, _ = chroma_descriptor(photos[:1])[0].split((81, 20, 12, 3))
    lab = half_lab(photos[0])
    corner = lab[16:, :16].reshape(-1, 3)  # cell (1, 0)
    expected = [*corner[:, 1:].mean(0), np.hypot(*corner[:, 1:].T).mean(), *corner[:, 1:].std(0)]
    np.testing.assert_allclose(layout.view(5, 2, 2)[:, 1, 0].numpy() * 5, expected, atol=1e-2)
    bright = np.clip(lab[..., 0] / 50 - 1, 0, 1)
    expected = [bright.mean() * 50, (bright * lab[..., 1]).mean(), (bright * lab[..., 2]).mean()]
    np.testing.assert_allclose(bands.view(3, 4)[2, :3].numpy() * 5, expected, atol=1e-3)


def test_the_descriptor_does_not_depend_on_its_batch(photos: Tensor) -> None:
    whole = chroma_descriptor(photos[:20])
    assert whole.shape == (20, DIMENSION)
    assert DIMENSION == 116
    alone = torch.cat([chroma_descriptor(image[None]) for image in photos[:20]])
    np.testing.assert_allclose(alone.numpy(), whole.numpy(), atol=2e-5)


def test_edges_are_cosines_of_gradients(photos: Tensor) -> None:
    lab = half_lab(photos[0])
    dx, dy = lab[:-1, 1:] - lab[:-1, :-1], lab[1:, :-1] - lab[:-1, :-1]
    gradient = np.stack((dx, dy), axis=-1).reshape(-1, 3, 2)
    energy = (gradient**2).sum((0, 2)) / len(gradient)
    norms = np.linalg.norm(gradient[:, 0], axis=1), np.linalg.norm(gradient[:, 1:].reshape(-1, 4), axis=1)
    products = [(gradient[:, 0] * gradient[:, i]).sum() for i in (1, 2)] + [(norms[0] * norms[1]).sum()]
    chroma = np.array([energy[1], energy[2], energy[1] + energy[2]])
    expected = np.array(products) / len(gradient) / np.sqrt((energy[0] + 1) * (chroma + 1))
    np.testing.assert_allclose(chroma_descriptor(photos[:1])[0, -3:].numpy() / 10, expected, atol=1e-4)
