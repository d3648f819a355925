"""How fast training is: images/s of a step, eager fp32 against the settings one would use, and the wait for data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.efficiency import peak_memory_mb
from bench.processes import pick_device
from bench.training.config import TrainConfig, load_config
from bench.training.data import Loaded, default_workers
from bench.training.trainer import Trainer

_PHOTOGRAPHS = 256
# What a step costs without what one would rarely have at hand; the discriminators stay.
_WITHOUT_FILES = {"ddcolor": "perceptual", "multicolor": "perceptual", "iizuka": "classification"}


@dataclass(frozen=True)
class Figures:
    """Of one model: steps alone, from data in memory; and a whole run, decoding included."""

    model: str
    size: int
    batch_size: int
    eager: float  # images/s
    settings: float  # images/s
    whole: float  # images/s
    waiting: float  # share of the time
    memory_mb: float | None


def compare(
    models: Sequence[str],
    data: str | None,
    steps: int,
    batch_size: int | None,
    device: str | None,
    workers: int | None,
    console: Console,
) -> list[Figures]:
    """Measure each model and print a table.

    Args:
        models: names of training configurations.
        data: photographs; None = synthetic ones of 500 x 375, written for the occasion.
        steps: that are timed, after three that are not.
        batch_size: None = the configuration's.
        device, workers: see ``bench.training``. The default settings are fp32 on a CPU; on a GPU bf16, TF32 and
            channels_last.
    """
    where = pick_device(device)
    found = []
    with photographs(data) as folder:
        for name in models:
            found.append(measure(name, folder, steps, batch_size, str(where), workers))
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    count = default_workers() if workers is None else workers
    table = Table(title=f"training on {name}; {count} decoding processes")
    for heading in ("model", "batch", "eager fp32, images/s", "default, images/s", "ratio", "with data, images/s"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    table.add_column("waiting for data", justify="right")
    table.add_column("peak memory, MB", justify="right")
    for f in found:
        table.add_row(
            f.model, f"{f.batch_size} x {f.size} px", f"{f.eager:.1f}", f"{f.settings:.1f}",
            f"{f.settings / f.eager:.2f}", f"{f.whole:.1f}", f"{100 * f.waiting:.1f} %",
            "–" if f.memory_mb is None else f"{f.memory_mb:.0f}",
        )  # fmt: skip
    console.print(table)
    return found


def measure(name: str, data: str, steps: int, batch_size: int | None, device: str, workers: int | None) -> Figures:
    """The figures of one training configuration."""
    common = [f"steps={steps + 3}", *_stripped(name), *([f"batch_size={batch_size}"] if batch_size else [])]
    common += ["accumulate=1", "validation.every=0", "log.grid_every=0", "log.tensorboard=false"]
    common += [f"data.workers={workers}"] if workers is not None else []
    eager = load_config(name, [*common, "precision=fp32", "tf32=false", "channels_last=false"], data)
    default = load_config(name, common, data)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    slow, quick = (_steps_alone(config, device) for config in (eager, default))
    with tempfile.TemporaryDirectory() as out:
        outcome = Trainer(default, Path(out), device).run()
    return Figures(
        name, default.augment.size, default.batch_size, slow, quick, outcome.images_per_second, outcome.waiting,
        peak_memory_mb(torch.device(device)) if device.startswith("cuda") else None,
    )  # fmt: skip


def _stripped(name: str) -> list[str]:
    family = name.removesuffix("-mini").removesuffix("-tiny")
    changes = [f"recipe.losses.{_WITHOUT_FILES[family]}=0"] if family in _WITHOUT_FILES else []
    return [*changes, "recipe.encoder=random"] if load_config(name).recipe.get("encoder") else changes


def _steps_alone(config: TrainConfig, device: str) -> float:
    """Images/s of training steps on one batch that is in memory already."""
    side = config.data.size
    images = torch.randint(0, 256, (config.batch_size, 3, side, side), dtype=torch.uint8)
    loaded = Loaded(images, torch.zeros(len(images), dtype=torch.long), torch.arange(len(images)), {})
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(config, Path(out), device)
        begun = 0.0
        for step in range(config.steps):
            if step == 3:
                _wait(trainer.device)
                begun = time.perf_counter()
            trainer.train_step([trainer.to_batch(loaded)])
            trainer.step += 1
        _wait(trainer.device)
        return (config.steps - 3) * config.batch_size / (time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def photographs(data: str | None) -> Iterator[str]:
    """``data``, or a folder of synthetic JPEG files of the size and detail of ImageNet's."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(_PHOTOGRAPHS):
            coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(Path(folder, f"{i:04d}.jpg"), quality=95)
        yield folder
