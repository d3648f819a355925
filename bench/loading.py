"""``load_model``: a name becomes a network with weights, ready for inference, that knows where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from bench import registry
from bench.checkpoints import file_sha256, read_state_dict, require_file, without_prefix
from bench.colorizer import Colorizer
from bench.errors import UnknownNameError, WeightsError
from bench.processes import pick_device
from bench.registry import ModelCard, Weights
from bench.weights import absent_error, locate, reference_of, status_of, verify

Source = Literal["shipped", "official", "trained here", "third party", "file", "random", "none"]


@dataclass(frozen=True)
class Provenance:
    """Which weights a model carries.

    Args:
        name: the card's name of the weights, the file's name, ``"random"``, or ``"none"`` (nothing to train).
        source: where they came from.
        file: file name without its folder, empty without a file.
        sha256: of the whole file, or ``"none"``.
        model: the name the model was asked for by.
        options: what went to its constructor.
        parameters: of the network as built, before folding for inference merges some; None = not counted.
    """

    name: str
    source: Source
    file: str = ""
    sha256: str = "none"
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None


def load_model(
    name: str, weights: str | Path | None = None, device: str | torch.device | None = None, **options: Any
) -> Colorizer:
    """A model ready for inference: eval mode, no gradients, on ``device``, with ``model.provenance`` set.

    Args:
        name: a registered name, or ``path/to/file.py:ClassName``.
        weights: None = the card's default; a name on the card; ``"random"`` = untrained; or a path to a file
            (.pth, .pt, .bin, .safetensors). Files are read without running code from them.
        device: None = CUDA, else Apple's MPS, else the CPU.
        options: go to the model's constructor.

    Raises:
        UnknownNameError: no such model or weights.
        WeightsError: the file is absent, damaged, not the one the card names, or made for another network.
        ConfigError: the device is not there.
    """
    card = registry.card_of(name)
    target = pick_device(device)
    entry, path = _find(card, weights)
    provenance = _provenance(card, entry, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # untrained weights, too, are the same in every process and every run
        model = registry.build(name, **options)
    parameters = sum(p.numel() for p in model.parameters())
    if path is not None:
        _load_file(model, path)
    model.provenance = replace(provenance, model=name, options=options, parameters=parameters)
    return model.prepare_for_inference().to(target)


def check_weights(card: ModelCard, weights: str | Path | None = None) -> None:
    """Raise what ``load_model`` would raise because the weights are absent or unknown; does not read them."""
    _find(card, weights)


def _find(card: ModelCard, weights: str | Path | None) -> tuple[Weights | None, Path | None]:
    """The card's entry, if it is one, and the file to load, if there is one."""
    if weights == "random" or not card.trainable:
        return None, None
    known = {w.name: w for w in card.weights}
    if weights is None and not known:
        raise WeightsError(
            f"no weights of {card.name} are known. Train it and name the file (--weights PATH), "
            "or ask for the untrained network (--weights random)."
        )
    if weights is None or (isinstance(weights, str) and weights in known):
        entry = known[weights] if isinstance(weights, str) else card.weights[0]
        path = locate(entry, card.name)
        if not path.is_file():
            raise absent_error(entry, card.name, path)
        return entry, path
    path = Path(weights).expanduser()
    if isinstance(weights, str) and not path.suffix and path.name == weights and not path.exists():
        raise UnknownNameError(f"weights of {card.name}", weights, [*known, "random"])
    require_file(path)
    return None, path


def _provenance(card: ModelCard, entry: Weights | None, path: Path | None) -> Provenance:
    if path is None:
        return Provenance("random", "random") if card.trainable else Provenance("none", "none")
    if entry is None:
        return Provenance(path.name, "file", path.name, file_sha256(path))
    check = verify(status_of(entry, card.name))
    if check.outcome == "mismatch":
        remedy = (
            "Reinstall the package."
            if entry.shipped
            else f"`bench weights fetch {reference_of(card.name, entry)}` brings it anew."
        )
        raise WeightsError(
            f"{path} is not the file that {card.name} names: its sha256 is {check.digest}, "
            f"expected {check.expected}. {remedy}"
        )
    return Provenance(entry.name, "shipped" if entry.shipped else entry.origin, path.name, check.digest)


def _load_file(model: Colorizer, path: Path) -> None:
    state = read_state_dict(path)
    try:
        model.load_weights(state)
    except WeightsError as error:
        # A wrapper's prefix, unless it is the network's own: only the failed load can tell.
        bare = without_prefix(state, "model.")
        if bare is state:
            raise WeightsError(f"{path}: {error}") from error
        try:
            model.load_weights(bare)
        except WeightsError:
            raise WeightsError(f"{path}: {error}") from error
