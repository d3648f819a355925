from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.speed.training import compare, measure, without_files
from bench.training.config import load_config, train_config_names
from bench.training.data import PREFETCH, Decoder
from bench.training.recipe import Batch
from bench.training.sources import Encoded
from bench.training.trainer import Trainer


@pytest.mark.slow
def test_the_table_holds_what_was_measured(photographs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    train_step = Trainer.train_step

    def watched(self: Trainer, batches: list[Batch]) -> None:
        steps.append(len(batches[0].rgb))
        train_step(self, batches)

    monkeypatch.setattr(Trainer, "train_step", watched)
    screen = Console(file=io.StringIO(), width=200)
    found = compare(
        ["iizuka-mini"], str(photographs(4)), steps=1, batch_size=2, device="cpu", workers=0, console=screen
    )
    assert [(f.model, f.size, f.batch_size, f.left_out) for f in found] == [("iizuka-mini", 128, 2, ())]
    assert steps == [2] * 12  # thrice, three untimed and one timed
    assert min(found[0].eager, found[0].settings, found[0].with_data) > 0
    assert 0 < found[0].waiting < 1
    assert found[0].memory_mb is None
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "iizuka-mini" in printed
    assert "was timed with" not in printed


@pytest.mark.slow
def test_parts_that_were_decoded_ahead_do_not_hide_slow_decoding(
    photographs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the clock starts, more parts lie ready than steps are timed; and a step takes no time."""
    decode = Decoder.__call__

    def slow(self: Decoder, encoded: Encoded) -> torch.Tensor:
        time.sleep(0.05)
        return decode(self, encoded)

    def train_step(self: Trainer, batches: list[Batch]) -> None:
        if self.step == 2:
            time.sleep(1.0)  # twice what the parts decoded ahead take

    monkeypatch.setattr(Decoder, "__call__", slow)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    steps = 3
    assert steps < PREFETCH
    found = measure("iizuka-mini", str(photographs(4)), steps, batch_size=2, device="cpu", workers=1)
    assert found.with_data < 35  # at most 6 photographs in the 0.2 s that four take; the first part was begun before
    assert found.waiting > 0.5


@pytest.mark.parametrize("name", train_config_names())
def test_no_configuration_needs_files_to_be_timed(name: str) -> None:
    recipe = load_config(name, without_files(name)).recipe
    assert recipe.get("encoder", "random") == "random"
    assert recipe.get("losses", {}).get("perceptual", 0) == 0


def test_the_table_says_what_was_left_out() -> None:
    assert without_files("ddcolor") == ("recipe.losses.perceptual=0", "recipe.encoder=random")
    assert without_files("iizuka") == ("recipe.losses.classification=0",)
    assert without_files("ddcolor-mini") == ()  # has neither term
    assert without_files("eccv16") == ()
