"""An exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Average:
    """The averaged state dict of ``network``: parameters and floating-point buffers; others are copied.

    Args:
        network: whose weights are averaged.
        decay: of the average; smaller at first, (1 + t) / (10 + t), so that the untrained weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.updates = network, decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = self.network.state_dict()
        floating = [k for k, v in self.state.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.state[k] for k in floating], [current[k] for k in floating], share)
        for key in self.state.keys() - set(floating):
            self.state[key].copy_(current[key])

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        self.updates = updates
        for key, tensor in self.state.items():
            tensor.copy_(state[key])
