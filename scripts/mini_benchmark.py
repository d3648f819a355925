"""Train every mini model on the same photographs, ship the weights, measure them all.

    python scripts/mini_benchmark.py --data SHARDS --data-root EVALUATION --budget cpu

Resumable: a finished training is skipped, an interrupted one goes on, finished Runs are reused. All models see the same
photographs in the same order; the budget is named in the cards. A larger one, on a GPU say, replaces the weights by the
same command.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from PIL import Image

from bench.datasets import open_dataset
from bench.errors import BenchError
from bench.training.sources import ShardSource

ROOT = Path(__file__).resolve().parents[1]
HOMES = {"ddcolor-mini": "models", "multicolor-mini": "models"}  # all others live in baselines
MODELS = (
    "ddcolor-mini", "eccv16-mini", "siggraph17-mini", "lab-diffusion-mini", "iizuka-mini", "pix2pix-resnet18-mini",
    "pix2pix-mini", "multicolor-mini",
)  # fmt: skip
EVALUATION = ("imagenet-sample", "coco", "ade20k")

# What all models share, and what a share of the steps means to those with two stages.
BUDGETS: dict[str, dict[str, str | int]] = {
    "cpu": {
        "steps": 1200, "batch_size": 32, "data.size": 72, "augment.size": 64, "schedule.warmup": 100,
        "validation.every": 400, "validation.size": 128, "checkpoints.every": 50, "log.grid_every": 400,
    },
    "gpu": {
        "steps": 12000, "batch_size": 64, "data.size": 144, "augment.size": 128, "schedule.warmup": 300,
        "validation.every": 1000, "validation.size": 128, "checkpoints.every": 500, "log.grid_every": 1000,
    },
}  # fmt: skip
OWN: dict[str, dict[str, dict[str, str | int]]] = {
    "cpu": {
        "pix2pix-mini": {
            "data.size": 144,
            "augment.size": 128,
        },  # its bottleneck is one pixel at 128, so it takes no 64
        "pix2pix-resnet18-mini": {"recipe.pretrain_steps": 900},
        "siggraph17-mini": {"recipe.classification_steps": 240},
    },
    "gpu": {
        "pix2pix-resnet18-mini": {"recipe.pretrain_steps": 9000},
        "siggraph17-mini": {"recipe.classification_steps": 2400},
    },
}
_SAME = 10  # of 256 bits; copies of one photograph in other sizes and qualities differ in fewer


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of training shards.")
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), help="Evaluation data (else $BENCH_DATA).")
@click.option("--budget", type=click.Choice(list(BUDGETS)), default="cpu", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(MODELS), help="Train these alone. Repeatable.")
@click.option("--runs", type=click.Path(path_type=Path), default=ROOT / "runs" / "mini", help="Training folders.")
@click.option("--measure/--no-measure", default=True, help="Run configs/suites/mini.yaml at the end.")
def main(data: Path, data_root: Path | None, budget: str, only: tuple[str, ...], runs: Path, measure: bool) -> None:
    """Train, export and measure the mini models."""
    refuse_copies(data, data_root)
    for model in only or MODELS:
        out = runs / model
        settings = {**BUDGETS[budget], **OWN[budget].get(model, {})}
        changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        bench("train", model, "--data", data, "--out", out, "--resume", *changes)
        home = ROOT / HOMES.get(model, "baselines") / "weights" / f"{model}.safetensors"
        bench("export", out, "--to", home, "--last", "--half")
    if measure:
        suite = ROOT / "configs" / "suites" / "mini.yaml"
        bench("suite", suite, *(("--data-root", data_root) if data_root else ()))


def bench(*arguments: object) -> None:
    """One call of the command line; a failure ends the script."""
    done = subprocess.run([sys.executable, "-m", "bench", *map(str, arguments)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def refuse_copies(data: Path, data_root: Path | None) -> None:
    """End the script if a photograph to be measured on is among those to be trained on, in whatever size."""
    measured: list[tuple[str, np.ndarray]] = []
    for name in EVALUATION:
        try:
            dataset = open_dataset(name, data_root=data_root)
        except BenchError as error:
            click.echo(f"not compared with {name}: {error}")
            continue
        measured += [(f"{name}: {path.name}", fingerprint(Image.open(path))) for path in dataset.paths]
    if not measured:
        return
    names, prints = [name for name, _ in measured], np.stack([bits for _, bits in measured])
    copies = []
    for name, bits in fingerprints(ShardSource(sorted(data.glob("*.tar")))):
        distance = np.count_nonzero(prints != bits, axis=1)
        copies += [
            f"{name} is {names[i]} ({distance[i]} of 256 bits differ)" for i in np.flatnonzero(distance <= _SAME)
        ]
    if copies:
        raise click.ClickException("photographs to measure on are in the training data:\n" + "\n".join(copies))
    click.echo(f"none of {len(names)} photographs to measure on is in the training data.")


def fingerprints(source: ShardSource) -> Iterator[tuple[str, np.ndarray]]:
    for encoded in (source.read(i) for i in range(len(source))):
        yield encoded.name, fingerprint(Image.open(io.BytesIO(encoded.data)))


def fingerprint(photo: Image.Image) -> np.ndarray:
    """256 bits: whether each cell of a 16 x 17 gray thumbnail is brighter than its left neighbour (difference hash)."""
    pixels = np.asarray(photo.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return (pixels[:, 1:] > pixels[:, :-1]).ravel()


if __name__ == "__main__":
    main()
