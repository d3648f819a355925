"""The trainer: one loop for every recipe.

Devices, precision, accumulation, clipping, averaging, schedules, checkpoints, logs and validation are its business;
networks, losses and optimisers are the recipe's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor
from torch.optim import Optimizer

from bench import registry
from bench.cache import write_atomically
from bench.color import rgb_to_lab
from bench.colorizer import predict_chroma
from bench.environment import code_version
from bench.errors import ConfigError
from bench.processes import connect, pick_device, pick_precision
from bench.stopping import Interrupted, StopRequest
from bench.training.augment import augment
from bench.training.checkpoint import Checkpoints, Validated
from bench.training.clock import Clock
from bench.training.config import TrainConfig
from bench.training.data import Loaded
from bench.training.ema import Average
from bench.training.guard import Guard, Recent, check_finite
from bench.training.logs import Logs
from bench.training.parallel import (
    any_process,
    average_gradients,
    average_statistics,
    gathered,
    merged,
    share_batch_norm,
)
from bench.training.randomness import sample_seeds
from bench.training.recipe import Batch, Phase, make_recipe
from bench.training.resume import newest_checkpoint
from bench.training.schedules import factor, load_optimizer, set_rates
from bench.training.start import start_from
from bench.training.streams import open_loader
from bench.training.validation import Validation, better, inference_model

_VOTE_EVERY = 10  # steps; launchers kill 30 s after they asked to stop


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


class Trainer:
    """One process's part in a run."""

    def __init__(self, config: TrainConfig, out: Path, device: str | None = None) -> None:
        self.config, self.out = config, out
        self.precision = pick_precision(config.precision, pick_device(device))
        self.fabric = connect(device, self.precision)
        self.device, self.rank, self.world = self.fabric.device, self.fabric.global_rank, self.fabric.world_size
        self.channels_last = self.device.type == "cuda" if config.channels_last is None else config.channels_last
        torch.manual_seed(config.seed)
        model = registry.build(config.model, **config.options)
        if config.augment.size % model.stride:
            raise ConfigError(
                f"augment.size {config.augment.size}: {config.model} takes sides that are multiples of {model.stride}."
            )
        if config.start_from:
            start_from(model, config.start_from)
        self.recipe = make_recipe(config.model, model, config.recipe)
        self._prepare_networks()
        self.optimizers: dict[str, Optimizer] = self.recipe.optimizers()
        self.average = Average(self.recipe.model, config.ema) if config.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.checkpoints = Checkpoints(out / "checkpoints", config.checkpoints.keep)
        self.validation = Validation(config, out / "validation") if config.validation.every else None
        self.guard, self.recent = Guard(config.explosion), Recent()
        self.code = [asdict(code_version())]  # all versions that took part, the latest last
        self.step = 0
        self.saved: int | None = None  # step of the newest checkpoint
        self.validated = Validated(0, config.checkpoints.best, None)
        self.notes: list[str] = []
        self.skipped: dict[str, str] = {}
        self.clock, self.total = Clock(), Clock()

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
        loader = open_loader(
            config, self.step, self.rank, self.world,
            workers=config.data.workers, pin=self.device.type == "cuda", classes=self.recipe.classes,
        )  # fmt: skip
        logs = Logs(
            self.out, config.steps, self.step, config.log.tensorboard,
            writes=self.fabric.is_global_zero, console=console,
        )  # fmt: skip
        self._write_config()
        self.clock, self.total = Clock(), Clock()
        with logs, StopRequest() as stop:
            for note in self.notes:
                logs.say(f"[yellow]{escape(note)}[/yellow]")
            for note in self.recipe.notes:
                logs.say(escape(note))
            stopped = self.step != self.validated.step and self._validation_is_due() and not self._validate(logs, stop)
            parts, first = iter(loader), self.step
            while self.step < config.steps and not stopped:
                batches = [self.to_batch(part) for part in self._next(parts, config.accumulate)]
                self.train_step(batches)
                if self.step == first:
                    self.total = Clock()  # what starting up took is no throughput
                self.step += 1
                logs.advance(self.step)
                stopped = self._after_step(logs, batches[0], stop)
            waiting, speed = self.total.waiting, self.total.images_per_second  # before all that is no training
            self._read_losses(logs)
            self.save()
            self.skipped = merged(self.skipped)
        return Outcome(self.out, self.step, not stopped, self.skipped, waiting, speed)

    def train_step(self, batches: Sequence[Batch]) -> None:
        """One step: every phase of the recipe, on all parts of the batch."""
        step, config = self.step, self.config
        set_rates(self.optimizers.values(), factor(config.schedule, step, config.steps))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
        torch.backends.cudnn.benchmark = True  # all batches have one shape
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
        self.clock.add(waited, images)
        self.total.add(waited, images)
        return found

    def to_batch(self, loaded: Loaded) -> Batch:
        """To the device, augmented, in the colour space of the networks."""
        self.skipped |= loaded.skipped
        seeds_on_cpu = sample_seeds(self.config.seed, loaded.places)
        images, labels, seeds = (
            t.to(self.device, non_blocking=True) for t in (loaded.images, loaded.labels, seeds_on_cpu)
        )
        with torch.no_grad():
            rgb = augment(images, seeds, self.config.augment)
            lab = rgb_to_lab(rgb)
        if self.channels_last:
            rgb = rgb.contiguous(memory_format=torch.channels_last)
        return Batch(rgb, lab[:, :1], lab[:, 1:], labels, seeds, self.step, seeds_on_cpu)

    # --- what happens now and then ------------------------------------------------------------------------------------

    def _after_step(self, logs: Logs, batch: Batch, stop: StopRequest) -> bool:
        """What is due after this step; True if training must stop here."""
        step, config = self.step, self.config
        last, validate = step == config.steps, self._validation_is_due()
        save = validate or last or step % config.checkpoints.every == 0
        if save or step % config.log.every == 0:
            self._read_losses(logs)
        if save:  # first of all: whatever fails below, nothing is lost
            self.save()
        if config.log.grid_every and (step % config.log.grid_every == 0 or last):
            self._draw(logs, batch)
        if validate and not self._validate(logs, stop):
            return True
        return not last and self._should_stop(stop)

    def _validation_is_due(self) -> bool:
        every = self.config.validation.every
        return bool(every and self.step and (self.step % every == 0 or self.step == self.config.steps))

    def _read_losses(self, logs: Logs) -> None:
        means = self.recent.means(self.guard, self._last_good())
        if not means:
            return
        speed = {"images/s": self.clock.images_per_second}
        rates = {f"learning rate/{name}": o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        figures = speed | rates | {"waiting": self.clock.waiting}
        logs.numbers(self.step, {f"loss/{k}": v for k, v in means.items()} | figures, means | speed)
        self.clock = Clock()

    @torch.no_grad()
    def _draw(self, logs: Logs, batch: Batch, count: int = 4) -> None:
        if not self.fabric.is_global_zero:
            return
        model = inference_model(self.config, self.weights(), f"step {self.step}").to(self.device)
        lightness = batch.lightness[:count]
        generator = torch.Generator(self.device).manual_seed(self.config.seed) if model.stochastic else None
        with self.fabric.autocast():
            prediction = predict_chroma(model, lightness, generator=generator)
        logs.pictures(self.step, lightness, prediction, batch.rgb[:count])

    def _validate(self, logs: Logs, stop: StopRequest) -> bool:
        """Measure the weights of the newest checkpoint and mark it if it is the best; False if that was cut short."""
        assert self.validation is not None
        try:
            numbers = self.validation.measure(self.weights(), self.step, str(self.device), stop)
        except Interrupted:
            return False
        metric, best = self.config.checkpoints.best, self.validated.best
        leads = metric in numbers and better(metric, numbers[metric], best)
        self.validated = Validated(self.step, metric, numbers[metric] if leads else best)
        if self.fabric.is_global_zero:
            if leads:
                self.checkpoints.mark_best(self.step)
            self.checkpoints.record(self.validated)
        logs.numbers(self.step, {f"validation/{name}": value for name, value in numbers.items()})
        logs.say(f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
        return True

    def _should_stop(self, stop: StopRequest) -> bool:
        """All processes must agree, and agreeing costs time: they ask each other now and then."""
        if self.world == 1:
            return stop.requested
        every = min(self.config.log.every, _VOTE_EVERY)
        return self.step % every == 0 and any_process(stop.requested, self.device)

    # --- state --------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """The state dict that will be used: the average, if there is one."""
        return self.average.weights() if self.average is not None else dict(self.recipe.model.state_dict())

    def save(self) -> None:
        """Write a checkpoint of this step, in the first process, unless there is one. All processes must call this.

        Raises:
            DivergenceError: a weight is not a number.
        """
        if self.saved == self.step:
            return
        states = {name: dict(network.state_dict()) for name, network in self.recipe.networks.items()}
        if self.average is not None:
            states["average"] = self.average.state
        average_statistics(states.values())
        checked = {f"the weights of {name!r}": state.values() for name, state in states.items()}
        check_finite(self.step, checked, self._last_good())
        if self.fabric.is_global_zero:
            self.checkpoints.save(self.step, self._state())
        self.fabric.barrier()
        self.saved = self.step

    def _last_good(self) -> str:
        return str(next(self.checkpoints.paths(), "none yet"))

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump_json(),
            "code": self.code,
            "networks": {name: dict(network.state_dict()) for name, network in self.recipe.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "average": None if self.average is None else self.average.weights(),
            "average_updates": 0 if self.average is None else self.average.updates,
            "scaler": self.scaler.state_dict(),
            "guard": {"means": dict(self.guard.means), "counts": dict(self.guard.counts)},
        }

    def restore(self, resume: bool) -> None:
        """Go on from the newest checkpoint of the folder.

        Raises:
            ConfigError: see ``newest_checkpoint``.
        """
        found = newest_checkpoint(self.checkpoints, self.config, self.out, resume)
        if found is None:
            self.notes = [f"no checkpoint in {self.out}: starting at step 0."] if resume else []
            return
        state, passed_over = found
        self.notes = [f"passed over: {note}" for note in passed_over]
        for name, network in self.recipe.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        if self.average is not None:
            self.average.load(state["average"], state["average_updates"])
        if state["scaler"]:  # empty after a run in another precision
            self.scaler.load_state_dict(state["scaler"])
        self.guard.means, self.guard.counts = state["guard"]["means"], state["guard"]["counts"]
        self.step = self.saved = state["step"]
        self.code = [*(version for version in state.get("code", []) if version not in self.code), *self.code]
        recorded = gathered(self.checkpoints.recorded())[0]
        if recorded is not None and recorded.metric == self.config.checkpoints.best:
            self.validated = recorded

    def _write_config(self) -> None:
        if self.fabric.is_global_zero:
            write_atomically(self.out / "config.json", self.config.model_dump_json(indent=2).encode())
