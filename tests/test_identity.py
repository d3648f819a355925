"""A stale Run must never answer: whatever changes the colours changes the identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import torch

import bench
from bench.colorizer import Colorizer
from bench.identity import identify
from bench.registry import card_of


def digest(model: Colorizer) -> str:
    return identify(model).digest


def test_tensors_and_plain_attributes_count_even_after_loading() -> None:
    model = bench.load_model("eccv16-mini", weights="random", device="cpu")
    before = digest(model)
    assert digest(bench.load_model("eccv16-mini", weights="random", device="cpu")) == before
    model.temperature = 0.01
    assert digest(model) != before
    model.temperature = 0.38
    assert digest(model) == before
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert digest(model) != before


def test_sampling_options_count() -> None:
    few, many = (bench.load_model("lab-diffusion-mini", "random", "cpu", steps=steps) for steps in (2, 10))
    assert digest(few) != digest(many)


def test_every_source_of_the_model_s_package_counts(tmp_path: Path) -> None:
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "core.py").write_text("SCALE = 1.0\n")
    (package / "model.py").write_text(
        dedent("""
        from bench.colorizer import Colorizer
        from mypackage.core import SCALE
        class Mine(Colorizer):
            def forward(self, lightness, hints=None, generator=None):
                return (lightness * SCALE).repeat(1, 2, 1, 1)
        """)
    )
    code = "from mypackage.model import Mine; from bench.identity import identify; print(identify(Mine()).source)"

    def source() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    before = source()
    assert len(before.strip()) == 12
    (package / "core.py").write_text("SCALE = 2.0\n")
    assert source() != before


def test_parameters_are_those_of_the_network_as_built() -> None:
    whole, half = (
        identify(bench.load_model("ddcolor-mini", "random", "cpu", **options)).record.parameters
        for options in ({}, {"color_decoder": False})
    )
    assert whole == card_of("ddcolor-mini").parameters
    assert half is not None
    assert half < 1_200_000
