"""Random numbers that belong to a photograph: the same on any device, in any batch, with any number of processes.

A generator's stream depends on who drew before. Here every number is a hash of (seed of the photograph, what it is
for, position): SplitMix64 (Steele et al., OOPSLA 2014), computed for the whole batch at once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def _shifted(x: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def sample_seeds(seed: int, slots: Tensor) -> Tensor:
    """(B,) int64 places in the endless order of a run -> (B,) int64 seeds."""
    return _mixed(_mixed(torch.full_like(slots, seed) + _GOLDEN) + slots * _GOLDEN)


def uniform(seeds: Tensor, shape: Sequence[int], purpose: str) -> Tensor:
    """(B,) int64 seeds -> (B, *shape) float32 in (0, 1), independent for each ``purpose``."""
    count = math.prod(shape)
    start = _mixed(seeds + zlib.crc32(purpose.encode()))
    place = torch.arange(1, count + 1, device=seeds.device) * _GOLDEN
    bits = _shifted(_mixed(start[:, None] + place), 40)
    # 23 bits: with 24, the last half would round up to 1.
    return (((bits >> 1).float() + 0.5) / (1 << 23)).view(len(seeds), *shape)


def integers(seeds: Tensor, shape: Sequence[int], below: int, purpose: str) -> Tensor:
    """(B, *shape) int64 in [0, below)."""
    return (uniform(seeds, shape, purpose).double() * below).long().clamp(max=below - 1)


def normal(seeds: Tensor, shape: Sequence[int], purpose: str) -> Tensor:
    """(B, *shape) float32, standard normal (Box and Muller)."""
    radius = (-2 * uniform(seeds, shape, purpose + ":radius").log()).sqrt()
    return radius * (2 * math.pi * uniform(seeds, shape, purpose + ":angle")).cos()
