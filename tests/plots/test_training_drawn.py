"""Curves of trainings: what is drawn is what metrics.csv says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.plots.training import training_curves

LOSSES = [5.0, 3.0, 4.0, 2.0, 1.0]


def training(folder: Path, lines: str = "", scale: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    rows = [f"{100 * (i + 1)},loss/pixel,{scale * loss}" for i, loss in enumerate(LOSSES)]
    rows += ["100,images/s,33.0", "100,learning rate,0.0001", "500,learning rate,5e-05"]
    rows += ["250,validation/psnr,21.5", "500,validation/psnr,22.5"]
    (folder / "metrics.csv").write_text("step,name,value\n" + "\n".join(rows) + "\n" + lines)
    return folder


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def curve(axes: Axes, place: int = 0) -> list[list[float]]:
    return np.asarray(axes.lines[place].get_xydata()).tolist()


def test_losses_numbers_and_learning_rate_are_those_of_the_file(tmp_path: Path) -> None:
    axes = panels(training_curves([training(tmp_path / "run")]))
    assert list(axes) == ["pixel loss", "validation PSNR (dB) ↑", "learning rate"]
    assert curve(axes["pixel loss"]) == [[100.0 * (i + 1), loss] for i, loss in enumerate(LOSSES)]
    assert curve(axes["validation PSNR (dB) ↑"]) == [[250, 21.5], [500, 22.5]]
    assert curve(axes["learning rate"]) == [[100, 1e-4], [500, 5e-5]]


def test_a_smoothed_loss_is_an_exponential_mean(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    losses = np.random.default_rng(0).normal(3, 1, 200).tolist()
    rows = "\n".join(f"{i},loss/pixel,{loss}" for i, loss in enumerate(losses))
    (folder / "metrics.csv").write_text(f"step,name,value\n{rows}\n")
    axes = panels(training_curves([folder]))["pixel loss"]
    keep, expected, weight = 1 - 2 / (200 / 20 + 1), 0.0, 0.0
    for loss in losses:
        expected, weight = keep * expected + loss, keep * weight + 1
    assert curve(axes, 1)[-1] == pytest.approx([199, expected / weight])
    assert curve(axes, 0)[-1] == [199, losses[-1]]


def test_several_trainings_are_overlaid_and_told_apart(tmp_path: Path) -> None:
    one = training(tmp_path / "seed0" / "run")
    two = training(tmp_path / "seed1" / "run", scale=2)
    figure = training_curves([one, two])
    axes = panels(figure)["pixel loss"]
    assert len(axes.lines) == 4
    assert axes.lines[0].get_color() != axes.lines[2].get_color()
    assert curve(axes, 2)[0] == [100, 10]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seed0/run", "seed1/run"]


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    axes = panels(training_curves([training(tmp_path / "run", "600,loss/pix")]))
    assert list(axes) == ["pixel loss", "validation PSNR (dB) ↑", "learning rate"]
    assert len(curve(axes["pixel loss"])) == len(LOSSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no metrics.csv. Expected the folder of a training: bench train"),
        ("", "cannot be read"),
        ("a,b\n1,2\n", "has the columns a, b. Expected step, name, value"),
        ("step,name,value\n", "no losses and no numbers yet"),
        ("step,name,value\n1,images/s,3\n", "no losses and no numbers yet"),
    ],
)
def test_a_folder_without_curves_says_what_is_wrong(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(BenchError, match=message):
        training_curves([tmp_path])
