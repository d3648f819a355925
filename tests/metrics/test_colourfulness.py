from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.metrics.colourfulness import Colourfulness, colourfulness


def reference(image: Tensor, signed: bool) -> float:
    """One image in float64 numpy, written from the paper."""
    r, g, b = image.numpy().astype(np.float64)
    rg, yb = r - g, 0.5 * (r + g) - b
    if not signed:
        rg, yb = np.abs(rg), np.abs(yb)
    return float(np.hypot(np.std(rg), np.std(yb)) + 0.3 * np.hypot(np.mean(rg), np.mean(yb)))


@pytest.mark.parametrize("signed", [False, True])
def test_agrees_with_the_formula(photos: Tensor, signed: bool) -> None:
    expected = [reference(image, signed) for image in photos]
    np.testing.assert_allclose(colourfulness(photos, signed).numpy(), expected, atol=1e-4)
    assert max(expected) > 30


def test_gray_has_none() -> None:
    gray = torch.randint(0, 256, (2, 1, 20, 30), dtype=torch.uint8).expand(2, 3, 20, 30)
    assert colourfulness(gray).tolist() == [0, 0]


def test_the_two_differences(photos: Tensor, noisy: Tensor) -> None:
    metric = Colourfulness()
    for start in range(0, len(photos), 50):
        metric.update(noisy[start : start + 50], photos[start : start + 50])
    found = metric.compute()
    cf = np.array([reference(image, signed=False) for image in noisy])
    cf_target = np.array([reference(image, signed=False) for image in photos])
    assert found["cf"].item() == pytest.approx(cf.mean(), abs=1e-4)
    assert found["cf_hasler"].item() == pytest.approx(np.mean([reference(i, signed=True) for i in noisy]), abs=1e-4)
    assert found["dcf"].item() == pytest.approx(abs(cf.mean() - cf_target.mean()), abs=1e-4)
    assert found["dcf_image"].item() == pytest.approx(np.abs(cf - cf_target).mean(), abs=1e-4)
    assert set(found) == set(metric.numbers)


def test_dcf_and_dcf_image_part_where_errors_cancel() -> None:
    colours = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    colours[0, 0] = 200
    found = Colourfulness()
    found.update(colours, colours.flip(0))
    assert found.compute()["dcf"].item() == 0
    assert found.compute()["dcf_image"].item() > 50


def test_without_originals(photos: Tensor) -> None:
    metric = Colourfulness(has_target=False)
    rows = metric.measure(photos[:3], None)
    assert tuple(rows) == metric.columns == metric.numbers == ("cf", "cf_hasler")
    metric.update(photos[:3])
    assert metric.compute()["cf"].item() == pytest.approx(rows["cf"].mean().item())


def test_reduces_replicates_of_means() -> None:
    means = {"cf": np.array([1.0, 5.0]), "cf_hasler": np.zeros(2), "cf_target": np.array([3.0, 3.0])}
    numbers = Colourfulness().reduce({**means, "dcf_image": np.array([2.5, 2.5])})
    np.testing.assert_array_equal(numbers["dcf"], [2, 2])
    np.testing.assert_array_equal(numbers["dcf_image"], [2.5, 2.5])
