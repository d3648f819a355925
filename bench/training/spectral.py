"""Spectral norm in a state dict: bring the estimates of the largest singular value up to date, or put them back.

``torch.nn.utils.spectral_norm`` keeps, beside ``weight_orig``, two unit vectors u and v, and divides by u' W v. One
step of power iteration for each call keeps them close while W changes slowly; any other change of W needs more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

_ITERATIONS = 50


def spectral_weights(network: nn.Module) -> Iterator[tuple[str, SpectralNorm]]:
    """Every spectrally normalised weight: its key without ``_orig``, and torch's hook."""
    for name, module in network.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                yield f"{name}.{hook.name}" if name else hook.name, hook


@torch.no_grad()
def with_singular_vectors(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with the u and v that belong to its weights, found by power iteration from its u.

    Args:
        network: that ``state`` is of.
        state: a state dict; left as it is.
    """
    found = dict(state)
    for key, hook in spectral_weights(network):
        matrix = hook.reshape_weight_to_matrix(state[f"{key}_orig"])
        u = state[f"{key}_u"]
        for _ in range(_ITERATIONS):
            v = F.normalize(matrix.mT @ u, dim=0, eps=hook.eps)
            u = F.normalize(matrix @ v, dim=0, eps=hook.eps)
        found[f"{key}_u"], found[f"{key}_v"] = u, v
    return found


def unfolded(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with spectral norm wherever ``network`` has it and ``state``, folded for inference, does not.

    A folded weight has a largest singular value of 1, so that normalising it again changes nothing.
    """
    found, own = dict(state), network.state_dict()
    for key, _ in spectral_weights(network):
        if key in found and f"{key}_orig" not in found:
            found[f"{key}_orig"] = found.pop(key)
            for vector in ("u", "v"):
                found[f"{key}_{vector}"] = own[f"{key}_{vector}"].clone()
    return with_singular_vectors(network, found) if len(found) > len(state) else found
