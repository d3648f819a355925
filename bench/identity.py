"""Which model it is, with which weights: all about it that decides the numbers."""

from __future__ import annotations

import hashlib
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.checkpoints import file_sha256
from bench.colorizer import Colorizer
from bench.environment import source_digest
from bench.predictions import LOSSY, Predictions
from bench.registry import card_of, model_names
from bench.runs import ModelRecord


@dataclass(frozen=True)
class Identity:
    """A model as a Run names it.

    Args:
        record: what the Run says of it.
        digest: of the tensors and plain attributes as they are now, whatever file they came from.
        source: digest of the package (or folder) that defines its class, which need not be this one.
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
        parameters=(origin.parameters if origin else None) or sum(p.numel() for p in model.parameters()),
        working_size=model.working_size,
        weights=origin.name if origin else "in memory",
        source=origin.source if origin else "memory",
        file=(origin.file or None) if origin else None,
        sha256=origin.sha256 if origin and origin.sha256 != "none" else None,
        options={k: str(v) for k, v in origin.options.items()} if origin else {},
    )
    return Identity(record, _state_digest(model), _source_digest(model))


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


def _state_digest(model: Colorizer) -> str:
    """Of every tensor and of every plain attribute (a temperature, a number of steps) of every module."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    for name, module in model.named_modules():
        digest.update(f"{name}{_plain(vars(module))}".encode())
    return digest.hexdigest()


def _plain(value: Any, depth: int = 3) -> Any:
    """What of a value can be written down: numbers, words, and containers and objects that hold them."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item, depth) for item in value]
    if isinstance(value, dict):
        public = ((k, v) for k, v in value.items() if not str(k).startswith("_") and k not in _PASSING)
        return sorted((str(k), _plain(v, depth)) for k, v in public)
    if depth and type(value).__module__.split(".")[0] not in _FOREIGN and hasattr(value, "__dict__"):
        return _plain(vars(value), depth - 1)
    return type(value).__name__


_PASSING = {"training", "provenance"}
_FOREIGN = {"torch", "numpy", "diffusers", "builtins"}


def _source_digest(model: Colorizer) -> str:
    """12 hex digits over the sources of the package that defines the class, or of its folder if it is a lone file."""
    top = type(model).__module__.partition(".")[0]
    package = sys.modules.get(top)
    if package is not None and getattr(package, "__path__", None):
        folder = Path(next(iter(package.__path__)))
        return source_digest(folder.parent, (folder.name,))
    path = inspect.getsourcefile(type(model))
    files = sorted(Path(path).parent.glob("*.py")) if path else []
    return hashlib.sha256("".join(f"{f.name}{file_sha256(f)}" for f in files).encode()).hexdigest()[:12]
