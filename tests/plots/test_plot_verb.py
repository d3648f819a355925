"""``bench plot`` as a person meets it, and what holds for every kind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from made_rows import put
from PIL import Image

from bench.cli import main
from bench.errors import BenchError, UnknownNameError
from bench.plots import FROM_RUNS, KINDS, draw
from bench.plots.style import PAGE, WIDTH, save
from bench.runs import Store
from bench.selection import select

HOSTILE = ("_under$core$", r"back\slash^{x}", "<b>&amp;</b>", "a" * 90, "写真 é", "50 % of #1 ~x~")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs that allow every kind."""
    folder = tmp_path / "runs"
    for hints in (0, 5):
        put(folder, "siggraph17", hints=hints)
    put(folder, "ddcolor", {"psnr": (21, 22, 25, 26), "cf": (20, 21, 42, 43)}, {"fid": 3.9, "fcd": 9.0})
    return folder


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("kind", FROM_RUNS)
def test_every_kind_is_drawn_from_the_command_line(kind: str, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "plot.png"
    done = bench("plot", kind, "--runs", root, "--out", out)
    assert done.exit_code == 0, done.output
    assert done.output.split() == str(out).split()
    with Image.open(out) as picture:
        assert 0.9 * WIDTH < picture.width / 200 < PAGE + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("kind", ["bars", "grid", "chroma", "distributions"])
def test_the_same_runs_give_the_same_bytes(kind: str, suffix: str, root: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(draw(kind, Store(root), select(root)), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.slow
def test_all_draws_what_can_be_drawn_and_says_why_not_the_rest(tmp_path: Path) -> None:
    put(tmp_path / "runs", columns={"cf": (1, 2, 3, 4)}, reference=False)
    done = bench("plot", "all", "--runs", tmp_path / "runs", "--out", tmp_path / "plots", "--formats", "png,svg")
    assert done.exit_code == 0, done.output
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    expected = {"grid", "bars", "distributions", "chroma"}
    assert {f"{kind}{suffix}" for kind in expected for suffix in (".png", ".svg")} <= drawn
    for kind in ("fid-cf", "pareto", "hints"):
        assert f"left out: {kind} – no Run" in done.stderr
        assert f"{kind}.png" not in drawn
    assert "left out: reproduction-ddcolor – no Run stands for a published number of DDColor" in done.stderr
    assert not any(name.startswith("reproduction") for name in drawn)


@pytest.mark.slow
def test_all_draws_every_paper_of_which_something_was_measured(tmp_path: Path) -> None:
    put(tmp_path / "runs", "multicolor", metrics={"fid": 3.0}, dataset__name="imagenet", dataset__split="val5k")
    done = bench("plot", "all", "--runs", tmp_path / "runs", "--out", tmp_path / "plots")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "plots").glob("reproduction*")] == ["reproduction-multicolor.png"]
    assert "left out: reproduction-ddcolor" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bars", "--runs", "{empty}"], "there is no Run in"),
        (["all", "--runs", "{empty}"], "there is no Run in"),
        (["bars", "--models", "nobody"], "no Run has the model 'nobody'"),
        (["bars", "--datasets", "moon"], "There are: photos, photos/all"),
        (["bars", "--protocol", "other"], "no Run has the protocol 'other'"),
        (["bars", "--metrics", "psnrr"], "Did you mean psnr"),
        (["bars", "--out", "plot.gif"], "another suffix than .png, .svg, .pdf"),
        (["grid", "--photos", "zebra"], "There are pictures of: a, b, c, d"),
        (["grid", "--random", "1", "--differ", "1"], "not by several"),
        (["fid-cf", "--quality", "ssim"], "no Run has ssim"),
        (["pareto", "--metric", "cf"], "no better direction"),
        (["training", "{empty}"], "holds no metrics.csv"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(
    arguments: list[str], message: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [argument.format(empty=tmp_path / "empty") for argument in arguments]
    done = bench("plot", *given, *([] if "{empty}" in arguments else ["--runs", root]))
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert "Traceback" not in done.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    for name in HOSTILE:
        put(tmp_path / "runs", name, metrics={"fcd": 3.0}, dataset__name="$a_b$ & <i>")
    store, runs = Store(tmp_path / "runs"), select(tmp_path / "runs")
    for kind in ("grid", "bars", "distributions", "fid-cf", "pareto", "chroma"):
        save(draw(kind, store, runs), tmp_path / f"{kind}.svg")
        text = (tmp_path / f"{kind}.svg").read_text(encoding="utf-8")
        letters = re.sub(r"\s|&#\w+;", "", "".join(re.findall(r">([^<]+)</text>", text)))
        for name in HOSTILE:
            escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace(" ", "")
            assert escaped in letters, (kind, name)
        assert "<b>" not in text
        assert "<i>" not in text


def test_no_text_is_taken_for_mathematics(root: Path) -> None:
    for kind in FROM_RUNS:
        for text in draw(kind, Store(root), select(root)).findobj(lambda artist: hasattr(artist, "get_parse_math")):
            assert not text.get_parse_math() or "$" not in text.get_text()


@pytest.mark.parametrize("kind", [kind for kind in FROM_RUNS if kind != "reproduction"])
def test_no_runs_at_all_is_an_error_that_says_so(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"[Rr]un"):
        draw(kind, Store(tmp_path), [])


def test_kinds_that_do_not_come_from_runs_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="bench plot queries"):
        draw("queries", Store(tmp_path), [])
    with pytest.raises(UnknownNameError, match="Did you mean grid"):
        draw("grids", Store(tmp_path), [])


def test_every_kind_has_a_verb() -> None:
    listed = bench("plot", "--help").output
    assert all(f"  {kind} " in listed for kind in KINDS)


@pytest.mark.slow
def test_drawing_runs_does_not_import_torch(root: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; from bench.cli import main; main(['plot', 'all', '--runs', {str(root)!r}, '--out', "
        f"{str(tmp_path / 'plots')!r}], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plots" / "grid.png").is_file()
