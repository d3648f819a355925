"""Errors that are answers: each names what was wrong, what was expected and how to put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A mistake or a lack that the user can mend. The CLI prints its text alone, without a traceback."""


class UnknownNameError(BenchError):
    """A name that is not registered.

    Args:
        kind: what the name should have been, e.g. ``"model"``.
        name: what was asked for.
        known: the names there are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        choices = sorted(known)
        close = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(close)}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{guess} Known: {', '.join(choices) or 'none'}.")


class ImageError(BenchError):
    """A file that is not a readable photograph."""


class DatasetError(BenchError):
    """A dataset that is missing, incomplete or damaged."""


class WeightsError(BenchError):
    """Weights that are missing, damaged or made for another network."""


class ConfigError(BenchError):
    """A configuration with a key or value that does not fit."""


class HintsError(BenchError):
    """Colour hints given to a model that takes none, or of the wrong shape."""
