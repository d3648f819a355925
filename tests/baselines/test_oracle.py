from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import resize

from baselines.oracle import oracle
from bench.colorizer import Hints
from bench.errors import HintsError
from bench.hints import dense_hints


def test_chroma_is_the_block_mean_interpolated_bilinearly() -> None:
    ab = (torch.rand(2, 2, 48, 80, generator=torch.Generator().manual_seed(0)) - 0.5) * 200
    predicted = oracle()(torch.zeros(2, 1, 48, 80), dense_hints(ab))
    cells = ab.double().numpy().reshape(2, 2, 3, 16, 5, 16).mean(axis=(3, 5))
    expected = resize(cells, (2, 2, 48, 80), order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(predicted.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (250, 33)])
def test_flat_colour_of_any_size_is_kept(size: tuple[int, int]) -> None:
    ab = torch.tensor([30.0, -40.0]).view(1, 2, 1, 1).expand(1, 2, *size)
    assert torch.allclose(oracle()(torch.zeros(1, 1, *size), dense_hints(ab)), ab)


def test_it_needs_the_whole_original() -> None:
    lightness = torch.zeros(1, 1, 32, 32)
    sparse = Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32))
    sparse.mask[..., :16, :] = 1
    for hints in (None, sparse):
        with pytest.raises(HintsError, match="original's chroma"):
            oracle()(lightness, hints)
