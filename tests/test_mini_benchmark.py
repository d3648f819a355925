"""The script of the mini benchmark: no photograph to measure on is trained on, and the cards say what was done."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from made_runs import made
from mini_benchmark import ABLATIONS, BUDGETS, MODELS, OWN, describe
from mini_results import copy, of_shipped_weights, publish, written
from near_duplicates import refuse_copies
from PIL import Image, ImageFilter, ImageOps

from bench.ablations.config import load_ablation, members
from bench.cli import main
from bench.datasets import open_dataset
from bench.registry import Weights, card_of, model_names
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


def test_every_mini_model_is_trained_alike() -> None:
    assert set(MODELS) == {name for name in model_names() if name.endswith("-mini")}
    for budget, shared in BUDGETS.items():
        trained = []
        for model in MODELS:
            settings = {**shared, **OWN[budget].get(model, {})}
            config = load_config(model, [f"{key}={value}" for key, value in settings.items()], "photographs")
            trained.append((config.steps, config.batch_size, config.seed, config.ema))
        assert len(set(trained)) == 1


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


def test_copies_keep_their_folders(tmp_path: Path) -> None:
    (tmp_path / "from" / "a").mkdir(parents=True)
    (tmp_path / "from" / "a" / "result.json").write_text("{}")
    (tmp_path / "from" / "a" / "picture.png").write_text("")
    copy(tmp_path / "from", tmp_path / "to", "**/result.json")
    assert [path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*.*")] == [
        "a/result.json"
    ]


def test_runs_of_weights_that_were_replaced_are_not_published() -> None:
    (weights,) = card_of("iizuka-mini").weights
    assert of_shipped_weights(made("iizuka-mini", model__sha256=weights.sha256))
    assert not of_shipped_weights(made("iizuka-mini", model__sha256="0" * 64))
    assert of_shipped_weights(made("gray", model__sha256=None))


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
