"""Simulated user hints for training, for a whole batch at once and on its device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.colorizer import Hints
from bench.hints import LARGEST_PATCH
from bench.training.randomness import integers, normal, uniform

_MOST = 100  # one photograph in 700,000 would get more


def simulate_hints(ab: Tensor, seeds: Tensor, stop_probability: float, seeds_on_cpu: Tensor | None = None) -> Hints:
    """Hints as SIGGRAPH17 simulates them: points of random number, place and size, each the mean colour below it.

    The number n of points has probability p (1 - p)^n; their place and size are those of ``bench.hints.draw_hints``.

    Args:
        ab: (B, 2, H, W) chroma of the originals.
        seeds: (B,) int64.
        stop_probability: p; 1 = no hints at all.
        seeds_on_cpu: the same, so that the number of points is known without waiting for the device.

    Raises:
        ValueError: p is no probability, or 0, which would never stop.

    Returns:
        hints on the device of ``ab``.
    """
    height, width = ab.shape[-2:]
    hinted, mask = torch.zeros_like(ab), torch.zeros_like(ab[:, :1])
    if not 0 < stop_probability <= 1:
        raise ValueError(f"stop_probability must lie above 0 and not above 1, not {stop_probability}")
    if stop_probability == 1:
        return Hints(hinted, mask)
    draws = uniform(seeds.cpu() if seeds_on_cpu is None else seeds_on_cpu, (), "hints:count")
    wanted = (draws.log() / math.log(1 - stop_probability)).long().clamp(max=_MOST)
    most = int(wanted.max())
    counts = wanted.to(ab.device, non_blocking=True)
    sides = integers(seeds, (_MOST,), LARGEST_PATCH, "hints:side") + 1  # (B, _MOST)
    offsets = normal(seeds, (_MOST, 2), "hints:place")
    y, x = torch.arange(height, device=ab.device), torch.arange(width, device=ab.device)
    for k in range(most):
        side = sides[:, k]
        rows = _within(y, offsets[:, k, 0], side, height)  # (B, H)
        columns = _within(x, offsets[:, k, 1], side, width)  # (B, W)
        patch = (rows[:, None, :, None] & columns[:, None, None, :] & (k < counts)[:, None, None, None]).to(ab.dtype)
        mean = (ab * patch).sum(dim=(2, 3), keepdim=True) / patch.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        hinted = torch.where(patch > 0, mean, hinted)
        mask = torch.maximum(mask, patch)
    return Hints(hinted, mask)


def _within(places: Tensor, offset: Tensor, side: Tensor, length: int) -> Tensor:
    """(L,) places -> (B, L): whether they lie in a patch of ``side`` around the middle, moved by ``offset``."""
    room = (length - side).clamp(min=0)
    start = ((room + 1) * (0.5 + 0.25 * offset)).long().clamp(min=0).minimum(room)
    return (places >= start[:, None]) & (places < (start + side)[:, None])
