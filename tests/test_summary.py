"""Intervals at their limits, and the numbers of the originals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.metrics.colourfulness import Colourfulness
from bench.summary import summarise, summarise_originals


def rows_of(cf: np.ndarray, target: np.ndarray) -> dict[str, torch.Tensor]:
    columns = {"cf": cf, "cf_hasler": cf, "cf_target": target, "dcf_image": np.abs(cf - target)}
    return {"index": torch.arange(len(cf)), **{name: torch.from_numpy(values) for name, values in columns.items()}}


def test_the_interval_of_dcf_reaches_zero_where_the_difference_may_be_none() -> None:
    reached = []
    for seed in range(40):  # predictions exactly as colourful as the originals, but for noise
        rng = np.random.default_rng(seed)
        rows = rows_of(rng.normal(39, 8, 500), rng.normal(39, 8, 500))
        dcf = summarise([Colourfulness()], [], rows, seed=0)["dcf"]
        assert dcf.low is not None
        assert dcf.high is not None
        assert 0 <= dcf.low <= dcf.high
        reached.append(dcf.low == 0)
    assert np.mean(reached) == pytest.approx(0.95, abs=0.1)


def test_the_interval_of_a_clear_dcf_is_that_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    cf, target = rng.normal(20, 5, 400), rng.normal(39, 5, 400)
    dcf = summarise([Colourfulness()], [], rows_of(cf, target), seed=0)["dcf"]
    error = 1.96 * np.std(cf - target) / np.sqrt(400)
    assert (dcf.low, dcf.high) == (pytest.approx(dcf.value - error, abs=0.1), pytest.approx(dcf.value + error, abs=0.1))


def test_one_photograph_has_no_interval() -> None:
    rows = rows_of(np.array([20.0]), np.array([39.0]))
    found = summarise([Colourfulness()], [], rows, seed=0)
    assert (found["cf"].value, found["cf"].low, found["cf"].high) == (20.0, None, None)
    assert summarise_originals([Colourfulness()], rows, seed=0)["cf"].low is None


def test_the_originals_have_numbers_of_their_own() -> None:
    target = np.array([30.0, 40.0, 50.0])
    originals = summarise_originals([Colourfulness()], rows_of(np.zeros(3), target), seed=0)
    assert originals["cf"].value == 40
    assert originals["cf"].low is not None
    assert 30 <= originals["cf"].low < 40
    assert summarise_originals([Colourfulness(has_target=False)], rows_of(np.zeros(3), target), seed=0) == {}
