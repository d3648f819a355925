"""Networks inside metrics, filled from files that are already here: nothing is ever downloaded while measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from bench import weights
from bench.checkpoints import read_state_dict
from bench.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


def read_backbone(name: str) -> dict[str, Tensor]:
    """The tensors of a backbone's file.

    Raises:
        WeightsError: the file is absent or damaged; the text says how to get it.
    """
    return read_state_dict(weights.find_backbone(name))


def fill(network: Network, state: Mapping[str, Tensor], name: str) -> Network:
    """Load every tensor of ``network`` and make it fit for measuring: eval mode, no gradients.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape.
    """
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{weights.find_backbone(name)} does not fit the network {name} ({reason}). "
            f"Delete it and run `bench weights fetch {name}`."
        ) from error
    return network.eval().requires_grad_(False)
