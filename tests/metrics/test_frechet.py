from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.metrics.frechet import Array, FrechetMetric, Statistics, frechet_distance


def gaussian(n: int, dimension: int, seed: int) -> tuple[Array, Array]:
    """Mean and covariance of n correlated samples with a decaying spectrum."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((dimension, dimension)) / np.arange(1, dimension + 1)
    features = rng.standard_normal((n, dimension)) @ mix.T + 0.2 * rng.standard_normal(dimension)
    return features.mean(0), np.cov(features, rowvar=False)


def by_square_root(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    return float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1 + cov2) - 2 * np.trace(root).real)


@pytest.mark.parametrize("n", [500, 40], ids=["full rank", "rank deficient"])
def test_agrees_with_the_matrix_square_root(n: int) -> None:
    one, two = gaussian(n, 64, seed=1), gaussian(n, 64, seed=2)
    assert frechet_distance(*one, *two) == pytest.approx(by_square_root(*one, *two), rel=1e-6)
    assert frechet_distance(*two, *one) == pytest.approx(frechet_distance(*one, *two), rel=1e-6)


def test_rank_deficient_agrees_with_the_nuclear_norm_of_the_data() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((30, 200)), 1.5 * rng.standard_normal((30, 200)) + 0.3
    centred_x, centred_y = ((d - d.mean(0)) / np.sqrt(29) for d in (x, y))
    nuclear = np.linalg.svd(centred_x @ centred_y.T, compute_uv=False).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + (centred_x**2).sum() + (centred_y**2).sum() - 2 * nuclear
    found = frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_full_rank_and_a_deficient_side() -> None:
    one, two = gaussian(20, 48, seed=1), gaussian(500, 48, seed=2)
    expected = by_square_root(*two, *one)
    assert frechet_distance(*one, *two) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(*two, *one) == pytest.approx(expected, rel=1e-6)


def test_diagonal_covariances_have_a_closed_form() -> None:
    a, b = np.array([1.0, 4.0, 9.0]), np.array([16.0, 1.0, 0.0])
    found = frechet_distance(np.zeros(3), np.diag(a), np.array([1.0, 2.0, 3.0]), np.diag(b))
    assert found == pytest.approx(14 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2))


@pytest.mark.parametrize("n", [500, 30])
def test_identical_gaussians_are_exactly_zero_apart(n: int) -> None:
    mean, cov = gaussian(n, 64, seed=1)
    assert frechet_distance(mean, cov, mean.copy(), cov.copy()) == 0
    assert frechet_distance(mean, cov, mean + 1e-9, cov) < 1e-5


@pytest.mark.slow
def test_is_several_times_faster_than_the_matrix_square_root() -> None:
    one, two = gaussian(3000, 2048, seed=1), gaussian(3000, 2048, seed=2)
    # CPU time and the best of three: other work on the machine must not decide.
    times = []
    for _ in range(3):
        begun = time.process_time()
        found = frechet_distance(*one, *two)
        times.append(time.process_time() - begun)
    begun = time.process_time()
    expected = by_square_root(*one, *two)
    theirs = time.process_time() - begun
    assert found == pytest.approx(expected, rel=1e-6)
    assert theirs / min(times) > 4


class Patches(FrechetMetric):
    """Features = 4 x 4 mean colours; notes the size of every batch that reaches its network."""

    def __init__(self, batch_size: int | None) -> None:
        super().__init__("patches", 48, batch_size)
        self.sizes: list[int] = []

    def prepare(self, images: Tensor) -> Tensor:
        return F.interpolate(images.float() / 255, (8, 8), mode="bilinear", antialias=True)

    def features(self, prepared: Tensor) -> Tensor:
        self.sizes.append(len(prepared))
        return F.adaptive_avg_pool2d(prepared, 4).flatten(1)


def expected_distance(prediction: Tensor, target: Tensor) -> float:
    """From features of all images at once, by numpy."""
    metric = Patches(batch_size=0)
    x, y = (metric.features(metric.prepare(images)).double().numpy() for images in (prediction, target))
    return by_square_root(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))


@pytest.mark.parametrize("batch_size", [0, 7, None])
def test_the_callers_batches_do_not_matter(photos: Tensor, noisy: Tensor, batch_size: int | None) -> None:
    expected = expected_distance(noisy, photos)
    for callers in (1, 16, len(photos)):
        metric = Patches(batch_size)
        for prediction, target in zip(noisy.split(callers), photos.split(callers), strict=True):
            metric.update(prediction, target)
        assert metric.compute()["patches"].item() == pytest.approx(expected, rel=1e-6)
        if batch_size != 0:
            assert set(metric.sizes) == {4 if batch_size is None else batch_size}


@pytest.mark.parametrize("batch_size", [0, 7])
def test_parts_merge_into_the_whole(photos: Tensor, noisy: Tensor, batch_size: int) -> None:
    parts = []
    for part in (slice(0, 33), slice(33, 80), slice(80, None)):
        metric = Patches(batch_size)
        metric.update(noisy[part], photos[part])
        metric.state_tensors()  # a checkpoint on the way may not disturb
        parts.append(metric.state_tensors())
    merged = Patches(batch_size)
    for states in parts:
        merged.merge_tensors(states)
    assert merged.compute()["patches"].item() == pytest.approx(expected_distance(noisy, photos), rel=1e-6)


def test_going_on_after_a_checkpoint(photos: Tensor, noisy: Tensor) -> None:
    metric = Patches(7)
    metric.update(noisy[:50], photos[:50])
    metric.state_tensors()
    metric.update(noisy[50:], photos[50:])
    assert metric.compute()["patches"].item() == pytest.approx(expected_distance(noisy, photos), rel=1e-6)


def test_syncs_as_torchmetrics_does(photos: Tensor, noisy: Tensor) -> None:
    other = Patches(7)
    other.update(noisy[50:], photos[50:])
    elsewhere = iter(other.state_tensors().values())
    metric = Patches(7)
    metric.update(noisy[:50], photos[:50])
    metric.sync(dist_sync_fn=lambda here, group: [here, next(elsewhere)], distributed_available=lambda: True)
    assert metric.compute()["patches"].item() == pytest.approx(expected_distance(noisy, photos), rel=1e-6)


def test_originals_known_beforehand(photos: Tensor, noisy: Tensor) -> None:
    first = Patches(7)
    first.update(noisy, photos)
    statistics = first.target_statistics()
    second = Patches(7)
    second.load_target_statistics(statistics)
    second.update(noisy[:60], None)
    second.update(noisy[60:], photos[60:])
    assert second.compute()["patches"].item() == pytest.approx(first.compute()["patches"].item(), rel=1e-9)
    assert set(second.state_tensors()) == {"prediction_n", "prediction_sum", "prediction_outer"}
    assert second.target_statistics() is statistics
    third = Patches(7)
    third.load_target_statistics(statistics)
    third.merge_tensors(second.state_tensors())
    assert third.compute()["patches"].item() == pytest.approx(first.compute()["patches"].item(), rel=1e-9)


def test_statistics_are_those_of_numpy(photos: Tensor) -> None:
    metric = Patches(7)
    metric.update(photos, photos)
    features = metric.features(metric.prepare(photos)).double().numpy()
    statistics = metric.target_statistics()
    assert statistics.n == len(photos)
    np.testing.assert_allclose(statistics.mean, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.cov, np.cov(features, rowvar=False), rtol=1e-5, atol=1e-9)


def test_images_of_different_sizes_share_a_batch(photos: Tensor) -> None:
    metric = Patches(4)
    metric.update(photos[:3], photos[:3])
    metric.update(photos[3:6, :, :40], photos[3:6, :, :40])
    metric.flush()
    assert metric.sizes == [4, 4, 4, 4]
    assert metric.prediction_n.item() == metric.target_n.item() == 6


def test_reset_forgets_waiting_images(photos: Tensor) -> None:
    metric = Patches(7)
    metric.update(photos[:3], photos[:3])
    metric.reset()
    metric.flush()
    assert metric.prediction_n.item() == 0
    assert metric.sizes == []


def test_one_image_has_no_covariance(photos: Tensor) -> None:
    metric = Patches(7)
    metric.update(photos[:1], photos[:1])
    assert np.isnan(metric.compute()["patches"].item())


def test_needs_originals(photos: Tensor) -> None:
    with pytest.raises(ValueError, match="target was expected"):
        Patches(7).update(photos[:1], None)


def test_states_of_another_metric_are_refused() -> None:
    with pytest.raises(ValueError, match="Patches has no states total"):
        Patches(7).merge_tensors({"total": torch.zeros(1)})


def test_from_sums() -> None:
    features = np.random.default_rng(0).standard_normal((50, 4)) + 3
    statistics = Statistics.from_sums(50, features.sum(0), features.T @ features)
    np.testing.assert_allclose(statistics.cov, np.cov(features, rowvar=False), rtol=1e-10)
