"""Colour files from the shell: photographs in, full-resolution PNG files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bench.errors import BenchError, HintsError, ImageError
from bench.images import read_photo
from bench.registry import card_of
from bench.suffixes import PHOTO_SUFFIXES


def photos_in(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Every photograph in files and folders, with the relative path of its output.

    Raises:
        BenchError: a source does not exist, holds no photograph, or two would be written to the same file.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            files = sorted(p for p in source.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())
            if not files:
                suffixes = " ".join(sorted(PHOTO_SUFFIXES))
                raise BenchError(f"{source} holds no photograph; suffixes looked for: {suffixes}.")
            pairs = [(file, file.relative_to(source).with_suffix(".png")) for file in files]
        elif source.exists():
            pairs = [(source, Path(source.stem + ".png"))]
        else:
            raise BenchError(f"there is no file {source}.")
        for file, out in pairs:
            if out in found:
                raise BenchError(f"{found[out]} and {file} would both be written to {out}; colour them in two calls.")
            found[out] = file
    return [(file, out) for out, file in found.items()]


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
    """
    from bench.colorizer import colorize
    from bench.hints import hints_from_points, parse_hint
    from bench.loading import load_model

    photos = photos_in(images)
    points = [parse_hint(hint) for hint in hints]
    card = card_of(model)
    if (samples > 1 or sampling) and not card.stochastic:
        raise BenchError(f"{model} always gives the same colours: no --samples, --steps or --sampler for it.")
    if points and not card.hints:
        raise HintsError(f"{model} takes no colour hints (--hint); siggraph17 does.")
    network = load_model(model, weights, device=device, **sampling or {})
    failures = []
    for file, relative in track(photos, f"{model}", console=console, disable=len(photos) == 1):
        try:
            photo = read_photo(file)
        except ImageError as error:
            failures.append(str(error))
            continue
        given = hints_from_points(points, (photo.height, photo.width)) if points else None
        target = out / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        for k in range(samples):
            one = target if samples == 1 else target.with_stem(f"{target.stem}-{k + 1}")
            colorize(network, photo, size=size, hints=given, seed=seed + k).save(one)
    console.print(f"{len(photos) - len(failures)} coloured by {model} -> {out}")
    for failure in failures:
        console.print(f"[red]skipped: {failure}[/red]")
    return failures
