"""The script of the mini benchmark: no photograph to measure on is trained on, and the cards say what was done."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import pandas as pd
import pytest
import torch
import yaml
from click.testing import CliRunner
from made_runs import made
from mini_benchmark import ABLATIONS, BUDGETS, MODELS, OWN, code_of, describe
from mini_results import of_shipped_weights, publish, written
from near_duplicates import refuse_copies
from PIL import Image, ImageFilter, ImageOps
from safetensors.torch import save_file

from bench.ablations.config import load_ablation, members
from bench.cli import main
from bench.datasets import open_dataset
from bench.errors import BenchError
from bench.registry import Weights, card_of, model_names
from bench.runs import Store
from bench.suites.config import load_suite
from bench.training.config import load_config

Photographs = Callable[..., Path]


def shard(folder: Path, *photos: Image.Image) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "train-000000.tar", "w") as tar:
        for i, photo in enumerate(photos):
            buffer = io.BytesIO()
            photo.save(buffer, "WEBP", quality=80)
            entry = tarfile.TarInfo(f"{i:06d}.webp")
            entry.size = len(buffer.getvalue())
            tar.addfile(entry, io.BytesIO(buffer.getvalue()))
    return folder


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A data root with what is called ADE20K, and nothing else to measure on."""
    target = tmp_path / "data" / "ade20k" / "images" / "validation"
    target.mkdir(parents=True)
    samples = {path.stem: path for path in open_dataset("samples").paths}
    for i, path in enumerate((samples[name] for name in ("astronaut", "chelsea", "coffee", "china")), 1):
        Image.open(path).convert("RGB").resize((256, 256)).save(target / f"ADE_val_{i:08d}.jpg", quality=95)
    return tmp_path / "data"


def originals(root: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(root.glob("ade20k/images/validation/*.jpg"))]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_smaller_blurred_copy_is_found(mirrored: bool, measured: Path, tmp_path: Path) -> None:
    copied = originals(measured)[2].resize((144, 144), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.7))
    copied = ImageOps.mirror(copied) if mirrored else copied
    other = Image.effect_noise((144, 144), 60).convert("RGB")
    data = shard(tmp_path / "train", other, copied)
    with pytest.raises(click.ClickException, match=r"000001\.webp is ade20k: ADE_val_00000003\.jpg") as raised:
        refuse_copies(data, ["coco", "ade20k"], measured)
    assert "000000.webp" not in str(raised.value)


def test_other_photographs_pass(measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = [photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM) for photo in originals(measured)]
    refuse_copies(shard(tmp_path / "train", *turned), ["coco", "ade20k"], measured)
    assert f"none of {len(turned)} photographs" in capsys.readouterr().out


# What models learn by is their own; so is the side in pixels where the network cannot do with that of the others.
OWN_KEYS = {"model", "options", "recipe", "schedule", "clip"}
LARGER = {"pix2pix-mini"}


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_mini_model_is_trained_alike(budget: str) -> None:
    assert set(MODELS) == {name for name in model_names() if name.endswith("-mini")}
    shared = {}
    for model in MODELS:
        settings = {**BUDGETS[budget], **OWN[budget].get(model, {})}
        config = load_config(model, [f"{key}={value}" for key, value in settings.items()], "photographs")
        shared[model] = config.model_dump(exclude=OWN_KEYS)
        if model in LARGER:
            shared[model]["data"]["size"] = shared["ddcolor-mini"]["data"]["size"]
            shared[model]["augment"]["size"] = shared["ddcolor-mini"]["augment"]["size"]
    for model, found in shared.items():
        assert found == shared["ddcolor-mini"], model


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_of_the_benchmark_are_those_of_the_package(name: str, tmp_path: Path) -> None:
    for steps in ABLATIONS[name].values():
        ablation = load_ablation(name).changed([f"steps={steps}"])
        assert {member.config.steps for member in members(ablation, tmp_path)} == {steps}
        assert "imagenet-sample" in ablation.datasets


def test_a_card_is_written_for_the_file_and_kept_while_it_is_the_same(tmp_path: Path) -> None:
    weights = tmp_path / "ddcolor-mini.safetensors"
    weights.write_bytes(b"first")
    describe(weights, "100 steps")
    facts = json.loads(weights.with_suffix(".json").read_text())
    assert (facts["sha256"], facts["bytes"]) == (hashlib.sha256(b"first").hexdigest(), 5)
    assert Weights(**facts).note == "100 steps"
    describe(weights, "a later call, which trained nothing")
    assert json.loads(weights.with_suffix(".json").read_text())["note"] == "100 steps"
    weights.write_bytes(b"second")
    describe(weights, "200 steps")
    assert json.loads(weights.with_suffix(".json").read_text())["note"] == "200 steps"


def test_pictures_are_kept_of_the_photographs_that_may_be_shown() -> None:
    assert load_suite("mini").pictures == ("samples",)


def test_runs_of_weights_that_were_replaced_are_not_published() -> None:
    (weights,) = card_of("iizuka-mini").weights
    assert of_shipped_weights(made("iizuka-mini", model__sha256=weights.sha256))
    assert not of_shipped_weights(made("iizuka-mini", model__sha256="0" * 64))
    assert of_shipped_weights(made("gray", model__sha256=None))


def test_nothing_is_published_of_other_weights_than_ship(tmp_path: Path) -> None:
    store = Store(tmp_path / "made" / "suite" / "runs")
    for run in (
        made("gray", model__sha256=None, dataset__name="samples"),
        made("iizuka-mini", model__sha256="0" * 64, dataset__name="samples"),
    ):
        store.write(run, pd.DataFrame({"index": [0], "name": ["a"]}))
    (tmp_path / "results" / "runs").mkdir(parents=True)
    with pytest.raises(BenchError, match=r"of iizuka-mini other weights ship than were measured.*--stage measure"):
        publish(tmp_path / "made", tmp_path / "results")
    assert (tmp_path / "results" / "runs").is_dir()


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ([("a" * 40, False)], "code of aaaaaaa"),
        ([("a" * 40, False), ("b" * 40, True)], "code of aaaaaaa and bbbbbbb with changes"),
        ([(None, None)], "code of an unknown commit"),
        ([], "code of an unknown commit"),
    ],
)
def test_the_card_names_the_code_that_trained(
    versions: list[tuple[str | None, bool | None]], told: str, tmp_path: Path
) -> None:
    training = {"code": [{"commit": commit, "dirty": dirty} for commit, dirty in versions]}
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", {"training": json.dumps(training)})
    assert code_of(tmp_path / "w.safetensors") == told


def test_ctrl_c_lets_the_training_save(tmp_path: Path) -> None:
    """Both get the signal; the script may not end, and so kill the training, before that has saved."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    (tmp_path / "bench" / "__main__.py").write_text(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (time.sleep(1.5), pathlib.Path('saved').touch(), exit(130)))\n"
        "pathlib.Path('begun').touch()\ntime.sleep(60)\n"
    )
    script = (
        "import pathlib, signal, mini_results\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"mini_results.ROOT = pathlib.Path({str(tmp_path)!r})\nmini_results.run_bench('train')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path / "bench",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "saved").exists()


def test_scores_are_written_as_the_tables_write_them() -> None:
    run = made(metrics={"psnr": (22.904, 22.61, 23.19), "ssim": 0.91963, "fid": "no Inception here"})
    assert written("psnr", run.metrics["psnr"]) == "22.90 ±0.29"
    assert written("ssim", run.metrics["ssim"]) == "0.9196"
    assert written("fid", run.metrics["fid"]) == "not measured"


def test_published_files_hold_what_may_be_shown(tmp_path: Path) -> None:
    suite = {
        "name": "mini", "title": "Mini", "models": ["gray", "iizuka-mini"], "datasets": ["samples"], "samples": 30,
        "plots": ["bars", "chroma"],
    }  # fmt: skip
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    out, target = tmp_path / "made" / "suite", tmp_path / "results"
    assert CliRunner().invoke(main, ["suite", str(tmp_path / "suite.yaml"), "--out", str(out)]).exit_code == 0
    (target / "training" / "kept").mkdir(parents=True)
    publish(tmp_path / "made", target)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert {"tables/results.md", "tables/results.csv", "tables/results.tex", "plots/bars.svg"} <= files
    assert {"plots/grid.jpg", "plots/chroma.png", "plots/psnr-cf.svg", "report.html"} <= files
    assert len([name for name in files if name.endswith("/result.json")]) == 2
    assert not [name for name in files if name.startswith("runs/") and not name.endswith("/result.json")]
    assert (target / "training" / "kept").is_dir()
    for name in files:
        assert str(tmp_path).encode() not in (target / name).read_bytes(), name
