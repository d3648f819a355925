"""The benchmark suite for image colorization: load, colorize, evaluate, train, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.colorizer import colorize
    from bench.evaluation import evaluate
    from bench.loading import load_model
    from bench.registry import list_models
    from bench.training.trainer import train

__all__ = ["colorize", "evaluate", "list_models", "load_model", "train"]

_HOME = {
    "colorize": "bench.colorizer",
    "evaluate": "bench.evaluation",
    "list_models": "bench.registry",
    "load_model": "bench.loading",
    "train": "bench.training.trainer",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import bench`` and the command line stay fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
