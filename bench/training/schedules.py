"""Learning-rate schedules and optimisers. A schedule is a function of the step: there is nothing to save."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from bench.training.config import OptimizerConfig, ScheduleConfig


def factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """What the learning rates are multiplied by at ``step`` (from 0) of a run of ``steps``."""
    done = step / steps
    match schedule.kind:
        case "constant":
            value = 1.0
        case "steps":
            value = schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
        case "cosine":
            value = schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            value = min(1.0, (1 - done) / (1 - schedule.start))
    return value * min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else value


def make_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter]) -> Optimizer:
    """An optimiser over those of ``parameters`` that are trained; remembers its learning rate as ``base_lr``."""
    trained = [p for p in parameters if p.requires_grad]
    optimizer: Optimizer
    match config.kind:
        case "adam":
            optimizer = torch.optim.Adam(trained, config.lr, config.betas, weight_decay=config.weight_decay)
        case "adamw":
            optimizer = torch.optim.AdamW(trained, config.lr, config.betas, weight_decay=config.weight_decay)
        case "adadelta":
            optimizer = torch.optim.Adadelta(trained, config.lr, weight_decay=config.weight_decay)
    for group in optimizer.param_groups:
        group["base_lr"] = config.lr
    return optimizer


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load all but the base learning rates: those are the configuration's, which may have changed. In place."""
    rates = [group["base_lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(state))
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["base_lr"] = rate


def set_rates(optimizers: Iterable[Optimizer], value: float) -> None:
    """Multiply every base learning rate by ``value``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * value
