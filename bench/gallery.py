"""Colour files from the shell: photographs in, full-resolution PNG files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from bench.datasets.search import by_path
from bench.errors import BenchError, HintsError, ImageError
from bench.images import read_photo
from bench.registry import card_of
from bench.suffixes import PHOTO_SUFFIXES

if TYPE_CHECKING:
    from PIL import Image


def photos_in(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Every photograph in files and folders, with the relative path of its output. Hidden files are skipped in folders.

    Raises:
        BenchError: a source does not exist, holds no photograph, or two would be written to the same file.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            files = by_path(source)
            if not files:
                suffixes = " ".join(sorted(PHOTO_SUFFIXES))
                raise BenchError(f"{source} holds no photograph; suffixes looked for: {suffixes}.")
            pairs = [(file, Path(name).with_suffix(".png")) for name, file in files.items()]
        elif source.exists():
            pairs = [(source, Path(source.stem + ".png"))]
        else:
            raise BenchError(f"there is no file {source}.")
        for file, out in pairs:
            if out in found:
                raise _same_output(found[out], file, out)
            found[out] = file
    return [(file, out) for out, file in found.items()]


def outputs(photos: Sequence[tuple[Path, Path]], out: Path, samples: int = 1) -> list[list[Path]]:
    """The files to write for each photograph: one, or ``NAME-1.png``, ``NAME-2.png``, ... for several colourings.

    Raises:
        BenchError: one of them is a photograph that was given (also by a link), or two are the same file.
    """
    sources = {identity: file for file, _ in photos for identity in _identities(file)}
    taken: dict[Path, Path] = {}
    planned = []
    for file, relative in photos:
        target = out / relative
        numbered = [target.with_stem(f"{target.stem}-{k + 1}") for k in range(samples)]
        planned.append([target] if samples == 1 else numbered)
        for one in planned[-1]:
            for identity in _identities(one):
                if identity in sources:
                    raise BenchError(
                        f"{file} coloured would be written to {one}, over the photograph {sources[identity]}. "
                        "Name another folder with --out."
                    )
            if one.resolve() in taken:
                raise _same_output(taken[one.resolve()], file, one)
            taken[one.resolve()] = file
    return planned


def _identities(path: Path) -> list[Path | tuple[int, int]]:
    """What tells a file from others: its resolved path, and its number on the disk, which hard links share."""
    try:
        status = path.stat()
    except OSError:
        return [path.resolve()]
    return [path.resolve(), (status.st_dev, status.st_ino)]


def _same_output(first: Path, second: Path, target: Path) -> BenchError:
    return BenchError(
        f"{first} and {second} would both be written to {target}; colour them in two calls, into two folders (--out)."
    )


def colorize_files(
    images: Sequence[Path],
    *,
    model: str,
    out: Path,
    console: Console,
    weights: str | None = None,
    size: int | None = None,
    seed: int = 0,
    samples: int = 1,
    sampling: dict[str, Any] | None = None,
    hints: Sequence[str] = (),
    device: str | None = None,
) -> list[str]:
    """Colour photographs one by one; a file that cannot be read is named and skipped.

    Returns:
        one sentence per photograph that could not be read.

    Raises:
        BenchError: the options do not fit the model, or ``out`` cannot be written, or only over a photograph.
    """
    from bench.colorizer import colorize
    from bench.hints import hints_from_points, parse_hint
    from bench.loading import load_model

    photos = photos_in(images)
    planned = outputs(photos, out, samples)
    points = [parse_hint(hint) for hint in hints]
    card = card_of(model)
    if (samples > 1 or sampling) and not card.stochastic:
        raise BenchError(f"{model} always gives the same colours: no --samples, --steps or --sampler for it.")
    if points and not card.hints:
        raise HintsError(f"{model} takes no colour hints (--hint); siggraph17 does.")
    make_folder(out)
    network = load_model(model, weights, device=device, **sampling or {})
    if weights == "random":
        console.print("[yellow]untrained (random) weights: these colours mean nothing.[/yellow]")
    failures = []
    pairs = list(zip((file for file, _ in photos), planned, strict=True))
    for file, targets in track(pairs, escape(model), console=console, disable=len(photos) == 1):
        try:
            photo = read_photo(file)
        except ImageError as error:
            failures.append(str(error))
            continue
        given = hints_from_points(points, (photo.height, photo.width)) if points else None
        for k, target in enumerate(targets):
            write(colorize(network, photo, size=size, hints=given, seed=seed + k), target)
    console.print(f"{len(photos) - len(failures)} coloured by {escape(model)} -> {escape(str(out))}")
    for failure in failures:
        console.print(f"[red]skipped: {escape(failure)}[/red]")
    return failures


def make_folder(folder: Path) -> None:
    """Raises BenchError, naming ``folder``, where it can neither be found nor made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(
            f"the folder {folder} cannot be made: {error.strerror or error}. Name another with --out."
        ) from error


def write(picture: Image.Image, path: Path) -> None:
    """Raises BenchError, naming ``path``, where it cannot be written."""
    make_folder(path.parent)
    try:
        picture.save(path)
    except OSError as error:
        raise BenchError(
            f"{path} cannot be written: {error.strerror or error}. Name another folder with --out."
        ) from error
