"""Per-photo values and kept pictures of Runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.images import read_rgb
from bench.plots.series import Panel, has_reference, panels
from bench.runs import Run, Store, Which

Pixels = NDArray[np.uint8]
_LUMINANCE = np.array([0.212671, 0.715160, 0.072169])  # of linear sRGB, as in bench.color


def original_cf(store: Store, runs: Sequence[Run]) -> float | None:
    """Mean colourfulness of a panel's originals; None where they have no colour or it was not measured."""
    for run in sorted(filter(has_reference, runs), key=lambda run: -run.dataset.n):
        with suppress(BenchError):  # a table that cannot be read is as good as none here
            if "cf_target" in (table := store.rows(run)):
                return float(table["cf_target"].mean())
    return None


def with_pictures(store: Store, runs: Sequence[Run]) -> list[tuple[Panel, dict[str, int]]]:
    """Panels of those Runs that kept pictures, each with the photographs that all of its Runs kept.

    Runs that kept none are left out, and so are panels whose Runs kept none in common.

    Returns:
        never empty; with each panel name -> index of the photographs, in the order of the dataset.

    Raises:
        BenchError: there is no Run, or no panel remains.
    """
    if not runs:
        raise BenchError("there is no Run to draw.")
    found = []
    for panel in panels(runs):
        each = [(run, its) for run in panel.runs if (its := _kept(store, run))]
        first = each[0][1] if each else {}
        common = {name: index for name, index in first.items() if all(name in its for _, its in each)}
        if common:
            found.append((Panel(panel.title, [run for run, _ in each]), common))
    if not found:
        who = ", ".join(dict.fromkeys(run.model.name for run in runs))
        raise BenchError(
            f"{who} kept no pictures of the same photograph; records that come with the package have none. Measure "
            "again and keep more: bench run --model NAME --dataset NAME --samples 40 --no-resume; or draw fewer models."
        )
    return found


def kept_files(store: Store, run: Run) -> set[Path]:
    """The pictures that a Run kept."""
    return set((store.root / run.folder / "samples").glob("*.png"))


def picture(store: Store, run: Run, index: int, which: Which) -> Pixels:
    """(H, W, 3) uint8 RGB; the target of a photograph without colours is gray.

    Raises:
        ImageError: it is missing or damaged.
    """
    return read_rgb(store.picture(run, index, which))


def gray(rgb: Pixels) -> Pixels:
    """What a model is given: the same CIE L* without chroma; (H, W, 3) uint8 sRGB to the same."""
    levels = np.arange(256)
    luminance = _linear(levels)[rgb] @ _LUMINANCE
    # Between which midpoints of gray levels it lies: rounding, without the inverse of the transfer curve.
    nearest = np.searchsorted(_linear(levels[:-1] + 0.5), luminance).astype(np.uint8)
    return np.repeat(nearest[..., None], 3, axis=-1)


def _linear(levels: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB levels, 0 to 255 -> linear light, 0 to 1 (IEC 61966-2-1)."""
    levels = levels / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _kept(store: Store, run: Run) -> dict[str, int]:
    """Name -> index of the photographs of which a Run kept both the prediction and the original."""
    files = kept_files(store, run)
    if not files:
        return {}
    rows = store.rows(run).sort_values("index")
    pairs = zip(rows["name"], rows["index"].tolist(), strict=True)
    return {name: i for name, i in pairs if {store.picture(run, i, which) for which in get_args(Which)} <= files}
