"""The document that says how to add a model keeps its promise."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.colorizer import Colorizer, Hints, colorize, predict_chroma
from bench.errors import HintsError
from bench.registry import build, card_of

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "adding-a-model.md"
EXAMPLE = ROOT / "docs" / "examples" / "tinted.py"
REFERENCE = "docs/examples/tinted.py:Tinted"


@pytest.fixture
def tinted(monkeypatch: pytest.MonkeyPatch) -> Colorizer:
    monkeypatch.chdir(ROOT)
    return build(REFERENCE)


def test_the_document_shows_the_file_that_is_run() -> None:
    text = DOCUMENT.read_bytes().decode()
    first = re.search(r"```python\n(.*?)```\n", text, flags=re.DOTALL)
    assert first is not None
    assert first[1].encode() == EXAMPLE.read_bytes()
    assert first[1].count("\n") < 30
    assert f"bench run --model {REFERENCE} --dataset samples" in text


def test_the_entry_point_of_the_document_names_the_class() -> None:
    section = '[project.entry-points."bench.models"]\n'
    assert section + 'Tinted = "tinted:Tinted"\n' in DOCUMENT.read_text(encoding="utf-8")
    assert section in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_an_installed_package_is_listed(tmp_path: Path) -> None:
    """What `pip install` leaves behind: the module and its entry points."""
    shutil.copy(EXAMPLE, tmp_path)
    metadata = tmp_path / "tinted-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tinted\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[bench.models]\nTinted = tinted:Tinted\n")
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    shown = subprocess.run(
        [sys.executable, "-m", "bench", "models", "Tinted"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Toned print" in shown.stdout


def test_its_source_can_be_found(tinted: Colorizer) -> None:
    """A Run records which code it measured."""
    assert Path(inspect.getsourcefile(type(tinted)) or "").samefile(EXAMPLE)


def test_its_card_is_read_from_the_file(tinted: Colorizer) -> None:
    card = card_of(REFERENCE)
    assert card.title == "Toned print"
    assert card.parameters == sum(p.numel() for p in tinted.parameters())


@torch.inference_mode()
def test_it_colours(tinted: Colorizer) -> None:
    lightness = torch.rand(2, 1, 33, 47, generator=torch.Generator().manual_seed(0)) * 100
    ab = predict_chroma(tinted, lightness)
    assert ab.shape == (2, 2, 33, 47)
    grays = np.linspace(0, 100, 11)
    for channel, strength in enumerate((6, 18)):
        expected = np.interp(lightness[:, 0].numpy(), grays, strength * np.sin(np.pi * grays / 100))
        np.testing.assert_allclose(ab[:, channel], expected, atol=1e-4)
    gray = np.linspace(0, 255, 64, dtype=np.uint8)[None].repeat(40, axis=0)
    coloured = np.asarray(colorize(tinted, gray)).astype(int)
    assert coloured.shape == (40, 64, 3)
    assert (coloured[20, 32, 0] > coloured[20, 32, 1] > coloured[20, 32, 2]).all()  # sepia: red, then green, then blue


def test_it_refuses_hints(tinted: Colorizer) -> None:
    with pytest.raises(HintsError):
        tinted(torch.zeros(1, 1, 8, 8), Hints(torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)))
