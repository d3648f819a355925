"""Kept pictures as small JPEG files in base64, the form in which a page can hold them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from bench.images import read_photo
from bench.plots.photos import gray

QUALITY = 80


def embedded(path: Path, side: int, colourless: bool = False) -> str:
    """A picture for the page.

    Args:
        path: of a kept picture.
        side: the longest it may be, in pixels; a larger one is scaled down.
        colourless: its lightness alone, which is what a model is given.

    Returns:
        base64 of a JPEG file with colours at full resolution.

    Raises:
        ImageError: there is no such file, or it is damaged.
    """
    picture = read_photo(path).convert("RGB")
    if colourless:
        picture = Image.fromarray(gray(np.asarray(picture))[..., 0])
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)  # halved chroma would blur what is compared here
    return base64.b64encode(buffer.getvalue()).decode("ascii")
