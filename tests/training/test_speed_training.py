from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench.speed.training import compare
from bench.training.config import train_config_names
from bench.training.trainer import Outcome, Trainer


def test_the_table_holds_what_was_measured(photographs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[Outcome] = []
    run = Trainer.run

    def watched(self: Trainer, console: Console | None = None) -> Outcome:
        whole.append(run(self, console))
        return whole[-1]

    monkeypatch.setattr(Trainer, "run", watched)
    screen = Console(file=io.StringIO(), width=200)
    found = compare(
        ["iizuka-mini"], str(photographs(4)), steps=1, batch_size=2, device="cpu", workers=0, console=screen
    )
    assert [(f.model, f.size, f.batch_size) for f in found] == [("iizuka-mini", 128, 2)]
    assert found[0].eager > 0
    assert found[0].settings > 0
    assert (found[0].whole, found[0].waiting) == (whole[0].images_per_second, whole[0].waiting)
    assert whole[0].step == 4
    assert found[0].whole > 0
    assert "iizuka-mini" in screen.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", train_config_names())
def test_no_configuration_needs_files_to_be_timed(name: str) -> None:
    from bench.speed.training import _stripped
    from bench.training.config import load_config

    recipe = load_config(name, _stripped(name)).recipe
    assert recipe.get("encoder", "random") == "random"
    assert recipe.get("losses", {}).get("perceptual", 0) == 0
