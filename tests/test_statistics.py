from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from bench.statistics import bootstrap_means, interval


def test_intervals_agree_with_scipy() -> None:
    values = np.random.default_rng(1).gamma(2, 10, 400)
    expected = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=2)
    found = interval(bootstrap_means(values[:, None], replicates=20_000)[:, 0])
    width = expected.confidence_interval.high - expected.confidence_interval.low
    np.testing.assert_allclose(found, expected.confidence_interval, atol=0.03 * width)


def test_the_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 3, (1000, 2))
    means = bootstrap_means(values, replicates=4000)
    np.testing.assert_allclose(means.std(0), values.std(0) / np.sqrt(1000), rtol=0.05)
    np.testing.assert_allclose(means.mean(0), values.mean(0), atol=0.01)


def test_columns_share_their_resamples() -> None:
    x = np.random.default_rng(0).normal(size=200)
    means = bootstrap_means(np.stack([x, 2 * x + 1], axis=1), replicates=50)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1, atol=1e-12)
    alone = bootstrap_means(x[:, None], replicates=50)
    np.testing.assert_allclose(alone[:, 0], means[:, 0], atol=1e-12)


def test_the_seed_decides() -> None:
    values = np.arange(30.0)[:, None]
    np.testing.assert_array_equal(bootstrap_means(values, 20, seed=3), bootstrap_means(values, 20, seed=3))
    assert not np.array_equal(bootstrap_means(values, 20, seed=3), bootstrap_means(values, 20, seed=4))


def test_one_image_has_no_spread() -> None:
    assert interval(bootstrap_means(np.array([[7.0]]), 10)[:, 0]) == (7, 7)


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.arange(3.0), np.array([[1.0], [np.nan]])])
def test_what_cannot_be_resampled_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|finite"):
        bootstrap_means(values)


def test_percentiles() -> None:
    assert interval(np.arange(101.0), level=0.9) == pytest.approx((5, 95))
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval(np.arange(3.0), level=95)


@pytest.mark.slow
def test_a_large_run_is_quick_and_small() -> None:
    values = np.random.default_rng(0).normal(size=(50_000, 12))
    tracemalloc.start()
    begun = time.perf_counter()
    means = bootstrap_means(values)
    seconds = time.perf_counter() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert means.shape == (1000, 12)
    assert seconds < 20
    assert peak < 20e6
