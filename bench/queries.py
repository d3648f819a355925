"""What the colour queries of a network do to one photograph, as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.color import rgb_to_lab
from bench.colorizer import as_seen, colorize
from bench.errors import BenchError
from bench.images import read_photo, rgb_tensor
from bench.loading import load_model


def query_arrays(
    photo: Path, model: str, weights: str | None = None, device: str | None = None
) -> tuple[NDArray[Any], ...]:
    """What ``bench.plots.queries.query_maps`` draws.

    Args:
        photo: file.
        model: a registered name.
        weights: a name on its card, a file or ``random``; None = the card's default.
        device: None = the best there is.

    Returns:
        (H, W, 3) uint8 RGB photograph and result, (Q, h, w) maps of the queries, (2, Q) how they are mixed.

    Raises:
        BenchError: the model has no colour queries; or the photograph or the weights cannot be read.
    """
    picture = read_photo(photo).convert("RGB")
    network: Any = load_model(model, weights, device=device)
    if not hasattr(network, "query_maps"):
        raise BenchError(
            f"{model} has no colour queries to draw: its class has no query_maps(), as that of ddcolor has."
        )
    with torch.inference_mode():
        lightness = rgb_to_lab(rgb_tensor(picture)[None].to(next(network.parameters()).device))[:, :1]
        maps, mixing = network.query_maps(as_seen(network, lightness))
    arrays = (maps[0].float().cpu().numpy(), mixing.float().cpu().numpy())
    return np.array(picture), np.array(colorize(network, picture).convert("RGB")), *arrays
