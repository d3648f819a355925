"""Runs and plans on the terminal; names from the disk may look like markup and are shown as they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

import bench
from bench.datasets import open_dataset
from bench.evaluation import Settings
from bench.matrix import Plan
from bench.predictions import Predictions
from bench.protocol import Preprocessing, Protocol
from bench.runs import Estimate, Run
from bench.tables.terminal import print_plan, print_results

Photographs = Callable[..., Path]
PROTOCOL = Protocol(
    name="own",
    description="",
    preprocessing=Preprocessing(crop="none", size=32, resample="bicubic"),
    metrics=["psnr"],
)


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=300, highlight=False)


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.fixture
def run(photographs: Photographs, tmp_path: Path) -> Run:
    """Of images coloured elsewhere; seven of eight photographs cannot be measured."""
    folder = photographs(1, name="photos[bold]")
    for name in ("a[/b].png", "broken [draft].png", *(f"{i}.png" for i in range(4))):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no photograph")
    (folder / "gone [").mkdir()
    (folder / "gone [" / "x].png").symlink_to(tmp_path / "nowhere.png")
    coloured = tmp_path / "system [v2]"
    coloured.mkdir()
    for path in folder.rglob("*.png"):
        target = coloured / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(target)
    return bench.evaluate(
        Predictions(coloured),
        f"folder:{folder}",
        PROTOCOL,
        device="cpu",
        store=tmp_path / "runs",
        settings=Settings(workers=0),
    )


def test_results_show_names_and_reasons_as_they_are(run: Run, screen: Console) -> None:
    assert len(run.failures) == 7
    metrics = run.metrics | {"fid": Estimate(reason="no file [weights/fid]")}
    order = sorted(run.failures, key=lambda failure: "[" not in failure.name)
    print_results([run.model_copy(update={"metrics": metrics, "failures": tuple(order)})], screen)
    text = printed(screen)
    for expected in (
        "folder:photos[bold]/all",
        "system [v2] (incomplete",
        "not measured: fid – no file [weights/fid]",
        "own (",
        "folder:photos[bold]: a[/b].png was not measured: ",
        "folder:photos[bold]: broken [draft].png was not measured: ",
        "folder:photos[bold]: gone [/x].png was not measured: ",
        "folder:photos[bold]: and 2 more, see result.json",
    ):
        assert expected in text, text


def test_a_plan_shows_names_as_they_are(photographs: Photographs, tmp_path: Path, screen: Console) -> None:
    dataset = open_dataset(f"folder:{photographs(1, name='photos[bold]')}")
    print_plan(Plan(["dir[x]/net.py:Net"], [dataset], PROTOCOL, "w[/x].pth", Predictions(tmp_path / "s[v2]")), screen)
    for expected in ("dir[x]/net.py:Net", "w[/x].pth", "folder:photos[bold]/all", "own (", "s[v2]"):
        assert expected in printed(screen)
