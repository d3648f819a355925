"""Which model it is, with which weights: all about it that decides the numbers."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.checkpoints import file_sha256
from bench.colorizer import Colorizer
from bench.predictions import LOSSY, Predictions
from bench.registry import card_of, model_names
from bench.runs import ModelRecord


@dataclass(frozen=True)
class Identity:
    """A model as a Run names it.

    Args:
        record: what the Run says of it.
        digest: of the weights file, or of the tensors where there is no file.
        source: digest of the file that defines its class, which need not belong to this package.
    """

    record: ModelRecord
    digest: str
    source: str

    @property
    def name(self) -> str:
        return self.record.name


def identify(model: Colorizer) -> Identity:
    """The identity of a loaded model; of one built by hand, by its class and tensors."""
    origin = model.provenance
    name = (origin.model if origin else "") or type(model).__name__
    known = name in model_names() or ".py:" in name
    card = card_of(name) if known else None
    record = ModelRecord(
        name=name,
        family=card.family if card else name,
        # Folding for inference can merge parameters, so the card's count goes before what is left of them.
        parameters=(card.parameters if card else None) or sum(p.numel() for p in model.parameters()),
        working_size=model.working_size,
        weights=origin.name if origin else "in memory",
        source=origin.source if origin else "memory",
        file=(origin.file or None) if origin else None,
        sha256=origin.sha256 if origin and origin.sha256 != "none" else None,
        options={k: str(v) for k, v in origin.options.items()} if origin else {},
    )
    return Identity(record, record.sha256 or _tensor_digest(model), _source_digest(model))


def identify_images(predictions: Predictions, pairs: dict[str, Path]) -> Identity:
    """The identity of a system that ran elsewhere: its images are its weights."""
    lossy = any(path.suffix.lower() in LOSSY for path in pairs.values())
    record = ModelRecord(
        name=predictions.title,
        family="predictions",
        parameters=None,
        weights="predictions (JPEG: about 1 dB and 1 CF lost)" if lossy else "predictions",
        source="predictions",
    )
    return Identity(record, predictions.digest(pairs), "")


def _tensor_digest(model: Colorizer) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source_digest(model: Colorizer) -> str:
    path = inspect.getsourcefile(type(model))
    return file_sha256(Path(path))[:12] if path else ""
