"""File names of photographs; apart from ``bench.images``, so that listing datasets imports no decoder."""

from __future__ import annotations

import importlib.util

_AVIF = importlib.util.find_spec("PIL._avif") is not None

PHOTO_SUFFIXES: frozenset[str] = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
    | ({".avif"} if _AVIF else set())
)
"""Suffixes of photographs, in lower case: compare with ``path.suffix.lower()``."""
