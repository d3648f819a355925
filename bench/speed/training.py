"""How fast training is: images/s of a step, eager fp32 against the settings one would use, and the wait for data."""

from __future__ import annotations

import gc
import importlib
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

from bench import registry
from bench.configs import Strict, checked
from bench.efficiency import peak_memory_mb, reset_peak_memory
from bench.processes import pick_device
from bench.training.config import TrainConfig, load_config
from bench.training.data import PREFETCH, Loaded, default_workers
from bench.training.recipe import recipe_type
from bench.training.streams import open_loader
from bench.training.trainer import Trainer

_PHOTOGRAPHS = 256
_UNTIMED = 3  # steps: kernels are compiled and chosen, memory is taken


@dataclass(frozen=True)
class Figures:
    """Of one model: steps alone, from data in memory; and steps with the data decoded as they go.

    Args:
        model: name of the configuration.
        size: side of what the networks see.
        batch_size: photographs of a step.
        eager: images/s in fp32.
        settings: images/s with the configuration's settings, whose peak is ``memory_mb`` (GPU only).
        with_data: images/s with them, decoding included.
        waiting: share of that time in which a step waits for data.
        left_out: options that were changed because they need more than photographs.
    """

    model: str
    size: int
    batch_size: int
    eager: float
    settings: float
    with_data: float
    waiting: float
    memory_mb: float | None
    left_out: tuple[str, ...] = ()


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
            f"{f.settings / f.eager:.2f}", f"{f.with_data:.1f}", f"{100 * f.waiting:.1f} %",
            "–" if f.memory_mb is None else f"{f.memory_mb:.0f}",
        )  # fmt: skip
    console.print(table)
    for f in found:
        if f.left_out:
            console.print(
                f"{f.model} was timed with {', '.join(f.left_out)}: it needs more than photographs otherwise."
            )
    return found


def measure(name: str, data: str, steps: int, batch_size: int | None, device: str, workers: int | None) -> Figures:
    """The figures of one training configuration."""
    left_out = without_files(name)
    changes = [f"steps={_UNTIMED + steps}", *left_out, *([f"batch_size={batch_size}"] if batch_size else [])]
    changes += ["accumulate=1", "validation.every=0", "log.grid_every=0", "log.tensorboard=false"]
    changes += [f"data.workers={workers}"] if workers is not None else []
    eager = load_config(name, [*changes, "precision=fp32", "tf32=false", "channels_last=false"], data)
    default = load_config(name, changes, data)
    where = torch.device(device)
    slow = _steps_alone(eager, device)
    gc.collect()
    if where.type == "cuda":
        reset_peak_memory(where)
    quick = _steps_alone(default, device)
    memory = peak_memory_mb(where) if where.type == "cuda" else None
    gc.collect()
    with_data, waiting = _steps_with_data(default, steps, device)
    return Figures(name, default.augment.size, default.batch_size, slow, quick, with_data, waiting, memory, left_out)


def without_files(name: str) -> tuple[str, ...]:
    """What must be changed of a configuration, ``"key=value"``, so that photographs are all it needs."""
    config = load_config(name)
    kind = recipe_type(config.model, _module_of(config))
    changes = tuple(f"recipe.{change}" for change in kind.without_files)

    def options(*changed: str) -> Strict:
        return checked(kind.options_type, load_config(name, changed).recipe, name, "recipe")

    return tuple(change for change in changes if options(change) != options())


def _module_of(config: TrainConfig) -> str:
    """Where the model of a configuration is defined; a registered one need not be built to know."""
    if registry.is_file_reference(config.model):
        return type(registry.build(config.model, **config.options)).__module__
    return importlib.import_module(registry.card_of(config.model).module).__name__


def _steps_alone(config: TrainConfig, device: str) -> float:
    """Images/s of training steps on one batch that is in memory already."""
    side = config.data.size
    images = torch.randint(0, 256, (config.batch_size, 3, side, side), dtype=torch.uint8)
    loaded = Loaded(images, torch.zeros(len(images), dtype=torch.long), torch.arange(len(images)), {})
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(config, Path(out), device)
        begun = 0.0
        for step in range(config.steps):
            if step == _UNTIMED:
                _wait(trainer.device)
                begun = time.perf_counter()
            _step(trainer, loaded)
        _wait(trainer.device)
        return (config.steps - _UNTIMED) * config.batch_size / (time.perf_counter() - begun)


def _steps_with_data(config: TrainConfig, steps: int, device: str) -> tuple[float, float]:
    """Images/s of training steps on decoded photographs, and the share of the time in which they wait for those.

    What was decoded before the clock starts is thrown away: it would feed the timed steps however slow decoding is.
    """
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(config, Path(out), device)
        workers = default_workers() if config.data.workers is None else config.data.workers
        ahead = workers * PREFETCH
        endless = config.model_copy(update={"steps": _UNTIMED + ahead + steps})
        parts = open_loader(endless, 0, 0, 1, workers, trainer.device.type == "cuda", trainer.recipe.classes)
        for _ in range(_UNTIMED):
            _step(trainer, next(parts))
        for _ in range(ahead):
            next(parts)
        _wait(trainer.device)
        begun, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            asked = time.perf_counter()
            part = next(parts)
            waited += time.perf_counter() - asked
            _step(trainer, part)
        _wait(trainer.device)
        seconds = time.perf_counter() - begun
        return steps * config.batch_size / seconds, waited / seconds


def _step(trainer: Trainer, loaded: Loaded) -> None:
    trainer.train_step([trainer.to_batch(loaded)])
    trainer.step += 1


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
