"""Two Runs against each other: the numbers, the words, the pictures, and what happens when they cannot be compared."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from click.testing import CliRunner, Result
from PIL import Image

from bench.cli import main
from bench.comparison import Comparison, compare
from bench.errors import BenchError
from bench.plots.comparison import caption, extremes, photographs_that_differ
from bench.runs import Run, Store
from bench.tables.comparison import comparison_sheets, verdict


def put(root: Path, model: str, values: dict[str, Any], **changes: Any) -> Run:
    """A Run in a store, as if measured; ``changes`` are keys of its model, dataset, protocol, environment or itself."""
    rows = pd.DataFrame(values)
    n = len(rows)
    rows.insert(0, "name", [f"photo{i:03d}" for i in range(n)])
    rows.insert(0, "index", range(n))
    facts: dict[str, Any] = {
        "key": f"{model}-key",
        "complete": True,
        "model": {"name": model, "family": "f", "parameters": 1, "weights": "w", "source": "official", "sha256": "a1"},
        "dataset": {"name": "coco", "split": "val2017", "n": n, "complete": True, "digest": "d1", "gray": 0},
        "protocol": {"name": "paper", "hash": "h1", "definition": {}},
        "metrics": {name: {"value": rows[name].mean(), "n": n} for name in values if name != "cf_target"},
        "speed": {"images_per_second": 1, "latency_ms": 1, "peak_memory_mb": 1, "batch_size": 1, "processes": 1},
        "seed": 0,
        "environment": {
            "code_version": "0", "commit": None, "dirty": None, "code_digest": "c", "libraries": {"torch": "2"},
            "device": {"name": "cpu"}, "precision": "fp32", "command": "",
            "start": datetime(2026, 1, 1), "end": datetime(2026, 1, 1),
        },
    }  # fmt: skip
    for key, value in changes.items():
        part, _, name = key.partition("_")
        if name:
            facts[part][name] = value
        else:
            facts[part] = value
    run = Run.model_validate(facts)
    Store(root).write(run, rows)
    return run


def keep_pictures(root: Path, run: Run, indices: list[int], shade: int) -> None:
    folder = root / run.folder / "samples"
    folder.mkdir()
    for index in indices:
        Image.new("RGB", (16, 16), (shade, index, 0)).save(folder / f"{index:06d}.prediction.png")
        Image.new("RGB", (16, 16), (0, index, 250)).save(folder / f"{index:06d}.target.png")


RANDOM = np.random.default_rng(7)
BASE = RANDOM.normal(24, 3, 40)
GAIN = RANDOM.normal(0.8, 1, 40)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Model ``good`` is better than ``poor`` in PSNR, worse in LPIPS; SSIM tells nothing, FID is of the whole set."""
    root = tmp_path / "runs"
    ssim = RANDOM.uniform(0.8, 0.9, 40)
    fid = {"value": 12.0, "n": 40}
    absent = {"value": None, "reason": "its weights are not here"}
    for model, gain, lpips, noise in (("good", GAIN, 0.3, 1e-3), ("poor", 0, 0.2, -1e-3)):
        values = {
            "psnr": BASE + gain,
            "ssim": ssim + noise * np.tile([1, -1], 20),
            "lpips_alex": lpips + 0.01 * np.sin(np.arange(40)),
        }
        run = put(root, model, values)
        metrics = run.model_dump()["metrics"] | {"fid": fid, "lpips_vgg": absent}
        put(root, model, values, metrics=metrics)
    return root


def only(root: Path, a: str = "good", b: str = "poor", **choice: Any) -> Comparison:
    (comparison,) = compare(root, a, b, **choice)
    return comparison


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_the_numbers_are_those_of_scipy(root: Path) -> None:
    psnr = only(root).differences["psnr"]
    assert (psnr.mean_a, psnr.mean_b) == (pytest.approx((BASE + GAIN).mean()), pytest.approx(BASE.mean()))
    assert psnr.value == pytest.approx(GAIN.mean())
    assert psnr.test.p == pytest.approx(scipy.stats.wilcoxon(BASE + GAIN, BASE).pvalue)
    expected = scipy.stats.bootstrap((GAIN,), np.mean, n_resamples=20_000, method="percentile", random_state=2)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    np.testing.assert_allclose((psnr.low, psnr.high), expected.confidence_interval, atol=0.06 * width)
    assert psnr.wins_a == (GAIN > 0).mean()
    assert psnr.wins_b == (GAIN < 0).mean()


def test_lower_is_better_where_it_is(root: Path) -> None:
    lpips = only(root).differences["lpips_alex"]
    assert lpips.value == pytest.approx(0.1)
    assert (lpips.wins_a, lpips.wins_b, lpips.test.effect, lpips.better) == (0, 1, -1, "b")


def test_p_values_are_corrected_for_all_numbers(root: Path) -> None:
    differences = only(root).differences
    raw = {name: d.test.p for name, d in differences.items()}
    assert list(raw) == ["psnr", "ssim", "lpips_alex"]
    ascending = sorted(raw.values(), key=float)
    assert differences["lpips_alex"].p == pytest.approx(3 * ascending[0])
    assert differences["psnr"].p == pytest.approx(2 * ascending[1])
    assert differences["ssim"].p == pytest.approx(ascending[2])


def test_b_against_a_is_the_mirror_of_a_against_b(root: Path) -> None:
    there, back = only(root), only(root, "poor", "good")
    for name, d in there.differences.items():
        e = back.differences[name]
        assert e.value == pytest.approx(-d.value)
        assert (e.low, e.high) == (pytest.approx(-d.high), pytest.approx(-d.low))  # type: ignore[operator]
        assert (e.wins_a, e.wins_b) == (d.wins_b, d.wins_a)
        assert e.test.effect == pytest.approx(-d.test.effect)  # type: ignore[operator]
        assert (e.test.p, e.p) == (pytest.approx(d.test.p), pytest.approx(d.p))
        assert {d.better, e.better} in ({"a", "b"}, {None})


def test_photographs_are_matched_by_name(root: Path, tmp_path: Path) -> None:
    """In another order, and with two that one of the Runs could not measure."""
    folder = root / Store(root).load(only(root).b.folder.relative_to(root)).folder  # type: ignore[union-attr]
    rows = pd.read_parquet(folder / "per_image.parquet")
    before = only(root)
    rows.sample(frac=1, random_state=0).query("name not in ['photo003', 'photo011']").to_parquet(
        folder / "per_image.parquet"
    )
    after = only(root)
    assert len(after.rows) == 38
    expected = before.rows[~before.rows["name"].isin(["photo003", "photo011"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(after.rows, expected)
    assert after.differences["psnr"].value == pytest.approx(np.delete(GAIN, [3, 11]).mean())


def test_ties_win_for_nobody(tmp_path: Path) -> None:
    put(tmp_path, "a", {"psnr": [20.0, 21, 22, 25]})
    put(tmp_path, "b", {"psnr": [20.0, 21, 23, 22]})
    psnr = only(tmp_path, "a", "b").differences["psnr"]
    assert (psnr.wins_a, psnr.wins_b) == (0.25, 0.25)
    assert psnr.test.effect == pytest.approx((2 - 1) / 3)
    assert psnr.p is None
    assert "PSNR (not tested: 2 photographs that differ are too few" in verdict(only(tmp_path, "a", "b"))


def test_one_photograph_has_no_interval(tmp_path: Path) -> None:
    put(tmp_path, "a", {"psnr": [20.0]})
    put(tmp_path, "b", {"psnr": [21.0]})
    comparison = only(tmp_path, "a", "b")
    assert (comparison.differences["psnr"].low, comparison.differences["psnr"].high) == (None, None)
    assert comparison_sheets([comparison])[0].rows[0].cells["difference"].low is None


def test_colourfulness_is_compared_by_its_distance_from_the_original(tmp_path: Path) -> None:
    target = np.linspace(20, 50, 12)
    for model, cf in (("bright", target + 4), ("dull", target - 9)):
        distance = np.abs(cf - target)
        put(tmp_path, model, {"cf": cf, "cf_target": target, "dcf_image": distance})
    comparison = only(tmp_path, "bright", "dull")
    assert list(comparison.differences) == ["dcf_image"]
    assert comparison.differences["dcf_image"].better == "a"
    assert comparison.differences["dcf_image"].value == pytest.approx(4 - 9)
    assert "ΔCF image" in comparison.absent["cf"]


def test_what_is_not_compared_has_its_reason(root: Path) -> None:
    absent = only(root).absent
    assert absent == {
        "fid": "one number of the whole set, without a value for each photograph",
        "lpips_vgg": "its weights are not here",
    }
    notes = comparison_sheets([only(root)])[0].notes
    assert any("lpips_vgg" in note and "its weights are not here" in note for note in notes)


def test_the_verdict_in_words(root: Path) -> None:
    psnr = only(root).differences["psnr"]
    text = verdict(only(root))
    assert text.startswith("On coco (n = 40, protocol paper): good is better by ")
    assert f"good is better by {GAIN.mean():.2f} dB in PSNR (95 % {psnr.low:.2f} to {psnr.high:.2f}, p " in text
    assert "poor is better by 0.1000 in LPIPS alex (95 % 0.1000 to 0.1000, p < 0.001)" in text
    assert "not enough evidence of a difference in SSIM (p = " in text


def test_means_and_ranks_that_disagree_are_no_win(tmp_path: Path) -> None:
    """A little better on most photographs, and far worse on a few."""
    gain = np.array([0.1 + 0.001 * i for i in range(40)] + [-30.0, -31, -32])
    put(tmp_path, "a", {"psnr": 40 + gain})
    put(tmp_path, "b", {"psnr": np.full(43, 40.0)})
    comparison = only(tmp_path, "a", "b")
    psnr = comparison.differences["psnr"]
    assert psnr.value < 0 < (psnr.test.effect or 0)
    assert psnr.p is not None
    assert psnr.p < 0.05
    assert psnr.better is None
    assert "is better" not in verdict(comparison)
    assert "ranks and mean do not agree on PSNR (most ranks favour a, p < 0.001" in verdict(comparison)


def test_ranks_alone_are_no_win(tmp_path: Path) -> None:
    """Better on nearly all photographs, but the interval of the mean holds zero."""
    gain = np.array([0.1 + 0.001 * i for i in range(40)] + [-3.0])
    put(tmp_path, "a", {"psnr": 40 + gain})
    put(tmp_path, "b", {"psnr": np.full(41, 40.0)})
    comparison = only(tmp_path, "a", "b")
    psnr = comparison.differences["psnr"]
    assert psnr.low is not None
    assert psnr.low < 0 < psnr.value
    assert (psnr.by_ranks, psnr.better) == ("a", None)
    assert "is better" not in verdict(comparison)


def test_the_sheet_shows_the_numbers_of_the_comparison(root: Path) -> None:
    comparison = only(root)
    (sheet,) = comparison_sheets([comparison])
    assert [row.label for row in sheet.rows] == ["PSNR (dB) ↑", "SSIM ↑", "LPIPS alex ↓"]
    for row, d in zip(sheet.rows, comparison.differences.values(), strict=True):
        assert row.section == "coco"
        values = {key: cell.value for key, cell in row.cells.items()}
        assert values == {
            "n": 40, "a": d.mean_a, "b": d.mean_b, "difference": d.value, "wins_a": 100 * d.wins_a,
            "wins_b": 100 * d.wins_b, "effect": d.test.effect, "p": d.test.p, "p_holm": d.p,
        }  # fmt: skip
        assert (row.cells["difference"].low, row.cells["difference"].high) == (d.low, d.high)
    psnr = comparison.differences["psnr"]
    assert sheet.rows[0].cells["difference"].text == f"{psnr.value:+.2f} ({psnr.low:+.2f} to {psnr.high:+.2f})"


def test_protocols_do_not_share_a_sheet_and_datasets_do(root: Path) -> None:
    values = {"psnr": BASE}
    for model in ("good", "poor"):
        put(root, model, values, key="ade", dataset_name="ade20k", dataset_digest="d2")
        put(root, model, values, key="p2", protocol_name="native", protocol_hash="h2")
    sheets = comparison_sheets(compare(root, "good", "poor"))
    assert {sheet.title.split(", ")[-1]: {row.section for row in sheet.rows} for sheet in sheets} == {
        "protocol paper (h1)": {"ade20k/val2017", "coco"},
        "protocol native (h2)": {"coco"},
    }
    assert len(compare(root, "good", "poor", ["ade20k"])) == 1
    assert len(compare(root, "good", "poor", protocols=["native"])) == 1


def test_runs_of_one_model_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "m", {"psnr": BASE}, key="k1")
    put(tmp_path, "m", {"psnr": BASE + 1}, key="k2", model_weights="mine", model_sha256="b2")
    put(tmp_path, "m", {"psnr": BASE + 2}, key="k3", hints=3)
    with pytest.raises(BenchError, match="in several ways on coco/val2017.*paper-k1.*paper-k3"):
        compare(tmp_path, "m@w", "m@mine")
    folder = tmp_path / "coco-val2017" / "m"
    pair = only(tmp_path, str(folder / "paper-k1"), "m@mine")
    assert (pair.a.label, pair.b.label) == ("m (w)", "m (mine)")
    pair = only(tmp_path, str(folder / "paper-k1"), str(folder / "paper-k3" / "result.json"))
    assert (pair.a.label, pair.b.label) == ("m (0 hints)", "m (3 hints)")
    assert pair.differences["psnr"].value == pytest.approx(-2)


def test_a_model_against_weights_of_its_own_on_other_photographs_is_no_pair(tmp_path: Path) -> None:
    put(tmp_path, "m", {"psnr": BASE}, key="k1")
    mine = {"model_weights": "mine.pth", "model_sha256": "b2", "model_source": "file"}
    put(tmp_path, "m", {"psnr": BASE + 1}, key="k2", **mine, dataset_digest="d2")
    with pytest.raises(BenchError, match="never measured on the same") as raised:
        compare(tmp_path, "m", "m@mine.pth")
    assert "bench run --model m --weights mine.pth --dataset NAME" in str(raised.value)
    put(tmp_path, "m", {"psnr": BASE + 1}, key="k3", **mine)
    with pytest.raises(BenchError, match=r"in several ways on coco/val2017.*m@w"):
        compare(tmp_path, "m", "m@mine.pth")
    with pytest.raises(BenchError, match="Name two Runs"):
        compare(tmp_path, "m@w", "m@w")


def test_a_folder_need_not_lie_in_the_store(root: Path, tmp_path: Path) -> None:
    moved = (root / only(root).a.folder.relative_to(root)).rename(tmp_path / "elsewhere")
    comparison = only(root, str(moved))
    assert comparison.differences["psnr"].value == pytest.approx(GAIN.mean())


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a", {"psnr": BASE}, model_source="random", dataset_complete=False, dataset_expected=5000)
    put(
        tmp_path, "b", {"psnr": BASE + 1}, environment_device={"name": "H200"}, environment_precision="bf16",
        environment_libraries={"torch": "3"}, complete=False,
    )  # fmt: skip
    notes = " ".join(comparison_sheets([only(tmp_path, "a", "b")])[0].notes)
    for part in (
        "a (random weights): random weights", "b (bf16): incomplete, bf16", "devices: cpu and H200", "torch 2 and 3",
        "only 40 of the 5000",
    ):  # fmt: skip
        assert part in notes
    assert "versions of the code" not in notes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset_digest": "other"}, "never measured on the same photographs.*digest d1.*digest other"),
        ({"protocol_hash": "h9"}, r"paper \(h1\).*paper \(h9\)"),
        ({"dataset_name": "ade20k", "dataset_digest": "d2"}, "coco/val2017.*ade20k/val2017"),
    ],
)
def test_other_photographs_or_protocols_are_not_compared(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    put(tmp_path, "a", {"psnr": BASE})
    put(tmp_path, "b", {"psnr": BASE}, **changes)
    with pytest.raises(BenchError, match=said):
        compare(tmp_path, "a", "b")


def test_mistakes_get_a_sentence(root: Path, tmp_path: Path) -> None:
    put(root, "other", {"cf": BASE})
    folder = next(root.glob("*/good/*"))
    for arguments, said in (
        (("good", "nobody"), "nobody"),
        (("good@mine", "poor"), "There are: w"),
        (("good", "good"), "both are the Run in"),
        (("good", "poor", "--dataset", "cocoa"), "cocoa"),
        (("good", "poor", "--metric", "pnsr"), "Did you mean psnr"),
        (("good", "poor", "--protocol", "native"), "native"),
        (("good", "other"), "have no number to compare"),
        ((str(folder), "poor", "--dataset", "ade20k"), "has the dataset coco, not ade20k"),
    ):
        done = bench(*arguments, "--runs", root)
        assert done.exit_code in (1, 2), done.output
        assert said in done.output, done.output
        assert "Traceback" not in done.output
    empty = bench("a", "b", "--runs", tmp_path / "nothing")
    assert "there is no Run in" in empty.output
    (folder / "per_image.parquet").write_bytes(b"no parquet")
    assert "per_image.parquet, which holds the values of each photograph, is damaged" in bench(
        "good", "poor", "--runs", root
    ).output.replace("\n", " ")
    (folder / "per_image.parquet").unlink()
    gone = bench("good", "poor", "--runs", root)
    assert gone.exit_code == 1
    assert "is not here" in gone.output


def test_the_photographs_with_the_largest_differences_are_drawn(root: Path) -> None:
    comparison = only(root)
    keep_pictures(root, comparison.a.run, [0, 1, 2, 3, 4, 5, 6, 7, 30], 10)
    keep_pictures(root, comparison.b.run, [0, 1, 2, 3, 4, 5, 6, 7, 31], 90)
    best_a, best_b = extremes(comparison, "psnr", 2)
    order = sorted(range(8), key=lambda i: -GAIN[i])
    assert best_a["index"].tolist() == [i for i in order if GAIN[i] > 0][:2]
    assert best_b["index"].tolist() == [i for i in reversed(order) if GAIN[i] < 0][:2]
    assert "of the 8 (of 40 measured)" in caption(comparison, "psnr", 2)

    axes = np.array(photographs_that_differ(comparison, "psnr", 2).axes).reshape(-1, 4)
    assert [a.get_title() for a in axes[0]] == ["input", "good", "poor", "original"]
    drawn = [*best_a["index"], *best_b["index"]]
    assert len(axes) == len(drawn)
    for line, index in zip(axes, drawn, strict=True):
        gray, first, second, original = (np.asarray(a.images[0].get_array())[0, 0].tolist() for a in line)
        assert gray[0] == gray[1] == gray[2]
        assert (first, second, original) == ([10, index, 0], [90, index, 0], [0, index, 250])
        assert line[0].get_xlabel() == f"photo{index:03d}"
        assert line[1].get_xlabel() == f"PSNR {BASE[index] + GAIN[index]:.2f} dB"
        assert line[2].get_xlabel() == f"PSNR {BASE[index]:.2f} dB"


def test_without_common_pictures_it_says_what_to_do(root: Path) -> None:
    comparison = only(root)
    with pytest.raises(BenchError, match="--samples"):
        photographs_that_differ(comparison, "psnr")
    with pytest.raises(BenchError, match=r"'fid' was not compared.*psnr, ssim, lpips_alex"):
        photographs_that_differ(comparison, "fid")


def test_out_holds_the_table_and_the_pictures(root: Path, tmp_path: Path) -> None:
    comparison = only(root)
    for side, shade in ((comparison.a, 10), (comparison.b, 90)):
        keep_pictures(root, side.run, list(range(8)), shade)
    out = tmp_path / "out"
    done = bench("good", "poor", "--runs", root, "--out", out, "--photos", "2")
    assert done.exit_code == 0, done.output
    text = (out / "comparison.md").read_text(encoding="utf-8")
    assert verdict(comparison).replace("<", "&lt;") in text
    (picture,) = re.findall(r"!\[[^\]]*\]\((.*?)\)", text)
    assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert "| coco | PSNR (dB) ↑ | 40 |" in text


def test_without_pictures_the_text_says_why(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bench("good", "poor", "--runs", root, "--out", out).exit_code == 0
    assert "No pictures of coco/val2017: good and poor kept no pictures" in (out / "comparison.md").read_text(
        encoding="utf-8"
    )
    assert list(out.glob("*.png")) == []


@pytest.mark.parametrize("form", ["terminal", "md", "csv", "tex", "html"])
def test_every_form_holds_the_verdict_and_the_numbers(root: Path, form: str) -> None:
    done = bench("good", "poor", "--runs", root, "--format", form)
    assert done.exit_code == 0, done.output
    assert "good is better by" in done.output
    assert f"{(BASE + GAIN).mean():.2f}" in done.output
    if form == "csv":
        assert "good is better by" not in done.stdout


def test_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    first, second = "<b>$x_1$</b>", "a[red]|b"
    for model, gain in ((first, 1.0), (second, 0.0)):
        run = put(tmp_path / "runs", model, {"psnr": BASE + gain})
        keep_pictures(tmp_path / "runs", run, [0, 1], 10)
    screen = bench(first, second, "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    assert screen.exit_code == 0, screen.output
    assert "a[red]|b" in screen.output
    html = bench(first, second, "--runs", tmp_path / "runs", "--format", "html").stdout
    assert "<b>$x" not in html
    assert "<b>" not in (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
