"""Whoever asks a run to stop, and whenever: nothing is lost, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import BenchError
from bench.stopping import StopRequest
from bench.training.checkpoint import load
from bench.training.config import TrainConfig, load_config
from bench.training.logs import read_metrics
from bench.training.trainer import Trainer, train

Photographs = Callable[..., Path]
REPOSITORY = Path(__file__).parents[2]
TINY = [
    "options.widths=[4, 8, 8, 8]", "steps=6", "batch_size=2", "data.size=32", "augment.size=32", "data.workers=0",
    "log.every=1", "log.grid_every=0", "log.tensorboard=false", "checkpoints.every=1000", "validation.every=0",
]  # fmt: skip


def config(folder: Path, *changes: str) -> TrainConfig:
    return load_config("eccv16-mini", [*TINY, *changes], str(folder))


def validated(folder: Path, *changes: str) -> TrainConfig:
    how = ["validation.every=3", "validation.limit=2", "validation.size=32", "validation.metrics=[psnr]"]
    return config(folder, *how, f"validation.dataset=folder:{folder}", *changes)


def saved_steps(out: Path) -> list[int]:
    return sorted(load(path)["step"] for path in (out / "checkpoints").glob("step-*.pt"))


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """Whatever started the tests: in the background of a shell, a process is born deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_a_second_sigterm_changes_nothing_and_a_second_ctrl_c_interrupts() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def stopped_in_validation(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM arrives when validation has coloured its first photographs."""
    from bench.evaluation import _Job

    measure = _Job._measure

    def and_ask_to_stop(self: _Job, *arguments: Any) -> None:
        measure(self, *arguments)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(_Job, "_measure", and_ask_to_stop)
        outcome = trainer.run()
    assert not outcome.finished


@pytest.mark.parametrize("step", [3, 6])
def test_sigterm_during_validation_loses_nothing(
    step: int, photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = photographs(4), tmp_path / "run"
    settings = validated(folder, f"validation.every={step}")
    stopped_in_validation(Trainer(settings, out, "cpu"), monkeypatch)
    assert saved_steps(out) == [step]
    assert not (out / "checkpoints" / "best.pt").exists()
    assert train(settings, out, resume=True, device="cpu").finished
    train(settings, tmp_path / "unbroken", device="cpu")
    rows = [[row for row in read_metrics(run / "metrics.csv") if row[1] == "validation/psnr"] for run in
            (out, tmp_path / "unbroken")]  # fmt: skip
    assert [row[0] for row in rows[0]] == sorted({step, 6})  # what was cut short is measured, once
    assert [row[2] for row in rows[0]] == pytest.approx([row[2] for row in rows[1]], abs=1e-3)
    bests = [load(run / "checkpoints" / "best.pt")["step"] for run in (out, tmp_path / "unbroken")]
    assert bests[0] == bests[1]


def test_an_error_in_validation_loses_nothing(photographs: Photographs, tmp_path: Path) -> None:
    trainer = Trainer(validated(photographs(4)), tmp_path / "run", "cpu")
    assert trainer.validation is not None

    def full(*_: object) -> dict[str, float]:
        raise BenchError("the disk is full")

    trainer.validation.measure = full  # type: ignore[method-assign]
    with pytest.raises(BenchError, match="disk is full"):
        trainer.run()
    assert saved_steps(tmp_path / "run") == [3]


def test_the_best_value_outlives_an_interruption(photographs: Photographs, tmp_path: Path) -> None:
    folder, out = photographs(4), tmp_path / "run"
    scores = iter([20.0, 22.0, 21.0, 21.5])
    for steps in (2, 4):  # a longer run is the same run
        trainer = Trainer(validated(folder, f"steps={steps}", "validation.every=1"), out, "cpu")
        assert trainer.validation is not None
        trainer.validation.measure = lambda *_: {"psnr": next(scores)}  # type: ignore[method-assign]
        trainer.restore(resume=True)
        trainer.run()
    assert load(out / "checkpoints" / "best.pt")["step"] == 2


def test_several_processes_ask_each_other_often_enough(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(config(photographs(2), "log.every=100"), tmp_path / "run", "cpu")
    asked: list[int] = []
    monkeypatch.setattr("bench.training.trainer.any_process", lambda *_: asked.append(trainer.step))
    trainer.world = 2
    for trainer.step in range(1, 101):
        trainer._should_stop(StopRequest())
    assert asked == list(range(10, 101, 10))


@pytest.mark.slow
@pytest.mark.parametrize("launched", [False, True])
def test_sigterm_to_all_processes_saves_though_workers_decode(
    launched: bool, photographs: Photographs, tmp_path: Path
) -> None:
    """torchrun, Slurm and ``timeout`` signal the whole group, the decoding workers with it."""
    folder, out = photographs(8), tmp_path / "run"
    changes = [*TINY, "steps=100000", "data.workers=1"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if launched else []
    command = [
        sys.executable,
        *launcher,
        "-m",
        "bench",
        "train",
        "eccv16-mini",
        "--data",
        str(folder),
        "--out",
        str(out),
    ]
    command += ["--device", "cpu", *(f"--set={change}" for change in changes)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None:
            if (out / "metrics.csv").is_file() and len(read_metrics(out / "metrics.csv")) > 8:
                break
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGTERM)  # torchrun hands it on to the groups of its processes
        _, notes = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "DataLoader worker" not in notes, notes[-3000:]
    (step,) = saved_steps(out)
    assert 0 < step < 100000
    assert launched or process.returncode == 130
    assert train(config(folder, f"steps={step + 1}"), out, resume=True, device="cpu").step == step + 1


def test_the_checkpoint_of_the_last_step_is_written_once(photographs: Photographs, tmp_path: Path) -> None:
    trainer = Trainer(validated(photographs(4), "checkpoints.every=3"), tmp_path / "run", "cpu")
    written: list[int] = []
    save = trainer.checkpoints.save

    def counted(step: int, content: dict[str, torch.Tensor]) -> Path:
        written.append(step)
        return save(step, content)

    trainer.checkpoints.save = counted  # type: ignore[assignment, method-assign]
    trainer.run()
    assert written == [3, 6]
