"""``bench table`` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from made_runs import made, stored

from bench.cli import main


def table(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["table", *map(str, arguments)])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    other = {"dataset__name": "coco", "dataset__split": "val2017", "dataset__digest": "c" * 64}
    return stored(
        [
            made("ddcolor", {"psnr": (23.8, 23.7, 23.9), "cf": 38.0}),
            made("eccv16", {"psnr": (22.6, 22.5, 22.7), "cf": 31.0}, model__weights="release"),
            made("eccv16", {"psnr": 21.0}, **other),
            made("ddcolor", {"psnr": 20.0}, protocol__name="crop256", protocol__hash="0123456789ab"),
        ],
        tmp_path / "runs",
    )


def test_a_table_of_everything_has_a_sheet_per_protocol(runs: Path) -> None:
    done = table("--runs", runs)
    assert done.exit_code == 0, done.output
    assert done.output.count("Protocol ") == 2
    assert "Protocol crop256 (0123456789ab)" in done.output
    assert "23.80 ±0.10" in done.output
    assert "±" not in table("--runs", runs, "--no-intervals").output


def test_runs_and_columns_are_chosen_and_sorted(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "table.csv"
    done = table("--runs", runs, "--protocol", "paper", "--datasets", "imagenet", "--metrics", "psnr", "--sort", "psnr",
                 "--efficiency", "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(out)
    assert rows["number"].unique().tolist() == [
        "n",
        "psnr",
        "parameters",
        "macs",
        "latency",
        "images_per_second",
        "memory",
    ]
    assert rows["model"].unique().tolist() == ["ddcolor", "eccv16"]
    assert rows["dataset"].unique().tolist() == ["imagenet"]
    assert set(table("--runs", runs, "--models", "ecc*", "--format", "csv").output.split("\n")[1].split(",")) > {
        "eccv16"
    }


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("t.md", "**Protocol"),
        ("t.csv", "table,"),
        ("t.tex", "% needs"),
        ("t.html", "<!doctype"),
        ("t.txt", "Proto"),
    ],
)
def test_the_suffix_of_the_file_says_the_form(name: str, beginning: str, runs: Path, tmp_path: Path) -> None:
    done = table("--runs", runs, "--out", tmp_path / name)
    assert done.exit_code == 0, done.output
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)
    paper = table("paper", "--paper", "ddcolor", "--runs", runs, "--out", tmp_path / name)
    assert paper.exit_code == 0, paper.output
    assert "3.92" in (tmp_path / name).read_text(encoding="utf-8")


def test_the_format_option_goes_before_the_suffix(runs: Path, tmp_path: Path) -> None:
    assert table("--runs", runs, "--format", "md", "--out", tmp_path / "t.txt").exit_code == 0
    assert (tmp_path / "t.txt").read_text(encoding="utf-8").startswith("**Protocol")
    assert table("--runs", runs, "--format", "md").output.startswith("**Protocol")


def test_the_main_table_of_a_paper_or_those_asked_for(runs: Path) -> None:
    main_table = table("paper", "--paper", "ddcolor", "--runs", runs).output
    assert "DDColor, Table 1" in main_table
    assert "ablation" not in main_table
    assert "23.80 ±0.10" in main_table
    assert "38.00" in main_table
    chosen = table("paper", "--paper", "ddcolor", "--table", "scales,queries", "--runs", runs).output
    assert [part in chosen for part in ("feature scales", "colour queries", "Table 1")] == [True, True, False]
    assert table("paper", "--paper", "ddcolor", "--table", "all", "--runs", runs).output.count("DDColor, ") == 7


def test_a_paper_is_shown_without_any_run(tmp_path: Path) -> None:
    done = table("paper", "--paper", "ddcolor", "--runs", tmp_path / "nowhere")
    assert done.exit_code == 0
    assert "3.92" in done.output
    assert "– is not measured" in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--runs", "nowhere"), "there is no Run in nowhere. Measure something first"),
        (("--models", "ddcolour"), "no Run has the model 'ddcolour'. There are: ddcolor, eccv16"),
        (("--metrics", "psnrr"), "Did you mean psnr"),
        (("--sort", "psnrr"), "Did you mean psnr"),
        (("--out", "table.pdf"), "end it in .md, .csv, .tex, .html or .txt"),
        (("--format", "pdf"), "terminal"),
        (("--format", "md", "paper", "--paper", "ddcolor"), "stand behind its name"),
        (("paper", "--paper", "ddcolour"), "Did you mean ddcolor"),
        (("paper", "--paper", "ddcolor", "--table", "2"), "Known: 1, block-order"),
        (("paper",), "--paper"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_mistakes_get_a_sentence(
    arguments: tuple[str, ...], told: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    defaults = () if "--runs" in arguments or "paper" in arguments else ("--runs", runs)
    done = table(*arguments, *defaults)
    assert done.exit_code in (1, 2)
    assert told in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)
