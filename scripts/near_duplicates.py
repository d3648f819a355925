"""Whether a photograph to measure on is among those to be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.datasets import open_dataset
from bench.errors import BenchError
from bench.images import read_photo
from bench.training.sources import open_source

# Correlation of thumbnails: a copy in another size and quality has 0.997 or more, two photographs of one scene 0.94.
_SAME, _SMALL = 0.97, 24  # the least likeness of copies; side of a thumbnail


def refuse_copies(data: Path, datasets: Sequence[str], data_root: Path | None = None) -> None:
    """Find copies in whatever size, mirrored or not.

    Args:
        data: folder of training photographs or shards.
        datasets: to measure on; one that is not here is named and left out.
        data_root: see ``bench.datasets.open_dataset``.

    Raises:
        ClickException: there are some; names all of them.
    """
    names: list[str] = []
    measured: list[NDArray[np.float32]] = []
    for name in datasets:
        try:
            dataset = open_dataset(name, data_root=data_root)
        except BenchError as error:
            click.echo(f"not compared with {name}: {str(error).splitlines()[0]}")
            continue
        names += [f"{name}: {path.name}" for path in dataset.paths]
        measured += [thumbnail(read_photo(path)) for path in dataset.paths]
    if not measured:
        return
    small = np.stack(measured)  # (N, S, S)
    both = np.stack([small, small[..., ::-1]]).reshape(2, len(small), -1)
    copies = []
    source = open_source(str(data))
    for encoded in (source.read(i) for i in range(len(source))):
        likeness = (both @ thumbnail(read_photo(encoded.data)).ravel()).max(axis=0)
        copies += [f"{encoded.name} is {names[i]} ({likeness[i]:.3f})" for i in np.flatnonzero(likeness >= _SAME)]
    if copies:
        raise click.ClickException("photographs to measure on are in the training data:\n" + "\n".join(copies))
    click.echo(f"none of {len(names)} photographs to measure on is in the training data.")


def thumbnail(photo: Image.Image) -> NDArray[np.float32]:
    """(S, S) small and gray, with mean 0 and norm 1, so that the product of two is their correlation."""
    pixels = np.asarray(photo.convert("L").resize((_SMALL, _SMALL), Image.Resampling.BOX), dtype=np.float32)
    pixels = pixels - pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1e-6)
