"""The trainer: one loop for every recipe.

Devices, precision, accumulation, clipping, averaging, schedules, checkpoints, logs and validation are its business;
networks, losses and optimisers are the recipe's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from bench import registry
from bench.cache import write_atomically
from bench.checkpoints import read_state_dict
from bench.color import rgb_to_lab
from bench.colorizer import predict_chroma
from bench.errors import ConfigError
from bench.processes import Precision, connect, pick_device
from bench.training.augment import augment
from bench.training.checkpoint import Checkpoints
from bench.training.config import TrainConfig, check_same_run
from bench.training.data import Loaded, default_workers
from bench.training.ema import Average
from bench.training.guard import Guard, Recent
from bench.training.logs import Logs
from bench.training.parallel import any_process, average_gradients, merged, share_batch_norm
from bench.training.randomness import sample_seeds
from bench.training.recipe import Batch, Phase, make_recipe
from bench.training.schedules import factor, set_rates
from bench.training.stopping import StopRequest
from bench.training.streams import open_loader
from bench.training.validation import Validation, better


@dataclass(frozen=True)
class Outcome:
    """How a call of ``train`` ended.

    Args:
        folder: of the run.
        step: updates made so far.
        finished: False if it was interrupted.
        skipped: photographs that were not used -> why.
        waiting: share of the time spent waiting for data.
        images_per_second: over all processes, after the first step, as ``waiting`` is.
    """

    folder: Path
    step: int
    finished: bool
    skipped: Mapping[str, str]
    waiting: float
    images_per_second: float


@dataclass
class Clock:
    """Where the time goes, between two readings."""

    begun: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    images: int = 0

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.begun, 1e-9)


def train(
    config: TrainConfig,
    out: Path | str,
    *,
    resume: bool = False,
    device: str | None = None,
    console: Console | None = None,
) -> Outcome:
    """Train a model as ``config`` says.

    Args:
        config: of ``bench.training.config.load_config``.
        out: folder of the run: checkpoints, logs, pictures.
        resume: go on from its newest checkpoint, if there is one.
        device: see ``bench.processes.connect``.
        console: for the progress bar of the first process; None = silent.

    Returns:
        How it ended: at the last step, or earlier by SIGTERM or Ctrl-C, with a checkpoint in either case.

    Raises:
        BenchError: anything the user can mend; DivergenceError if a loss explodes.
    """
    trainer = Trainer(config, Path(out), device)
    trainer.restore(resume)
    return trainer.run(console)


def pick_precision(config: TrainConfig, device: torch.device) -> Precision:
    """What ``auto`` means on this device."""
    if config.precision != "auto":
        return config.precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


class Trainer:
    """One process's part in a run."""

    def __init__(self, config: TrainConfig, out: Path, device: str | None = None) -> None:
        self.config, self.out = config, out
        self.precision = pick_precision(config, pick_device(device))
        self.fabric = connect(device, self.precision)
        self.device, self.rank, self.world = self.fabric.device, self.fabric.global_rank, self.fabric.world_size
        self.channels_last = self.device.type == "cuda" if config.channels_last is None else config.channels_last
        torch.manual_seed(config.seed)
        model = registry.build(config.model, **config.options)
        if config.start_from:
            model.load_weights(read_state_dict(config.start_from))
        self.recipe = make_recipe(config.model, model, config.recipe)
        self._prepare_networks()
        self.optimizers: dict[str, Optimizer] = self.recipe.optimizers()
        self.average = Average(self.recipe.model, config.ema) if config.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.checkpoints = Checkpoints(out / "checkpoints", config.checkpoints.keep)
        self.validation = Validation(config, out / "validation") if config.validation.every else None
        self.guard, self.recent = Guard(config.explosion), Recent()
        self.step, self.best = 0, None
        self.notes: list[str] = []
        self.skipped: dict[str, str] = {}
        self.clock, self.total = Clock(), Clock()

    step: int
    best: float | None

    def _prepare_networks(self) -> None:
        for network in (*self.recipe.networks.values(), *self.recipe.helpers):
            network.to(self.device)
            if self.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.config.compile and network is not self.recipe.model:
                network.compile()
        if self.config.compile:
            for name in self.recipe.entries:
                setattr(self.recipe.model, name, torch.compile(getattr(self.recipe.model, name)))
        for network in self.recipe.networks.values():
            network.train()
            if self.config.sync_batch_norm:
                share_batch_norm(network)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self, console: Console | None = None) -> Outcome:
        """Train from ``self.step`` to the end, or until somebody asks to stop."""
        config = self.config
        workers = config.data.workers
        loader = open_loader(
            config, self.step, self.rank, self.world,
            workers=default_workers() if workers is None else workers,
            pin=self.device.type == "cuda",
        )  # fmt: skip
        screen = console if self.fabric.is_global_zero else None
        self._write_config()
        logs = Logs(self.out, config.steps, self.step, config.log.tensorboard, screen)
        self.clock, self.total = Clock(), Clock()
        with logs, StopRequest() as stop:
            for note in self.notes:
                logs.say(f"[yellow]passed over:[/yellow] {note}")
            parts, first = iter(loader), self.step
            while self.step < config.steps:
                batches = [self.to_batch(part) for part in self._next(parts, config.accumulate)]
                self.train_step(batches)
                if self.step == first:
                    self.total = Clock()  # what starting up took is no throughput
                self.step += 1
                logs.advance(self.step)
                self._after_step(logs, batches[0])
                if self._should_stop(stop):
                    break
            self._read_losses(logs)
            self.save()
            self.skipped = merged(self.skipped)
        finished = self.step >= config.steps
        seconds, images = self.total.seconds, self.total.images
        return Outcome(self.out, self.step, finished, self.skipped, self.total.waited / seconds, images / seconds)

    def train_step(self, batches: Sequence[Batch]) -> None:
        """One step: every phase of the recipe, on all parts of the batch."""
        step, config = self.step, self.config
        set_rates(self.optimizers.values(), factor(config.schedule, step, config.steps))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
        # Dropout and the like: a function of the step too, so that there is no state of generators to save.
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + self.rank)
        turns = [self.recipe.phases(batch) for batch in batches]
        while self._phase(turns):
            pass
        if self.average is not None:
            self.average.update()

    def _phase(self, turns: Sequence[Iterator[Phase]]) -> bool:
        """The next phase of every part: differentiate each, then one update. False if there is none left."""
        sums: dict[str, Tensor] = {}
        optimizer: Optimizer | None = None
        for turn in turns:
            with self.fabric.autocast():
                phase = next(turn, None)
            if phase is None:
                return False
            if not phase.terms:
                raise ConfigError("no loss term has a weight: there is nothing to train. See recipe.losses.")
            if optimizer is None:
                optimizer = self.optimizers[phase.optimizer]
                optimizer.zero_grad(set_to_none=True)
            loss = torch.stack([term.float() for term in phase.terms.values()]).sum()
            self.scaler.scale(loss / len(turns)).backward()
            for name, term in phase.terms.items():
                share = term.detach().float() / len(turns)
                sums[name] = sums[name] + share if name in sums else share
        assert optimizer is not None
        self._update(optimizer)
        self.recent.add(self.step + 1, sums)
        return True

    def _update(self, optimizer: Optimizer) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        average_gradients(parameters)
        if self.config.clip:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip)
        self.scaler.step(optimizer)
        self.scaler.update()

    # --- data ---------------------------------------------------------------------------------------------------------

    def _next(self, parts: Iterator[Loaded], count: int) -> list[Loaded]:
        begun = time.monotonic()
        found = [next(parts) for _ in range(count)]
        waited, images = time.monotonic() - begun, sum(len(part.images) for part in found) * self.world
        for clock in (self.clock, self.total):
            clock.waited += waited
            clock.images += images
        return found

    def to_batch(self, loaded: Loaded) -> Batch:
        """To the device, augmented, in the colour space of the networks."""
        self.skipped |= loaded.skipped
        images, labels, places = (
            t.to(self.device, non_blocking=True) for t in (loaded.images, loaded.labels, loaded.places)
        )
        seeds = sample_seeds(self.config.seed, places)
        with torch.no_grad():
            rgb = augment(images, seeds, self.config.augment)
            lab = rgb_to_lab(rgb)
        if self.channels_last:
            rgb = rgb.contiguous(memory_format=torch.channels_last)
        return Batch(rgb, lab[:, :1], lab[:, 1:], labels, seeds, self.step)

    # --- what happens now and then ------------------------------------------------------------------------------------

    def _after_step(self, logs: Logs, batch: Batch) -> None:
        step, config = self.step, self.config
        last = step == config.steps
        measure = self.validation is not None and (step % config.validation.every == 0 or last)
        save = step % config.checkpoints.every == 0
        if step % config.log.every == 0 or measure or save:
            self._read_losses(logs)
        if config.log.grid_every and (step % config.log.grid_every == 0 or last):
            self._draw(logs, batch)
        best = self._measure(logs) if measure else False
        if best or save:
            self.save(best)

    def _read_losses(self, logs: Logs) -> None:
        sums: dict[str, list[float]] = {}
        for step, name, value in self.recent.take():
            self.guard.check(step, name, value, str(next(self.checkpoints.paths(), "none yet")))
            sums.setdefault(name, []).append(value)
        if not sums:
            return
        means = {name: sum(values) / len(values) for name, values in sums.items()}
        speed = self.clock.images / self.clock.seconds
        rate = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        figures = {"images/s": speed, "learning rate": rate, "waiting": self.clock.waited / self.clock.seconds}
        logs.numbers(self.step, {f"loss/{k}": v for k, v in means.items()} | figures, means | {"images/s": speed})
        self.clock = Clock()

    @torch.no_grad()
    def _draw(self, logs: Logs, batch: Batch, count: int = 4) -> None:
        if not self.fabric.is_global_zero:
            return
        model = self.recipe.model.eval()
        lightness = batch.lightness[:count]
        generator = torch.Generator(self.device).manual_seed(self.config.seed) if model.stochastic else None
        with self.fabric.autocast():
            prediction = predict_chroma(model, lightness, generator=generator)
        logs.pictures(self.step, lightness, prediction, batch.rgb[:count])
        model.train()

    def _measure(self, logs: Logs) -> bool:
        """Validate; whether these are the best weights so far."""
        assert self.validation is not None
        numbers = self.validation.measure(self.weights(), self.step, str(self.device))
        logs.numbers(self.step, {f"validation/{name}": value for name, value in numbers.items()})
        logs.say(f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
        metric = self.config.checkpoints.best
        if metric not in numbers or not better(metric, numbers[metric], self.best):
            return False
        self.best = numbers[metric]
        return True

    def _should_stop(self, stop: StopRequest) -> bool:
        """All processes must agree, and agreeing costs time: they ask each other when they read the losses."""
        if self.world == 1:
            return stop.requested
        return self.step % self.config.log.every == 0 and any_process(stop.requested, self.device)

    # --- state --------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """The state dict that will be used: the average, if there is one."""
        return dict(self.average.state if self.average is not None else self.recipe.model.state_dict())

    def save(self, best: bool = False) -> None:
        """Write a checkpoint, in the first process."""
        if self.fabric.is_global_zero:
            self.checkpoints.save(self.step, self._state(), best)
        self.fabric.barrier()

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump_json(),
            "networks": {name: dict(network.state_dict()) for name, network in self.recipe.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "average": None if self.average is None else dict(self.average.state),
            "average_updates": 0 if self.average is None else self.average.updates,
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "guard": {"means": dict(self.guard.means), "counts": dict(self.guard.counts)},
        }

    def restore(self, resume: bool) -> None:
        """Go on from the newest checkpoint of the folder.

        Raises:
            ConfigError: there is one, but ``resume`` is False or its configuration is another.
        """
        found = self.checkpoints.load_latest()
        if found is None:
            return
        if not resume:
            raise ConfigError(
                f"{self.out} holds a run already, at step {found[0]['step']}. "
                "Continue it with --resume, or choose another folder with --out."
            )
        state, self.notes = found
        check_same_run(self.config, TrainConfig.model_validate_json(state["config"]), self.out)
        for name, network in self.recipe.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.average is not None:
            self.average.load(state["average"], state["average_updates"])
        self.scaler.load_state_dict(state["scaler"])
        self.guard.means, self.guard.counts = state["guard"]["means"], state["guard"]["counts"]
        self.step, self.best = state["step"], state["best"]

    def _write_config(self) -> None:
        if self.fabric.is_global_zero:
            write_atomically(self.out / "config.json", self.config.model_dump_json(indent=2).encode())
