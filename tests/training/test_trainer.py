"""The engine: a run can be cut anywhere and shared out to any number of processes, and stays the same run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.errors import ConfigError
from bench.training.checkpoint import load
from bench.training.config import TrainConfig, load_config
from bench.training.guard import DivergenceError
from bench.training.logs import read_metrics
from bench.training.trainer import Outcome, Trainer, train

Photographs = Callable[..., Path]
REPOSITORY = Path(__file__).parents[2]
SMALL_OF_ANY = [
    "steps=20", "batch_size=4", "data.workers=0", "log.every=1", "log.grid_every=0", "log.tensorboard=false",
    "validation.every=0", "checkpoints.every=1000",
]  # fmt: skip
SMALL = [
    *SMALL_OF_ANY, "augment.size=64", "data.size=72", "recipe.losses.adversarial=1", "recipe.discriminator_width=4",
    "options.layers=2",
]  # fmt: skip

PLAIN = ["recipe.losses.adversarial=0"]


def config(folder: Path, *changes: str) -> TrainConfig:
    return load_config("ddcolor-mini", [*SMALL, *changes], str(folder))


def quiet() -> Console:
    return Console(file=open(os.devnull, "w"))  # noqa: PTH123


def run(settings: TrainConfig, out: Path, resume: bool = False) -> Outcome:
    return train(settings, out, resume=resume, device="cpu", console=quiet())


def losses(out: Path) -> dict[tuple[int, str], float]:
    return {(step, name): v for step, name, v in read_metrics(out / "metrics.csv") if name.startswith("loss/")}


@pytest.mark.slow
def test_ten_and_ten_more_steps_are_twenty(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(11)
    whole = config(folder, "schedule.warmup=5")
    run(whole, tmp_path / "whole")
    # A schedule depends on the length of the run, so the first half is cut short from outside, not shortened.
    half = Trainer(whole, tmp_path / "parts", "cpu")
    step = half.train_step

    def and_stop_after_ten(batches: list) -> None:
        step(batches)
        if half.step == 9:
            signal.raise_signal(signal.SIGTERM)

    half.train_step = and_stop_after_ten  # type: ignore[assignment, method-assign]
    half.code = [{"commit": "an earlier one"}]
    outcome = half.run(quiet())
    assert (outcome.step, outcome.finished) == (10, False)
    torch.rand(7)  # nothing may depend on the state of the generators
    assert run(whole, tmp_path / "parts", resume=True).finished
    expected, found = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert expected.keys() == found.keys()
    assert len(expected) == 20 * 4  # pixel, colourfulness, adversarial, discriminator
    assert max(abs(expected[key] - found[key]) for key in expected) < 1e-6
    states = [load(tmp_path / name / "checkpoints" / "step-00000020.pt") for name in ("whole", "parts")]
    for name, tensor in states[0]["average"].items():
        assert torch.allclose(tensor, states[1]["average"][name], atol=1e-6), name
    assert states[1]["code"] == [*half.code, *states[0]["code"]]


def in_processes(count: int, folder: Path, out: Path, *changes: str) -> None:
    settings = [f"--set={change}" for change in (*SMALL, *changes)]
    command = ["bench", "train", "ddcolor-mini", "--data", str(folder), "--out", str(out), "--device", "cpu", *settings]
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}", "-m"] if count > 1 else ["-m"]
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_make_the_same_run_as_one(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(11)
    changes = ["steps=5", "sync_batch_norm=true", "validation.every=5", "validation.limit=3", "validation.size=64"]
    changes += [f"validation.dataset=folder:{folder}", "schedule.warmup=0", "recipe.losses.colourfulness=0"]
    changes += ["recipe.generator.lr=0.005", "recipe.discriminator.lr=0.005", "clip=null"]
    in_processes(1, folder, tmp_path / "one", *changes)
    in_processes(2, folder, tmp_path / "two", *changes)
    still = ["recipe.generator.lr=1e-12", "recipe.discriminator.lr=1e-12"]
    run(config(folder, *changes, "validation.every=0", *still), tmp_path / "still")
    expected, found, untrained = (losses(tmp_path / name) for name in ("one", "two", "still"))
    assert expected.keys() == found.keys()
    assert len(expected) == 5 * 3  # pixel, adversarial, discriminator
    learnt = max(abs(untrained[key] / value - 1) for key, value in expected.items())
    apart = max(abs(found[key] / value - 1) for key, value in expected.items())
    assert learnt > 0.02
    assert apart < learnt / 20  # so that updates that differ would show
    numbers = [
        {
            name: value
            for _, name, value in read_metrics(tmp_path / run / "metrics.csv")
            if name.startswith("validation/")
        }
        for run in ("one", "two")
    ]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-2)
    assert numbers[0]["validation/psnr"] > 10


def test_accumulated_parts_give_the_gradient_of_the_whole(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(8)
    # Without batch norm, which sees the parts: lab-diffusion has none.
    curves = []
    for parts in (1, 2):
        settings = load_config(
            "lab-diffusion-mini",
            [*SMALL_OF_ANY, "steps=3", f"accumulate={parts}", "data.size=64", "augment.size=64", "ema=null"],
            str(folder),
        )
        run(settings, tmp_path / str(parts))
        curves.append(losses(tmp_path / str(parts)))
    assert curves[0].keys() == curves[1].keys()
    for key, value in curves[0].items():
        assert curves[1][key] == pytest.approx(value, rel=1e-4), key


def test_a_loss_that_is_not_a_number_stops_the_run_and_says_where(photographs: Photographs, tmp_path: Path) -> None:
    settings = config(photographs(8), "steps=6", "checkpoints.every=2")
    trainer = Trainer(settings, tmp_path / "run", "cpu")
    step = trainer.train_step

    def and_break_the_weights(batches: list) -> None:
        if trainer.step == 3:
            with torch.no_grad():
                next(trainer.recipe.model.parameters()).fill_(float("nan"))
        step(batches)

    trainer.train_step = and_break_the_weights  # type: ignore[assignment, method-assign]
    with pytest.raises(DivergenceError, match=r"step 4: the loss term 'pixel' is nan.*step-00000002\.pt"):
        trainer.run(quiet())
    assert [path.name for path in trainer.checkpoints.paths()] == ["step-00000002.pt"]


def test_no_checkpoint_holds_weights_that_are_none(photographs: Photographs, tmp_path: Path) -> None:
    """A gradient can be NaN where the loss is not; the next loss, which would tell, comes after the checkpoint."""
    trainer = Trainer(config(photographs(8), "steps=6", "checkpoints.every=2", *PLAIN), tmp_path / "run", "cpu")
    bias = dict(trainer.recipe.model.named_parameters())["refine.bias"]
    bias.register_hook(lambda gradient: gradient * torch.nan if trainer.step == 3 else gradient)
    with pytest.raises(DivergenceError, match=r"step 4: the weights of 'model' and .*'average'.*step-00000002\.pt"):
        trainer.run()
    assert [path.name for path in trainer.checkpoints.paths()] == ["step-00000002.pt"]


def test_the_advice_after_a_divergence_can_be_followed(photographs: Photographs, tmp_path: Path) -> None:
    folder, out = photographs(8), tmp_path / "run"
    same = [*PLAIN, "schedule.kind=constant", "schedule.warmup=0"]
    run(config(folder, "steps=1", *same), out)
    advised = [*same, "steps=2", "clip=0.5", "recipe.generator.lr=0.000125"]
    with pytest.raises(ConfigError, match=r"another run \(recipe"):
        run(config(folder, *advised, "recipe.generator.weight_decay=0.1"), out, resume=True)
    assert run(config(folder, *advised), out, resume=True).finished
    rates = [value for _, name, value in read_metrics(out / "metrics.csv") if name == "learning rate/generator"]
    assert rates == pytest.approx([1e-3, 0.000125])


def test_a_silent_run_writes_its_numbers_too(photographs: Photographs, tmp_path: Path) -> None:
    settings = config(photographs(8), "steps=2", "log.grid_every=2", "recipe.losses.adversarial=1")
    train(settings, tmp_path / "run", device="cpu")
    names = {name for _, name, _ in read_metrics(tmp_path / "run" / "metrics.csv")}
    assert {"loss/pixel", "images/s", "learning rate/generator", "learning rate/discriminator"} <= names
    assert (tmp_path / "run" / "pictures" / "step-00000002.png").is_file()


def test_sizes_that_a_network_cannot_take_are_refused(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    with pytest.raises(ConfigError, match=r"augment\.size 40: .* multiples of 32"):
        Trainer(config(folder, "augment.size=40"), tmp_path / "a", "cpu")
    with pytest.raises(ConfigError, match=r"augment\.size 64: .* multiples of 128"):
        Trainer(load_config("pix2pix-mini", ["augment.size=64"], str(folder)), tmp_path / "b", "cpu")
    with pytest.raises(ConfigError, match="discriminator needs at least 64 x 64"):
        run(config(folder, "augment.size=32", "batch_size=2"), tmp_path / "c")


def test_a_folder_with_a_run_is_not_overwritten(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(8)
    run(config(folder, "steps=1"), tmp_path / "run")
    with pytest.raises(ConfigError, match="--resume"):
        run(config(folder, "steps=1"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"another run \(batch_size: 4 then, 2 now\)"):
        run(config(folder, "steps=2", "batch_size=2"), tmp_path / "run", resume=True)
    assert run(config(folder, "steps=2"), tmp_path / "run", resume=True).step == 2


def test_skipped_photographs_are_named(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(6)
    (folder / "broken.png").write_bytes((folder / "photo0000.png").read_bytes()[:300])
    outcome = run(config(folder, "steps=4"), tmp_path / "run")
    assert outcome.step == 4
    assert list(outcome.skipped) == ["broken.png"]
    assert "damaged" in outcome.skipped["broken.png"]
