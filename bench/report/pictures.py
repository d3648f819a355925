"""Kept pictures as small JPEG files in base64, the form in which a page can hold them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from bench.images import read_photo

QUALITY = 80
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB, IEC 61966-2-1


def embedded(path: Path, side: int, gray: bool = False) -> str:
    """A picture for the page.

    Args:
        path: of a kept picture.
        side: the longest it may be, in pixels; a larger one is scaled down.
        gray: its lightness alone, which is what a model is given.

    Returns:
        base64 of a JPEG file with colours at full resolution.

    Raises:
        ImageError: there is no such file, or it is damaged.
    """
    picture = read_photo(path).convert("RGB")
    if gray:
        picture = lightness(picture)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)  # halved chroma would blur what is compared here
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def lightness(picture: Image.Image) -> Image.Image:
    """RGB -> mode "L" with the same CIE L* at every pixel, as sRGB."""
    levels = np.arange(256)
    luminance = _linear(levels)[np.asarray(picture)] @ _LUMINANCE
    # Between which midpoints of gray levels it lies: rounding, without the inverse of the transfer function.
    return Image.fromarray(np.searchsorted(_linear(levels[:-1] + 0.5), luminance).astype(np.uint8))


def _linear(levels: np.ndarray) -> np.ndarray:
    """sRGB levels, 0 to 255 -> linear light, 0 to 1."""
    levels = levels / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
