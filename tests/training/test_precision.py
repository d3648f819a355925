"""Precision and speed change how a step is computed, not what it learns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from bench.errors import ConfigError
from bench.processes import connect, pick_precision
from bench.training.config import TrainConfig, load_config
from bench.training.logs import read_metrics
from bench.training.trainer import Trainer, train

Photographs = Callable[..., Path]
# Spectral norm, two optimisers and a discriminator that is frozen in the generator's turn.
GAN = [
    "steps=4", "batch_size=2", "data.size=64", "augment.size=64", "data.workers=0", "log.every=1", "log.grid_every=0",
    "log.tensorboard=false", "validation.every=0", "checkpoints.every=1000", "precision=fp32", "channels_last=false",
    "options.layers=2", "recipe.losses.adversarial=1", "recipe.discriminator_width=4", "schedule.warmup=0", "ema=null",
]  # fmt: skip
STILL = ("recipe.generator.lr=1e-12", "recipe.discriminator.lr=1e-12")


def config(folder: Path, *changes: str) -> TrainConfig:
    return load_config("ddcolor-mini", [*GAN, *changes], str(folder))


def curve(folder: Path, out: Path, *changes: str) -> dict[tuple[int, str], float]:
    train(config(folder, *changes), out, device="cpu")
    return {(step, name): v for step, name, v in read_metrics(out / "metrics.csv") if name.startswith("loss/")}


def distance(one: dict[tuple[int, str], float], other: dict[tuple[int, str], float]) -> float:
    """The largest relative difference of the losses after the first update."""
    assert one.keys() == other.keys()
    return max(abs(other[key] / value - 1) for key, value in one.items() if key[0] > 1)


@pytest.mark.slow
def test_faster_settings_learn_the_same(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photographs(8)
    # Tracing is ours to get right; generating code, which takes minutes, is torch's.
    compiler = MagicMock(side_effect=partial(torch.compile, backend="eager"))
    monkeypatch.setattr("torch.compile", compiler)
    plain = curve(folder, tmp_path / "plain")
    learnt = distance(plain, curve(folder, tmp_path / "still", *STILL))
    for setting, tolerance in (("channels_last=true", 0.01), ("compile=true", 0.01), ("precision=bf16", 0.1)):
        found = distance(plain, curve(folder, tmp_path / setting, setting))
        assert found < tolerance * learnt, f"{setting}: {found:.3g} of {learnt:.3g}"
    assert compiler.called


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_nobody_gets_emulated_bf16(native: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or native

    monkeypatch.setattr("torch.cuda.is_bf16_supported", supported)
    assert pick_precision("auto", torch.device("cuda")) == precision
    assert pick_precision("auto", torch.device("cpu")) == "fp32"
    assert pick_precision("fp16", torch.device("cuda")) == "fp16"


def test_a_cpu_refuses_fp16(photographs: Photographs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CPU does not compute in fp16"):
        connect("cpu", "fp16")
    with pytest.raises(ConfigError, match="CPU does not compute in fp16"):
        train(config(photographs(2), "precision=fp16"), tmp_path / "run", device="cpu")


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Parameters of both networks, by name."""
    networks = trainer.recipe.networks.items()
    return {f"{n}.{key}": p.detach().clone() for n, network in networks for key, p in network.named_parameters()}


def scaled(trainer: Trainer) -> torch.amp.GradScaler:
    """Give the trainer the scaler that it has in fp16; the rest is computed in fp32 all the same."""
    trainer.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)
    return trainer.scaler


@pytest.mark.parametrize("clip", ["null", "0.01"])
def test_a_scaled_loss_makes_the_same_updates(clip: str, photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(4)
    found = []
    for name in ("plain", "scaled"):
        trainer = Trainer(config(folder, "steps=2", f"clip={clip}"), tmp_path / name, "cpu")
        before = weights_of(trainer)
        if name == "scaled":
            scaled(trainer)
        trainer.run()
        found.append(weights_of(trainer))
    moved = {key: (found[0][key] - before[key]).abs().max() for key in before}
    for part in ("model.", "discriminator."):
        assert max(value for key, value in moved.items() if key.startswith(part)) > 1e-4
    total = sum((found[0][key] - before[key]).square().sum() for key in before) ** 0.5
    apart = sum((found[0][key] - found[1][key]).square().sum() for key in before) ** 0.5
    assert apart < 0.02 * total


def test_an_overflow_skips_one_optimiser_and_lowers_the_scale(photographs: Photographs, tmp_path: Path) -> None:
    trainer = Trainer(config(photographs(4), "steps=1", "clip=1"), tmp_path / "run", "cpu")
    scaler, before = scaled(trainer), weights_of(trainer)
    victim = next(p for p in trainer.recipe.model.parameters() if p.requires_grad)
    victim.register_hook(lambda gradient: gradient * torch.inf)
    trainer.run()
    after = weights_of(trainer)
    same = {key: torch.equal(before[key], after[key]) for key in before}
    assert all(same[key] for key in same if key.startswith("model."))
    assert not same["discriminator.layers.0.weight_orig"]
    assert scaler.get_scale() == 2.0**9


def test_a_run_goes_on_in_another_precision(photographs: Photographs, tmp_path: Path) -> None:
    folder, out = photographs(4), tmp_path / "run"
    train(config(folder, "steps=1"), out, device="cpu")
    trainer = Trainer(config(folder, "steps=2", "precision=bf16"), out, "cpu")
    scaler = scaled(trainer)
    trainer.restore(resume=True)  # the file holds no state of a scaler
    assert trainer.run().finished
    assert scaler.get_scale() == 2.0**10
    back = Trainer(config(folder, "steps=3"), out, "cpu")
    back.restore(resume=True)
    assert back.run().step == 3
