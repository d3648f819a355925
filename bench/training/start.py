"""Beginning with given weights instead of untrained ones."""

from __future__ import annotations

from bench.checkpoints import read_state_dict
from bench.colorizer import Colorizer
from bench.errors import ConfigError
from bench.training.spectral import unfolded


def start_from(model: Colorizer, path: str) -> None:
    """Load a file of weights, exported ones too, into a network that is to be trained. In place.

    Raises:
        WeightsError: the file is absent, damaged, or of another network.
        ConfigError: the network could not be trained on as it was made.
    """
    expected = model.state_dict().keys()
    model.load_weights(unfolded(model, read_state_dict(path)))
    lost = expected - model.state_dict().keys()
    if lost:
        raise ConfigError(
            f"start_from: {path} is folded for inference under other names than ours: it would take {len(lost)} "
            f"tensors from the network ({', '.join(sorted(lost)[:3])}, ...). Start from a file of `bench export`."
        )
