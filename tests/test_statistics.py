from __future__ import annotations

import itertools
import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from bench.statistics import bootstrap_means, holm, interval, signed_rank


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


def test_the_signed_rank_test_counts_every_flip_of_signs() -> None:
    differences = np.array([0.9, -0.2, 1.4, 0.5, -0.7, 2.2, 0.3, 1.1])
    ranks = np.abs(differences).argsort().argsort() + 1
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    sums, observed = (signs * ranks).sum(1), (np.sign(differences) * ranks).sum()
    found = signed_rank(differences)
    assert found.p == pytest.approx((np.abs(sums) >= abs(observed)).mean(), abs=1e-12)
    assert found.effect == pytest.approx(observed / ranks.sum())


def test_the_effect_is_the_surplus_of_positive_walsh_averages() -> None:
    """Without ties the rank-biserial correlation is the share of positive means of pairs, less that of negative."""
    differences = np.random.default_rng(3).normal(0.3, 1, 40)
    pairs = [(differences[i] + differences[j]) / 2 for i in range(40) for j in range(i, 40)]
    assert signed_rank(differences).effect == pytest.approx(np.sign(pairs).mean())


@pytest.mark.parametrize(
    ("differences", "effect"),
    [([1, 2, -3, 4], 0.4), ([2, -2, 2, 0], 1 / 3), ([-1, -5, 0, 0], -1), ([3, -3], 0)],
)
def test_the_effect_by_hand(differences: list[float], effect: float) -> None:
    assert signed_rank(np.array(differences)).effect == pytest.approx(effect)


def test_zeros_are_left_out_and_ties_share_their_rank() -> None:
    differences = np.random.default_rng(0).integers(-4, 6, 60).astype(float)
    assert (differences == 0).any()
    expected = scipy.stats.wilcoxon(differences, zero_method="wilcox", correction=True, method="asymptotic")
    assert signed_rank(differences).p == pytest.approx(expected.pvalue)
    assert signed_rank(differences) == signed_rank(differences[differences != 0])
    flipped = signed_rank(-differences)
    assert (flipped.p, flipped.effect) == (
        pytest.approx(signed_rank(differences).p),
        pytest.approx(-signed_rank(differences).effect),
    )


def test_too_few_differences_are_not_tested_and_it_says_so() -> None:
    few = signed_rank(np.array([1.0, 2, 3, 4, 5, 0, 0]))
    assert few.p is None
    assert few.effect == 1
    assert "5 photographs that differ are too few" in str(few.reason)
    enough = signed_rank(np.arange(1.0, 7))
    assert enough.p == 2 / 2**6
    assert enough.reason is None
    equal = signed_rank(np.zeros(30))
    assert (equal.p, equal.effect) == (None, None)
    assert "equal" in str(equal.reason)


@pytest.mark.parametrize("differences", [np.ones((2, 2)), np.array([1.0, np.nan])])
def test_what_cannot_be_ranked_is_refused(differences: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        signed_rank(differences)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_is_the_closure_of_bonferroni() -> None:
    """A hypothesis falls when every set of hypotheses that holds it falls by Bonferroni."""
    p = np.random.default_rng(5).uniform(0, 0.2, 6)
    sets = [s for size in range(1, 7) for s in itertools.combinations(range(6), size)]
    expected = [max(min(1, len(s) * p[list(s)].min()) for s in sets if i in s) for i in range(6)]
    assert holm(p.tolist()) == pytest.approx(expected)
