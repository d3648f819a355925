"""Train every mini model on the same photographs, ship the weights, measure all of them, fill results/mini.

    python scripts/mini_benchmark.py --data SHARDS --data-root EVALUATION --budget cpu

Resumable: a finished training is skipped, an interrupted one goes on, finished Runs are reused. All models see the same
photographs in the same order; the budget is named in the cards. A larger one, on a GPU say, replaces the weights by the
same command, and keeps what it makes in a folder of its own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from mini_results import ROOT, publish, run_bench, write_facts
from near_duplicates import refuse_copies
from safetensors import safe_open

from bench.checkpoints import file_sha256
from bench.errors import BenchError
from bench.training.sources import open_source

HOMES = {"ddcolor-mini": "models", "multicolor-mini": "models"}  # all others live in baselines
MODELS = (
    "ddcolor-mini", "eccv16-mini", "siggraph17-mini", "lab-diffusion-mini", "iizuka-mini", "pix2pix-resnet18-mini",
    "pix2pix-mini", "multicolor-mini",
)  # fmt: skip
EVALUATION = ("samples", "imagenet-sample", "coco", "ade20k")
STAGES = ("train", "ablate", "measure", "publish")

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
# Tuned on imagenet-sample, see results/mini/README.md.
_DDCOLOR: dict[str, str | float] = {"recipe.losses.adversarial": 0.05, "recipe.losses.colourfulness": 0.2}
OWN: dict[str, dict[str, dict[str, str | float]]] = {
    "cpu": {
        "ddcolor-mini": _DDCOLOR,
        "pix2pix-mini": {"data.size": 144, "augment.size": 128},  # its bottleneck is one pixel at 128, none at 64
        "pix2pix-resnet18-mini": {"recipe.pretrain_steps": 900},
        "siggraph17-mini": {"recipe.classification_steps": 240},
    },
    "gpu": {
        "ddcolor-mini": _DDCOLOR,
        "pix2pix-resnet18-mini": {"recipe.pretrain_steps": 9000},
        "siggraph17-mini": {"recipe.classification_steps": 2400},
    },
}
# Steps of each training; the curve of the colourfulness loss has as many as the models.
ABLATIONS = {
    "decoder-and-loss-mini": {"cpu": 300, "gpu": 2000},
    "scales-mini": {"cpu": 300, "gpu": 2000},
    "queries-mini": {"cpu": 300, "gpu": 2000},
    "block-order-mini": {"cpu": 300, "gpu": 2000},
    "colourfulness-mini": {"cpu": 1200, "gpu": 12000},
}


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder of training photographs or shards.",
)
@click.option("--sources", default="", help="What these photographs are, for the cards.")
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), help="Evaluation data (else $BENCH_DATA).")
@click.option("--budget", type=click.Choice(list(BUDGETS)), default="cpu", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(MODELS), help="Train these alone. Repeatable.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Default: all. Repeatable.")
@click.option(
    "--runs",
    default="runs/mini",
    show_default=True,
    help="Folder of what is made, below that of the project; each budget has its own in it.",
)
def main(
    data: Path,
    sources: str,
    data_root: Path | None,
    budget: str,
    only: tuple[str, ...],
    stages: tuple[str, ...],
    runs: str,
) -> None:
    """Train, export, ablate and measure the mini models; put scores on their cards and fill results/mini."""
    data, wanted = data.resolve(), stages or STAGES
    if data_root:
        os.environ["BENCH_DATA"] = str(data_root.resolve())  # no path of this machine in what the Runs record
    runs = f"{runs}/{budget}"
    try:
        if {"train", "ablate"} & set(wanted):
            refuse_copies(data, EVALUATION)
        if "train" in wanted:
            for model in only or MODELS:
                train(model, data, sources, budget, f"{runs}/{model}")
        if "ablate" in wanted:
            for name, steps in ABLATIONS.items():
                changes = ("--set", f"steps={steps[budget]}", "--out", f"{runs}/ablations/{name}")
                run_bench("ablate", name, "--data", data, *changes)
        if "measure" in wanted:
            run_bench("suite", "mini", "--out", f"{runs}/suite")
        if "publish" in wanted:
            publish(ROOT / runs, ROOT / "results" / "mini")
    except BenchError as error:
        raise click.ClickException(str(error)) from error


def train(model: str, data: Path, sources: str, budget: str, out: str) -> None:
    """Train by the budget and put the last step's averaged weights, with their facts, where the package has them."""
    own = OWN[budget].get(model, {})
    settings = {**BUDGETS[budget], **own}
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    run_bench("train", model, "--data", data, "--out", out, "--resume", *changes)
    home = ROOT / HOMES.get(model, "baselines") / "weights" / f"{model}.safetensors"
    run_bench("export", out, "--to", home.relative_to(ROOT), "--last", "--half")
    apart = "".join(f", {key} {value}" for key, value in own.items())
    photographs = f"{len(open_source(str(data))):,} photographs" + (f" ({sources})" if sources else "")
    describe(
        home,
        f"scripts/mini_benchmark.py --budget {budget}, {code_of(home)}: {settings['steps']:,} steps of "
        f"{settings['batch_size']} of {photographs} at {settings['augment.size']} px{apart}, the last step's averaged "
        "weights, nothing pretrained, seed 0",
    )


def code_of(weights: Path) -> str:
    """Which commits trained them, as the training recorded it."""
    with safe_open(weights, "pt") as file:
        versions = json.loads(file.metadata()["training"])["code"] or []  # older checkpoints did not record it
    told = [f"{v['commit'][:7]}{' with changes' if v['dirty'] else ''}" if v["commit"] else "" for v in versions]
    return f"code of {' and '.join(told)}" if told and all(told) else "code of an unknown commit"


def describe(weights: Path, note: str) -> None:
    """Write the facts that the model's card shows; those of the same file stay as they are."""
    path, digest = weights.with_suffix(".json"), file_sha256(weights)
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["sha256"] == digest:
        return
    facts = {
        "name": "mini",
        "file": weights.name,
        "sha256": digest,
        "bytes": weights.stat().st_size,
        "licence": "Apache-2.0",
        "origin": "trained here",
        "note": note,
    }
    write_facts(path, facts)


if __name__ == "__main__":
    main()
