"""The command line as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bench.cli import main
from bench.cli.options import RUNS_FOLDER
from bench.runs import RUNS

Photographs = Callable[..., Path]
FAST = ("--device", "cpu", "--workers", "0", "--samples", "0")


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models"], ["models", "ddcolor"], ["datasets"], ["weights", "list"]]
)
def test_help_and_listings_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        f"import sys; from bench.cli import main; main({arguments}, standalone_mode=False);"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 200


def test_options_before_a_verb_are_not_ignored(tmp_path: Path) -> None:
    done = bench("datasets", "--data-root", tmp_path, "check", "samples")
    assert done.exit_code == 2
    assert "datasets check` stand behind its name" in done.output
    assert bench("datasets", "check", "samples", "--data-root", tmp_path).exit_code == 0


def test_runs_are_written_where_they_are_looked_for() -> None:
    assert RUNS_FOLDER == RUNS


def test_run_prints_a_table_and_json(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    arguments = ("run", "-m", "gray,oracle", "-d", f"folder:{folder}", "--out", tmp_path / "runs", *FAST)
    table = bench(*arguments)
    assert table.exit_code == 0, table.output
    assert "PSNR" in table.output
    assert "not measured: fid" in table.output
    runs = json.loads(bench(*arguments, "--json").stdout)
    assert [run["model"]["name"] for run in runs] == ["gray", "oracle"]
    assert runs[0]["dataset"] | {"n": 2, "split": "all"} == runs[0]["dataset"]
    assert set(runs[0]["metrics"]["psnr"]) == {"value", "low", "high", "n", "reason"}
    assert runs[0]["metrics"]["fid"]["value"] is None
    assert runs[0]["metrics"]["fid"]["reason"]


def test_dry_run_measures_nothing(photographs: Photographs, tmp_path: Path) -> None:
    done = bench("run", "-m", "gray", "-d", f"folder:{photographs(2)}", "--dry-run", "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    assert "paper" in done.output
    assert not (tmp_path / "runs").exists()


def test_photographs_that_fail_are_told_by_the_exit_status(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    (folder / "broken.png").write_bytes(b"no photograph")
    done = bench("run", "-m", "gray", "-d", f"folder:{folder}", "--out", tmp_path / "runs", *FAST)
    assert done.exit_code == 3
    assert "incomplete" in done.output
    assert "broken.png" in done.output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "-m", "ddcolour", "-d", "samples"], "Did you mean ddcolor"),
        (["run", "-m", "gray", "-d", "cocoa"], "Did you mean coco"),
        (["run", "-m", "gray", "-d", "coco"], "--data-root"),
        (["run", "-m", "gray", "-d", "imagenet", "--split", "val5"], "val5k"),
        (["run", "-m", "gray", "-d", "samples", "--protocol", "papers"], "paper"),
        (["run", "-m", "ddcolor", "-d", "samples"], "bench weights fetch ddcolor"),
        (["run", "-m", "eccv16", "-d", "samples"], "weights"),
        (["run", "-m", "gray", "-d", "samples", "--device", "tpu"], "cpu"),
        (["run", "-m", "gray", "-d", "samples", "--hints", "3"], "takes no colour hints"),
        (["run", "-m", "gray", "-d", "samples", "--steps", "3"], "--steps"),
        (["run", "-d", "samples"], "--model"),
        (["run", "--predictions", "nowhere", "-d", "samples"], "nowhere"),
        (["models", "ddcolour"], "ddcolor"),
        (["weights", "fetch", "ddcolour"], "ddcolor"),
        (["datasets", "check", "coco"], "val2017"),
        (["colorize", "nowhere.jpg", "--out", "x"], "nowhere.jpg"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_mistakes_get_a_sentence(
    arguments: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = bench(*arguments)
    assert done.exit_code in (1, 2)
    assert hint in done.output
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_colorize_writes_full_resolution_png(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    (folder / "deeper").mkdir()
    Image.new("L", (301, 7), 120).save(folder / "deeper" / "strip.JPG")
    out = tmp_path / "out"
    done = bench("colorize", folder, "--model", "gray", "--out", out, "--device", "cpu")
    assert done.exit_code == 0, done.output
    written = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert written == ["deeper/strip.png", "photo0000.png", "photo0001.png"]
    assert Image.open(out / "deeper" / "strip.png").size == (301, 7)
    pixels = np.asarray(Image.open(out / "photo0000.png").convert("RGB")).astype(int)
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() <= 1


def test_colorize_skips_what_it_cannot_read(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(1)
    (folder / "broken.png").write_bytes(b"no photograph")
    done = bench("colorize", folder, "--model", "gray", "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 3
    assert "broken.png" in done.output
    assert (tmp_path / "out" / "photo0000.png").is_file()


def test_colorize_never_writes_two_photographs_to_one_file(photographs: Photographs, tmp_path: Path) -> None:
    one, two = photographs(1, name="one"), photographs(1, name="two")
    done = bench("colorize", one / "photo0000.png", two / "photo0000.png", "--model", "gray", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "both be written" in done.output


def test_colorize_honours_hints_and_samples_where_the_model_can(photographs: Photographs, tmp_path: Path) -> None:
    photo = photographs(1) / "photo0000.png"
    refused = bench("colorize", photo, "--model", "gray", "--hint", "3,4,#ff0000", "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "takes no colour hints" in refused.output
    same = bench("colorize", photo, "--model", "gray", "--samples", "2", "--out", tmp_path / "out")
    assert same.exit_code == 1
    assert "same colours" in same.output
    hinted = ("colorize", photo, "--model", "siggraph17-mini", "--weights", "random", "--out", tmp_path / "hinted")
    assert bench(*hinted, "--hint", "3,4,#ff0000", "--hint", "50,60,#00ff00").exit_code == 0
    assert (tmp_path / "hinted" / "photo0000.png").is_file()
    wrong = bench(*hinted, "--hint", "3;4;red")
    assert wrong.exit_code == 1
    assert "#RRGGBB" in wrong.output


@pytest.mark.slow
def test_diffusion_gives_different_colourings(photographs: Photographs, tmp_path: Path) -> None:
    photo, out = photographs(1) / "photo0000.png", tmp_path / "out"
    model = ("--model", "lab-diffusion-mini", "--weights", "random", "--steps", "2", "--sampler", "ddim")
    done = bench("colorize", photo, *model, "--samples", "2", "--out", out, "--device", "cpu")
    assert done.exit_code == 0, done.output
    first, second = (np.asarray(Image.open(out / f"photo0000-{k}.png")) for k in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_every_mini_model_gets_its_row(photographs: Photographs, tmp_path: Path) -> None:
    from bench.registry import model_names

    minis = [name for name in model_names() if name.endswith("-mini")]
    assert len(minis) >= 8
    verb = ("run", "-m", ",".join(minis), "-d", f"folder:{photographs(2)}", "--weights", "random", "--json", *FAST)
    done = bench(*verb, "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)
    assert [run["model"]["name"] for run in runs] == minis
    assert {run["model"]["source"] for run in runs} == {"random"}
    assert all(run["complete"] and run["metrics"]["psnr"]["value"] > 0 for run in runs)


def test_doctor_names_what_is_missing() -> None:
    done = bench("doctor")
    assert done.exit_code == 0, done.output
    assert "bench weights fetch inception-fid" in done.output
    assert "samples: 10 photographs" in done.output


def test_datasets_check_reads_every_file(photographs: Photographs) -> None:
    folder = photographs(3)
    good = bench("datasets", "check", f"folder:{folder}")
    assert good.exit_code == 0, good.output
    assert "digest" in good.output
    (folder / "broken.png").write_bytes(b"no photograph")
    bad = bench("datasets", "check", f"folder:{folder}")
    assert bad.exit_code == 3
    assert "broken.png" in bad.output
