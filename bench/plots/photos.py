"""Per-photo values and kept pictures of Runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from bench.errors import BenchError
from bench.images import read_rgb
from bench.plots.series import has_reference
from bench.runs import Run, Store

Pixels = NDArray[np.uint8]
Which = Literal["prediction", "target"]


def per_photo(store: Store, run: Run) -> pd.DataFrame:
    """One row for each photograph, with its ``index``, ``name`` and values.

    Raises:
        BenchError: the table is missing or damaged.
    """
    try:
        return store.rows(run)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise BenchError(
            f"{store.root / run.folder / 'per_image.parquet'}, the values of each photograph, cannot be read. "
            "Measure it again with --no-resume."
        ) from error


def original_cf(store: Store, runs: Sequence[Run]) -> float | None:
    """Mean colourfulness of a panel's originals; None where they have no colour or it was not measured."""
    for run in sorted(filter(has_reference, runs), key=lambda run: -run.dataset.n):
        with suppress(BenchError):  # a table that cannot be read is as good as none here
            if "cf_target" in (table := per_photo(store, run)):
                return float(table["cf_target"].mean())
    return None


def kept(store: Store, runs: Sequence[Run]) -> dict[str, int]:
    """Name -> index of the photographs whose pictures every Run of a panel kept, in the order of the dataset.

    Raises:
        BenchError: there is none.
    """
    common: dict[str, int] = {}
    for place, run in enumerate(runs):
        rows = per_photo(store, run).sort_values("index")
        files = {path.name for path in _samples(store, run).glob("*.png")}
        pairs = zip(rows["name"], rows["index"].tolist(), strict=True)
        its = {name: index for name, index in pairs if {_file(index, "prediction"), _file(index, "target")} <= files}
        common = its if place == 0 else {name: i for name, i in common.items() if name in its}
    if not common:
        who = ", ".join(dict.fromkeys(run.model.name for run in runs))
        raise BenchError(
            f"{who} kept no pictures of the same photograph of {runs[0].dataset.name}. Measure again and keep more of "
            "them: bench run --samples 40 --no-resume; or draw fewer models."
        )
    return common


def picture(store: Store, run: Run, index: int, which: Which) -> Pixels:
    """(H, W, 3) uint8 RGB; the target of a photograph without colours is gray.

    Raises:
        ImageError: it is missing or damaged.
    """
    return read_rgb(_samples(store, run) / _file(index, which))


def gray(rgb: Pixels) -> Pixels:
    """What a model is given: the same lightness without chroma, (H, W, 3) uint8 RGB."""
    lab = rgb2lab(rgb)
    lab[..., 1:] = 0
    green = np.rint(255 * lab2rgb(lab)[..., 1:2]).astype(np.uint8)  # the channels differ by rounding
    return np.repeat(green, 3, axis=-1)


def _samples(store: Store, run: Run) -> Path:
    return store.root / run.folder / "samples"


def _file(index: int, which: Which) -> str:
    return f"{index:06d}.{which}.png"
