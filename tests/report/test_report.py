"""The page as bytes: what stands in it, and what the verb says where it cannot be made."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from made_reports import HOSTILE, PER_IMAGE, page_of, printed, put_run
from made_runs import made
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from bench.cli import main
from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.report import write_report
from bench.report.page import PLOTS
from bench.report.pictures import embedded
from bench.runs import Store


class Page(HTMLParser):
    """Text of every element by tag, text of scripts by id, and all attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.scripts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self._id = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")
        self._id = given.get("id", "") if tag == "script" else ""
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        self.handlers += [name for name in given if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data
        if self.open and self.open[-1] == "script" and self._id:
            self.scripts[self._id] = self.scripts.get(self._id, "") + data

    @property
    def sets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.scripts["sets"])
        return found

    def pictures(self, place: int, photo: int) -> dict[str, Image.Image]:
        encoded = json.loads(self.scripts[f"pictures-{place}-{photo}"])
        return {key: Image.open(io.BytesIO(base64.b64decode(text))) for key, text in encoded.items()}


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_the_same_runs_give_the_same_bytes(store: Path, page: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(store, tmp_path / "elsewhere")
    again = page_of(moved, tmp_path / "other.html")
    assert again == tmp_path / "other.html"
    assert again.read_bytes() == page.read_bytes()


def test_summary_tables_show_the_numbers_of_the_runs(store: Path, page: Path) -> None:
    rows = [" ".join(text.split()) for text in Page(page).texts["tr"]]
    for run in Store(store):
        for name, estimate in run.metrics.items():
            if estimate.value is not None:
                number = printed(run, name, estimate.value)
                assert any(row.startswith(run.model.name) and number in row for row in rows), (run.model.name, name)


def test_every_number_of_every_photograph_is_that_of_the_run(store: Path, page: Path) -> None:
    told = {each["title"].split(",")[0]: each for each in Page(page).sets}
    compared = 0
    for run in Store(store):
        each = told[run.dataset.name]
        place = each["models"].index(run.model.name)
        photos = {photo["name"]: photo for photo in each["photos"]}
        for row in Store(store).rows(run).to_dict("records"):
            for number, value in zip(each["numbers"], photos[row["name"]]["values"][place], strict=True):
                text = f"{row[number['name']]:.{NUMBERS[number['name']].decimals}f}"
                assert f"{value:.{number['decimals']}f}" == text
                compared += 1
            if "cf_target" in row:
                cf = [number["name"] for number in each["numbers"]].index("cf")
                assert photos[row["name"]]["original"][cf] == round(row["cf_target"], 2)
    assert compared == (12 + 12 + 11) * len(PER_IMAGE) + 3


def test_a_photograph_that_failed_has_no_numbers_and_a_reason(page: Path) -> None:
    read = Page(page)
    each = read.sets[0]
    place = each["models"].index("third<i>")
    assert each["photos"][0]["values"][place] == [None] * len(PER_IMAGE)
    assert "<b>damaged</b> & cut" in read.texts["td"]
    assert HOSTILE[0] in read.texts["th"]


def test_pictures_are_those_that_were_kept(store: Path, page: Path) -> None:
    read = Page(page)
    for place, each in enumerate(read.sets):
        name = each["title"].split(",")[0]
        runs = {run.model.name: run for run in Store(store) if run.dataset.name == name}
        for at, photo in enumerate(each["photos"]):
            pictures = read.pictures(place, at)
            assert set(pictures) == set(photo["pictures"])
            assert ("original" in pictures) == each["original"] == (name == "coco")
            for key, picture in pictures.items():
                run = runs[each["models"][int(key)]] if key.isdigit() else runs["first"]
                kept = store / run.folder / "samples" / f"{at:06d}.{'prediction' if key.isdigit() else 'target'}.png"
                pixels = np.asarray(Image.open(kept)).astype(float)
                if key == "input":
                    assert picture.mode == "L"
                    pixels = lab2rgb(rgb2lab(pixels / 255) * [1, 0, 0])[..., 0] * 255
                assert np.abs(np.asarray(picture) - pixels).mean() < 4, (photo["name"], key)  # compressed
    third = read.sets[0]["models"].index("third<i>")
    assert [at for at, p in enumerate(read.sets[0]["photos"]) if str(third) in p["pictures"]] == [1, 2, 3]


def test_the_input_is_the_lightness_of_the_original(tmp_path: Path) -> None:
    rgb = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8), 16, 0), 16, 1)
    Image.fromarray(rgb).save(tmp_path / "target.png")
    picture = Image.open(io.BytesIO(base64.b64decode(embedded(tmp_path / "target.png", 64, colourless=True))))
    assert picture.mode == "L"
    expected = lab2rgb(rgb2lab(rgb) * [1, 0, 0])[..., 0] * 255
    assert np.abs(np.asarray(picture) - expected).max() < 6  # compressed


def test_large_pictures_are_scaled_down_and_keep_their_shape(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "large.png")
    picture = Image.open(io.BytesIO(base64.b64decode(embedded(tmp_path / "large.png", side=150))))
    assert picture.size == (150, 100)
    assert np.abs(np.asarray(picture).mean((0, 1)) - (200, 30, 30)).max() < 2


def test_the_page_says_which_models_compete(tmp_path: Path) -> None:
    for model, changes in {
        "net": {},
        "gray": {"model__family": "reference"},
        "raw": {"model__source": "random"},
    }.items():
        put_run(tmp_path / "runs", model, ["a", "b"], **changes)
    (each,) = Page(page_of(tmp_path / "runs", tmp_path)).sets
    told = dict(zip(each["models"], each["competing"], strict=True))
    assert told == {"gray": False, "net": True, "raw (random weights)": False}


@pytest.mark.slow
def test_every_paper_of_which_something_was_measured_is_drawn(tmp_path: Path) -> None:
    put_run(tmp_path / "runs", "net", ["a"])
    nothing = page_of(tmp_path / "runs", tmp_path / "nothing.html", plots=["reproduction"])
    assert "reproduction-ddcolor: no Run stands for" in " ".join(nothing.read_text(encoding="utf-8").split())
    assert not any(address.startswith("data:image/svg+xml") for address in Page(nothing).addresses)
    Store(tmp_path / "runs").write(made("multicolor", {"fid": 3.0}), pd.DataFrame({"index": [0], "name": ["a"]}))
    page = page_of(tmp_path / "runs", tmp_path / "one.html", plots=["reproduction"])
    assert sum(address.startswith("data:image/svg+xml") for address in Page(page).addresses) == 1
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert "reproduction-ddcolor: no Run" in text
    assert "reproduction-multicolor: " not in text


def test_hostile_names_are_text(page: Path) -> None:
    read = Page(page)
    names = [photo["name"] for photo in read.sets[0]["photos"]]
    assert names[:4] == list(HOSTILE)
    assert not read.handlers
    assert sum(text == "" for text in read.texts["script"]) == 0
    assert len(read.texts["script"]) == 3 + sum(len(each["photos"]) for each in read.sets)
    assert all(re.match(r"#|data:", address) for address in read.addresses)


def test_commands_stand_there_as_they_were_given(page: Path) -> None:
    assert "bench run --model 'a b'  --dataset <coco>" in Page(page).texts["code"]


def test_protocol_and_environment_are_told(store: Path, tmp_path: Path) -> None:
    run = put_run(
        tmp_path / "runs",
        "net",
        ["a", "b"],
        environment__commit="c0ffee" * 6,
        environment__dirty=True,
        environment__libraries={"torch": "9.8.7"},
        environment__command="",
        protocol__definition={"name": "own", "description": "As <it> is.", "seed": 42, "preprocessing": {"size": 16}},
    )
    text = page_of(tmp_path / "runs", tmp_path).read_text(encoding="utf-8")
    for expected in (
        "c0ffee" * 6, "with uncommitted changes", "9.8.7", "NVIDIA H200", "As &lt;it&gt; is.", "<dd>42</dd>",
        run.protocol.hash, run.dataset.digest, "No command was recorded", "its weights are not here",
    ):  # fmt: skip
        assert expected in text, expected


def test_what_a_reader_must_know_of_a_photograph_is_noted(tmp_path: Path) -> None:
    run = put_run(tmp_path / "runs", "net", ["a", "b", "c"])
    rows = Store(tmp_path / "runs").rows(run).assign(finite=[1.0, 0.0, 1.0])
    rows.loc[0, "psnr"] = np.nan
    Store(tmp_path / "runs").write(run, rows)
    photos = Page(page_of(tmp_path / "runs", tmp_path)).sets[0]["photos"]
    told = [photo["notes"] for photo in photos]
    assert told == [[], ["net gave colours that are not finite"], ["the original has no colour"]]
    assert photos[0]["values"][0][0] is None


@pytest.mark.slow
def test_runs_without_rows_or_pictures_leave_a_gap_that_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    run = put_run(folder, "blind", ["a", "b"])
    shutil.rmtree(folder / run.folder / "samples")
    text = page_of(folder, tmp_path / "one.html").read_text(encoding="utf-8")
    assert "no pictures were kept" in text
    assert "--samples N" in text
    (folder / run.folder / "per_image.parquet").unlink()
    text = page_of(folder, tmp_path / "two.html", plots=PLOTS).read_text(encoding="utf-8")
    assert "its numbers per photograph are not in the store" in text
    assert "No numbers per photograph" in text
    (folder / run.folder / "per_image.parquet").write_bytes(b"no parquet")
    assert page_of(folder, tmp_path / "three.html", plots=PLOTS).is_file()


def test_a_report_is_a_page_and_nothing_else(tmp_path: Path) -> None:
    put_run(tmp_path / "runs", "net", ["a"])
    with pytest.raises(BenchError, match=r"report\.pdf: the report is a page"):
        page_of(tmp_path / "runs", tmp_path / "report.pdf")


def test_runs_that_measured_nothing_per_photograph_make_a_page(tmp_path: Path) -> None:
    for run in (made("net", {"fid": 3.5}), made("other", {"fid": "no weights"})):
        Store(tmp_path / "runs").write(run, pd.DataFrame({"index": [0, 1], "name": ["a", "b"]}))
    assert "3.50" in page_of(tmp_path / "runs", tmp_path).read_text(encoding="utf-8")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    run = put_run(tmp_path / "runs", "net", ["a", "b"])
    damaged = tmp_path / "runs" / run.folder / "samples" / "000001.prediction.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(BenchError, match=r"000001\.prediction\.png is damaged"):
        page_of(tmp_path / "runs", tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_two_protocols_are_two_sets_of_photographs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put_run(tmp_path / "runs", "net", ["a"], protocol__name=name, protocol__hash=name * 4)
    sets = Page(page_of(tmp_path / "runs", tmp_path)).sets
    assert [each["models"] for each in sets] == [["net"], ["net"]]
    assert len({each["title"] for each in sets}) == 2


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for weights in ("paper", "mine"):
        put_run(tmp_path / "runs", "net", ["a"], model__weights=weights, model__sha256=weights * 10)
    (each,) = Page(page_of(tmp_path / "runs", tmp_path)).sets
    assert len(set(each["models"])) == 2
    assert all("net" in model for model in each["models"])


@pytest.mark.slow
def test_the_verb_selects_and_titles(store: Path, tmp_path: Path) -> None:
    done = report("--runs", store, "--models", "second", "--title", "Some <title>", "--out", tmp_path / "a" / "b.html")
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(tmp_path / "a" / "b.html")
    read = Page(tmp_path / "a" / "b.html")
    assert read.texts["h1"] == ["Some <title>"]
    assert [each["models"] for each in read.sets] == [["second"]]
    assert sum(address.startswith("data:image/svg+xml") for address in read.addresses) >= 3  # plots
    page_of(store, tmp_path / "all.html", plots=PLOTS)
    assert page_of(store, tmp_path / "again.html", plots=PLOTS).read_bytes() == (tmp_path / "all.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--runs", "nowhere"], "bench run --model"),
        (["--models", "thrid"], "third<i>"),
        (["--datasets", "imagenet"], "coco"),
    ],
)
def test_mistakes_get_a_sentence(store: Path, tmp_path: Path, arguments: list[str], hint: str) -> None:
    done = report("--runs", store, *arguments, "--out", tmp_path)
    assert done.exit_code == 1
    assert hint in done.output
    assert isinstance(done.exception, SystemExit)


def test_a_place_that_cannot_be_written_is_named(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="file/index.html"):
        page_of(store, tmp_path / "file")
    with pytest.raises(BenchError, match="at least one Run"):
        write_report(Store(store), [], tmp_path)
