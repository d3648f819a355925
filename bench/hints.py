"""Colour hints: drawn from an original for measuring, or given by the user as points."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.color import rgb_to_lab
from bench.colorizer import Hints
from bench.errors import HintsError

Point = tuple[int, int, tuple[int, int, int]]
"""A hint as the user gives it: x and y in pixels from the upper left corner, and an sRGB colour of 0..255."""

LARGEST_PATCH = 9
# Of each side of the photograph: 6 x 6 pixels at 256 x 256, the patch that the authors of SIGGRAPH17 measured with.
POINT_EXTENT = 6 / 256


def draw_hints(ab: Tensor, count: int, generators: Sequence[torch.Generator]) -> Hints:
    """Hints as SIGGRAPH17 simulates them (Zhang et al. 2017), for a fixed number of points per image.

    A point is a square of side P, uniform in 1..9, whose corner is normal around the middle of the image (standard
    deviation a quarter of the room there is) and kept inside; it shows the mean chroma of what it covers. Later points
    overwrite earlier ones. The first n of more points are the n points of the same generator.

    Args:
        ab: (B, 2, H, W) float32 chroma of the originals, on any device.
        count: points per image; 0 gives hints whose mask is empty.
        generators: one per image, on the CPU; so neither batch size nor device changes an image's hints.

    Returns:
        hints on the device of ``ab``.
    """
    chroma = ab.cpu()  # many small reads and writes: cheap here, one kernel launch each on a GPU
    hinted, mask = torch.zeros_like(chroma), torch.zeros_like(chroma[:, :1])
    for image, (original, generator) in enumerate(zip(chroma, generators, strict=True)):
        for _ in range(count):
            rows, columns = _square(original.shape[-2], original.shape[-1], generator)
            hinted[image, :, rows, columns] = original[:, rows, columns].mean(dim=(1, 2), keepdim=True)
            mask[image, :, rows, columns] = 1
    return Hints(hinted, mask).to(ab.device)


def _square(height: int, width: int, generator: torch.Generator) -> tuple[slice, slice]:
    side = min(int(torch.randint(1, LARGEST_PATCH + 1, (), generator=generator)), height, width)
    offsets = torch.randn(2, generator=generator).tolist()
    starts = []
    for length, offset in zip((height, width), offsets, strict=True):
        room = length - side
        starts.append(int(min(max((room + 1) * (0.5 + 0.25 * offset), 0), room)))
    rows, columns = (slice(start, start + side) for start in starts)
    return rows, columns


def dense_hints(ab: Tensor) -> Hints:
    """The chroma (B, 2, H, W) of every pixel as a hint."""
    return Hints(ab, ab.new_ones(len(ab), 1, *ab.shape[-2:]))


def parse_hint(text: str) -> Point:
    """``"X,Y,#RRGGBB"`` -> (x, y, rgb).

    Raises:
        HintsError: the text has another form.
    """
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*#?([0-9a-fA-F]{6})\s*", text, re.ASCII)
    if found is None:
        raise HintsError(f"the hint {text!r} cannot be read. Expected X,Y,#RRGGBB, for example 120,80,#2E7D32.")
    red, green, blue = bytes.fromhex(found[3])
    return int(found[1]), int(found[2]), (red, green, blue)


def hints_from_points(points: Sequence[Point], size: tuple[int, int], extent: float = POINT_EXTENT) -> Hints:
    """Points -> hints at the photograph's resolution.

    Each point marks a rectangle around itself that has the photograph's proportions, so that it is a square on the
    square grid of a model's working size and still there after the reduction. Later points overwrite earlier ones. The
    lightness of the colours is ignored: the photograph's own stays.

    Args:
        points: see ``Point``.
        size: (height, width) of the photograph.
        extent: sides of the rectangle, as a share of the photograph's sides; at least one pixel is marked.

    Returns:
        hints of shape (1, ..., height, width).

    Raises:
        HintsError: a point lies outside the photograph.
    """
    height, width = size
    ab, mask = torch.zeros(1, 2, height, width), torch.zeros(1, 1, height, width)
    for x, y, rgb in points:
        if not (0 <= x < width and 0 <= y < height):
            raise HintsError(
                f"the hint at ({x}, {y}) lies outside the photograph of {width} x {height} pixels. "
                f"Expected X from 0 to {width - 1} and Y from 0 to {height - 1}."
            )
        colour = rgb_to_lab(torch.tensor(rgb, dtype=torch.uint8).view(3, 1, 1))[1:]
        rows, columns = _around(y, height, extent), _around(x, width, extent)
        ab[0, :, rows, columns] = colour
        mask[0, :, rows, columns] = 1
    return Hints(ab, mask)


def _around(centre: int, length: int, extent: float) -> slice:
    side = min(max(1, round(length * extent)), length)
    start = min(max(centre - side // 2, 0), length - side)
    return slice(start, start + side)
