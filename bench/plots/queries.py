"""What the colour queries of DDColor do to one photograph."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from skimage.color import lab2rgb

from bench.errors import BenchError
from bench.plots.canvas import GAP, HEADLINE, LINE, Canvas
from bench.plots.photos import Pixels, gray
from bench.plots.style import INK, WIDTH, style, wrapped

Maps = NDArray[np.floating[Any]]
_COLUMNS = 4
_LONGEST = 256  # pixels of a picture in the plot
_LIGHTNESS, _VIVID = 65.0, 50.0  # L* of the colour tiles, and the chroma of the strongest colour in them


def query_maps(photo: Pixels, coloured: Pixels, maps: Maps, weights: Maps, top: int = 8, title: str = "") -> Figure:
    """The queries with the greatest effect: above where each is active, below the colour that it adds there.

    The effect of a query is the chroma that it adds on the mean over the pixels: the size of its map times that of its
    weights. All colours are made vivid by the same factor, which is told; where a map is negative, its query adds the
    opposite colour.

    Args:
        photo: (H, W, 3) uint8 RGB, the photograph.
        coloured: (H, W, 3) uint8 RGB, what the model makes of it.
        maps: (Q, h, w) one map for each query.
        weights: (2, Q) how they are mixed into a* and b*.
        top: how many queries.
        title: whose they are.

    Raises:
        BenchError: ``top`` is less than one.
    """
    if top < 1:
        raise BenchError(f"--top {top}: expected one query or more.")
    strongest, effects = strongest_queries(maps, weights, top)
    size = _fitted(photo.shape[1], photo.shape[0])
    shown = np.stack([_resized(maps[query], size) for query in strongest])  # (K, H, W)
    ab = shown[..., None] * weights.T[strongest][:, None, None]  # (K, H, W, 2)
    gain = _VIVID / max(float(np.hypot(ab[..., 0], ab[..., 1]).max()), 1e-6)
    reach = max(float(np.abs(shown).max()), 1e-6)
    side = WIDTH / _COLUMNS
    box = (side - GAP, (side - GAP) * size[1] / size[0])  # inches of a picture
    headline, head = wrapped(title, WIDTH, 9), LINE + 0.02
    start = HEADLINE * (1 + headline.count("\n"))
    first = start + max(head + box[1], 5.5 * LINE) + 0.1
    rows = [(first + row * (head + 2 * (box[1] + GAP) + 0.06)) for row in range(ceil(len(strongest) / _COLUMNS) + 1)]
    with style():
        canvas = Canvas(WIDTH, rows[-1])
        canvas.headline(headline)
        for column, (name, pixels) in enumerate((("input", gray(photo)), ("result", coloured))):
            canvas.text(name, (column + 0.5) * side, start, ha="center")
            canvas.picture(_pixels(pixels, size), column * side, start + head, *box)
        canvas.text(_explanation(gain), 2 * side + 0.05, start + head, color=INK, linespacing=1.4)
        for place, query in enumerate(strongest):
            row, column = divmod(place, _COLUMNS)
            x, y = column * side, rows[row]
            canvas.text(f"query {query}: {effects[query]:.1f}", x + side / 2, y, ha="center")
            canvas.picture(shown[place], x, y + head, *box, cmap="gray", vmin=-reach, vmax=reach)
            colours = lab2rgb(np.dstack((np.full(size[::-1], _LIGHTNESS), gain * ab[place])))
            canvas.picture(colours, x, y + head + box[1] + GAP, *box)
    return canvas.figure


def strongest_queries(maps: Maps, weights: Maps, top: int) -> tuple[list[int], Maps]:
    """The ``top`` queries by effect, and the effects of all: mean chroma that each adds."""
    effects = np.abs(maps).mean(axis=(1, 2)) * np.hypot(*weights)
    return np.argsort(-effects, kind="stable")[:top].tolist(), effects


def _explanation(gain: float) -> str:
    return (
        "Above: where a query is active\n(white; black: the opposite).\nBelow: the colour that it adds there,\n"
        f"{gain:.2g} times as vivid as it is.\nNumbers: mean chroma added."
    )


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pixels(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def _resized(values: Maps, size: tuple[int, int]) -> Maps:
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
