"""Class rebalancing of Zhang et al. (ECCV 2016): rare colours weigh more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from bench.errors import WeightsError
from bench.training.parallel import world_size

_PSEUDO_COUNT = 1000.0  # pixels of every colour that were seen before the first one


class ColourPrior(nn.Module):
    """How often each colour occurs, and what a pixel of it weighs.

    Args:
        bins: (Q, 2) a*, b*.
        uniform: share of the uniform distribution that is mixed in before inverting (lambda of the paper).
        origin: ``running``: counted while training; or a .npy file of Q probabilities, then fixed.
        sigma: of the Gaussian over ab that smooths counts, as in the paper.

    Raises:
        WeightsError: the file is absent or holds something else.
    """

    bins: Tensor
    counts: Tensor
    kernel: Tensor

    def __init__(self, bins: Tensor, uniform: float, origin: str = "running", sigma: float = 5.0) -> None:
        super().__init__()
        self.uniform, self.running = uniform, origin == "running"
        counts = torch.full((len(bins),), _PSEUDO_COUNT, dtype=torch.float64)
        if not self.running:
            counts = _read(Path(origin).expanduser(), len(bins))
        distances = torch.cdist(bins.double(), bins.double())
        kernel = torch.exp(-distances.square() / (2 * sigma**2)) if self.running else torch.eye(len(bins)).double()
        self.register_buffer("counts", counts)
        self.register_buffer("bins", bins, persistent=False)
        self.register_buffer("kernel", kernel / kernel.sum(dim=0), persistent=False)

    @torch.no_grad()
    def count(self, nearest: Tensor) -> None:
        """Note the bins of these pixels, in all processes; does nothing with a prior from a file."""
        if self.running:
            # Not bincount: it asks the device for the largest index and waits.
            seen = torch.zeros_like(self.counts)
            seen.scatter_add_(0, nearest.flatten(), seen.new_ones(()).expand(nearest.numel()))
            if world_size() > 1:
                dist.all_reduce(seen)
            self.counts += seen

    @torch.no_grad()
    def weights(self) -> Tensor:
        """(Q,) float32 whose mean over the prior is 1."""
        prior = self.kernel @ (self.counts / self.counts.sum())
        weights = 1 / ((1 - self.uniform) * prior + self.uniform / len(prior))
        return (weights / (prior * weights).sum()).float()


def _read(path: Path, size: int) -> Tensor:
    try:
        prior = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the colour prior {path} cannot be read: {error}. Expected a .npy file of {size} probabilities, or "
            "--set recipe.prior=running."
        ) from error
    if prior.shape != (size,) or not np.isfinite(prior).all() or (prior < 0).any() or prior.sum() <= 0:
        raise WeightsError(f"the colour prior {path} is no distribution over {size} colours (shape {prior.shape}).")
    return torch.from_numpy(prior.astype(np.float64))
