"""What a run exports is what the rest of the suite reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

import bench
from bench.checkpoints import read_state_dict
from bench.cli import main
from bench.environment import code_version
from bench.errors import ConfigError, WeightsError
from bench.loading import load_model
from bench.registry import build
from bench.training.checkpoint import load
from bench.training.config import load_config, train_config_names
from bench.training.export import export
from bench.training.trainer import Trainer, train

Photographs = Callable[..., Path]
STOCHASTIC = {"lab-diffusion-mini"}
MINIS = [name for name in train_config_names() if name.endswith("-mini")]

FAST = ("schedule.warmup=0", "recipe.generator.lr=0.02")  # far enough that an average of singular vectors is none


def trained(name: str, folder: Path, out: Path, *changes: str) -> Path:
    """A run of two steps, with statistics of batch norm that are not those of the beginning."""
    side = 128 if name == "pix2pix-mini" else 64
    quick = [
        "steps=2",
        "batch_size=2",
        f"data.size={side}",
        f"augment.size={side}",
        "data.workers=0",
        "validation.every=0",
    ]
    quick += ["log.grid_every=0", "log.tensorboard=false"]
    train(load_config(name, [*quick, *changes], str(folder)), out, device="cpu")
    return out


def test_safetensors_are_the_averaged_weights_folded(photographs: Photographs, tmp_path: Path) -> None:
    run = trained("ddcolor-mini", photographs(4), tmp_path / "run", "options.layers=2", "ema=0.5")
    path = export(run, tmp_path / "weights.safetensors")
    content = load(run / "checkpoints" / "step-00000002.pt")
    expected = build("ddcolor-mini", layers=2)
    expected.load_state_dict(content["average"])
    model = load_model("ddcolor-mini", path, device="cpu", layers=2)
    lightness = torch.rand(1, 1, 64, 64) * 100
    with torch.inference_mode():
        assert (model(lightness) - expected.eval()(lightness)).abs().max() < 1e-4
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["training"])
        assert not any("weight_orig" in key for key in file.keys())  # noqa: SIM118
    assert facts["step"] == 2
    assert (facts["config"]["model"], facts["config"]["options"]) == ("ddcolor-mini", {"layers": 2})
    assert facts["config"]["data"]["path"] == "photos"
    assert [version["digest"] for version in facts["code"]] == [code_version().digest]
    assert str(tmp_path).encode() not in path.read_bytes()
    assert export(run, tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    half = export(run, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    assert load_model("ddcolor-mini", half, device="cpu", layers=2).provenance is not None


def test_averaged_weights_are_folded_by_their_own_largest_singular_value(
    photographs: Photographs, tmp_path: Path
) -> None:
    run = trained("ddcolor-mini", photographs(4), tmp_path / "run", "options.layers=2", "ema=0.9", *FAST)
    average = load(run / "checkpoints" / "step-00000002.pt")["average"]
    exported = read_state_dict(export(run, tmp_path / "weights.safetensors"))
    keys = [key.removesuffix("_orig") for key in average if key.endswith("weight_orig")]
    assert len(keys) > 5
    for key in keys:
        matrix = average[f"{key}_orig"].flatten(1)
        assert average[f"{key}_u"].norm() == pytest.approx(1, abs=1e-5)
        sigma = average[f"{key}_u"] @ matrix @ average[f"{key}_v"]
        assert float(sigma) == pytest.approx(float(torch.linalg.svdvals(matrix)[0]), rel=2e-3), key
        assert float(torch.linalg.svdvals(exported[key].flatten(1))[0]) == pytest.approx(1, abs=2e-3), key


def test_training_starts_from_exported_weights_with_spectral_norm(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(4)
    run = trained("ddcolor-mini", folder, tmp_path / "run", "options.layers=2", "ema=0.9", *FAST)
    file = export(run, tmp_path / "weights.safetensors")
    exported = load_model("ddcolor-mini", file, device="cpu", layers=2)
    changes = ["data.size=64", "augment.size=64", "options.layers=2", "validation.every=0", f"start_from={file}"]
    model = Trainer(load_config("ddcolor-mini", changes, str(folder)), tmp_path / "next", "cpu").recipe.model.eval()
    assert sum(key.endswith("weight_orig") for key in model.state_dict()) > 5
    lightness = torch.rand(1, 1, 64, 64) * 100
    with torch.inference_mode():
        expected, found = exported(lightness), model(lightness)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MINIS if name not in STOCHASTIC])
def test_onnx_agrees_with_torch(name: str, photographs: Photographs, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    changes = {"iizuka-mini": ["recipe.losses.classification=0"]}.get(name, [])
    run = trained(name, photographs(4), tmp_path / "run", *changes)
    side = 128 if name == "pix2pix-mini" else 64
    session = onnxruntime.InferenceSession(export(run, tmp_path / "model.onnx", size=side))
    model = load_model(name, export(run, tmp_path / "model.safetensors"), device="cpu")
    for count in (1, 3):
        lightness = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(count)) * 100
        with torch.inference_mode():
            expected = model(lightness).numpy()
        found = session.run(["ab"], {"lightness": lightness.numpy()})[0]
        assert np.abs(found - expected).max() < 1e-4 * max(1.0, float(np.abs(expected).max()))
    assert json.loads(session.get_modelmeta().custom_metadata_map["training"])["config"]["model"] == name
    content = (tmp_path / "model.onnx").read_bytes()
    assert str(tmp_path).encode() not in content
    assert str(Path(bench.__file__).parents[1]).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content


def test_what_cannot_be_exported_says_why(photographs: Photographs, tmp_path: Path) -> None:
    run = trained("lab-diffusion-mini", photographs(4), tmp_path / "run")
    with pytest.raises(ConfigError, match="draws its colours in many steps"):
        export(run, tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match=r"\.safetensors or \.onnx"):
        export(run, tmp_path / "model.bin")
    with pytest.raises(ConfigError, match=r"--half is for \.safetensors alone"):
        export(run, tmp_path / "model.onnx", half=True)
    with pytest.raises(ConfigError, match=r"--size is for \.onnx alone"):
        export(run, tmp_path / "model.safetensors", size=64)
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        export(tmp_path, tmp_path / "model.safetensors")


def test_the_best_weights_are_exported_unless_the_last_are_asked_for(photographs: Photographs, tmp_path: Path) -> None:
    folder, out = photographs(4), tmp_path / "run"
    changes = ["steps=3", "batch_size=2", "data.size=64", "augment.size=64", "data.workers=0", "log.grid_every=0"]
    changes += ["validation.every=1", "validation.limit=1", "validation.size=64", 'validation.metrics=["psnr"]']
    trainer = Trainer(load_config("iizuka-mini", changes, str(folder)), out, "cpu")
    assert trainer.validation is not None
    scores = iter([20.0, 22.0, 21.0])
    trainer.validation.measure = lambda *_: {"psnr": next(scores)}  # type: ignore[method-assign]
    trainer.run()
    for last, step in ((False, 2), (True, 3)):
        file = tmp_path / f"{step}.safetensors"
        arguments = ["export", str(out), "--to", str(file), *(["--last"] if last else [])]
        assert CliRunner().invoke(main, arguments).exit_code == 0
        with safe_open(file, "pt") as opened:
            assert json.loads(opened.metadata()["training"])["step"] == step


def test_validation_measures_the_weights_with_bench_evaluate(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(4)
    changes = ["steps=2", "batch_size=2", "data.size=64", "augment.size=64", "data.workers=0", "log.grid_every=1"]
    changes += ["validation.every=2", "validation.limit=2", "validation.size=64", f"validation.dataset=folder:{folder}"]
    out = tmp_path / "run"
    trainer = Trainer(load_config("eccv16-mini", changes, str(folder)), out, "cpu")
    trainer.run()
    weights = export(out, tmp_path / "w.safetensors")
    arguments = [
        "run",
        "-m",
        "eccv16-mini",
        "--weights",
        str(weights),
        "-d",
        f"folder:{folder}",
        "--limit",
        "2",
        "--json",
    ]
    protocol = tmp_path / "p.yaml"
    protocol.write_text("name: p\npreprocessing: {crop: center, size: 64}\nmetrics: [psnr]\n")
    arguments += ["--protocol", str(protocol), "--device", "cpu", "--out", str(tmp_path / "runs"), "--samples", "0"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    measured = measured[0] if isinstance(measured, list) else measured
    assert trainer.validated.best == pytest.approx(measured["metrics"]["psnr"]["value"], abs=1e-6)


def test_safetensors_are_recognised_whatever_the_length_of_their_header(tmp_path: Path) -> None:
    """The first byte of a file is the lowest of that length, and 0x80 is also how a pickle begins."""
    first_bytes = set()
    for length in range(0, 256, 8):
        path = tmp_path / "weights.safetensors"
        save_file({"weight": torch.ones(2)}, path, metadata={"note": "x" * length})
        first_bytes.add(path.read_bytes()[0])
        assert read_state_dict(path)["weight"].tolist() == [1, 1]
    assert 0x80 in first_bytes
