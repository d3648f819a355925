"""Draw docs/samples.png: input, prediction and original for photographs of the ``samples`` dataset."""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

import bench
from bench.datasets import open_dataset
from bench.images import read_photo

PHOTOS = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")
CELL, GAP, LABEL = 160, 6, 108


def square(photo: Image.Image) -> Image.Image:
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side)).resize((CELL, CELL), Image.Resampling.LANCZOS)


@click.command(help=__doc__)
@click.option("--model", default="ddcolor-mini", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/samples.png"), show_default=True)
def main(model: str, out: Path) -> None:
    samples = open_dataset("samples")
    paths = dict(zip((Path(name).stem for name in samples.names), samples.paths, strict=True))
    originals = [square(read_photo(paths[name]).convert("RGB")) for name in PHOTOS]
    rows = {"input": bench.load_model("gray"), model: bench.load_model(model), "original": None}
    width, height = LABEL + len(PHOTOS) * (CELL + GAP) - GAP, len(rows) * (CELL + GAP) - GAP
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    for y, (label, network) in enumerate(rows.items()):
        draw.text((LABEL - GAP, y * (CELL + GAP) + CELL // 2), label, fill="#444444", font=font, anchor="rm")
        for x, original in enumerate(originals):
            shown = original if network is None else bench.colorize(network, original)
            picture.paste(shown, (LABEL + x * (CELL + GAP), y * (CELL + GAP)))
    picture.save(out, optimize=True)


if __name__ == "__main__":
    main()
