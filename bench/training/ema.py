"""An exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.training.spectral import spectral_weights, with_singular_vectors


class Average:
    """The averaged state dict of ``network``: parameters and floating-point buffers; others are copied.

    The singular vectors of spectral norm are copied too: a mean of unit vectors is none, and belongs to no weight.

    Args:
        network: whose weights are averaged.
        decay: of the average; smaller at first, (1 + t) / (10 + t), so that the untrained weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.updates = network, decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}
        vectors = {f"{key}_{name}" for key, _ in spectral_weights(network) for name in ("u", "v")}
        self._averaged = [k for k, v in self.state.items() if v.is_floating_point() and k not in vectors]
        self._copied = sorted(self.state.keys() - set(self._averaged))

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = self.network.state_dict()
        torch._foreach_lerp_([self.state[k] for k in self._averaged], [current[k] for k in self._averaged], share)
        for key in self._copied:
            self.state[key].copy_(current[key])

    def weights(self) -> dict[str, Tensor]:
        """The state dict to use: the average, with the singular vectors of its own weights."""
        return with_singular_vectors(self.network, self.state)

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        self.updates = updates
        for key, tensor in self.state.items():
            tensor.copy_(state[key])
