"""Reported against reproduced: what is drawn is what was published and what the Runs say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_runs import made
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from bench.errors import BenchError, UnknownNameError
from bench.plots.reproduction import reported_against_reproduced
from bench.plots.style import save

WHITE = "#ffffff"


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def points(axes: Axes) -> list[tuple[float, float, str]]:
    """(published, measured, marker) of everything that has one."""
    found = []
    for line in axes.lines:
        if line.get_marker() not in ("None", "", None):
            (x,), (y,) = np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()
            found.append((x, y, str(line.get_marker())))
    return found


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def note(figure: Figure) -> str:
    return " ".join(figure.legends[0].get_title().get_text().split())


def test_without_runs_the_known_reports_are_drawn() -> None:
    figure = reported_against_reproduced([])
    drawn = panels(figure)
    assert list(drawn) == ["FID ↓", "CF"]
    assert points(drawn["FID ↓"]) == [(3.92, 3.78, "X")]
    assert points(drawn["CF"]) == [(38.26, 34.33, "X")]
    assert [np.asarray(line.get_ydata()).tolist() for line in drawn["FID ↓"].lines if line.get_linestyle() == ":"] == [
        [17.96, 17.96]
    ]
    assert legend(figure) == ["GitHub issue piddnad/DDColor#9", "GitHub issue piddnad/DDColor#34"]
    assert note(figure).startswith("Nothing of this paper has been measured here yet.")
    assert "split and backend not stated" in note(figure)


def test_reports_alone_are_drawn_only_where_they_are_wanted() -> None:
    with pytest.raises(BenchError, match="no Run stands for a published number of DDColor"):
        reported_against_reproduced([made("ddcolor-mini", {"psnr": 20.0})], reports_alone=False)
    figure = reported_against_reproduced([made(metrics={"cf": 38.0})], reports_alone=False)
    assert points(panels(figure)["CF"]) == [(38.26, 38.0, "o"), (38.26, 34.33, "X")]


@pytest.mark.parametrize("metrics", [{}, {"psnr": 23.8}], ids=["two panels", "three panels"])
def test_the_name_of_the_paper_stands_clear_of_the_panels(metrics: dict[str, float], tmp_path: Path) -> None:
    path = save(reported_against_reproduced([made(metrics=metrics)]), tmp_path / "figure.png")
    inked = (np.asarray(Image.open(path).convert("L")) < 200).any(axis=1)
    changes = np.flatnonzero(np.diff(inked.astype(int)))  # first row of the headline, its last, first of the panels
    begin, end, panel = changes[:3]
    assert end - begin < 8.5 / 72 * 200 * 1.3  # one line of 8.5 points at 200 dots per inch
    assert panel - end > 8


def test_runs_are_drawn_at_their_numbers_with_their_intervals() -> None:
    run = made(metrics={"fid": 3.95, "cf": (38.0, 37.6, 38.5), "psnr": (23.8, 23.7, 23.9)})
    figure = reported_against_reproduced([run])
    drawn = panels(figure)
    assert list(drawn) == ["FID ↓", "PSNR (dB) ↑", "CF"]
    assert (3.92, 3.95, "o") in points(drawn["FID ↓"])
    assert points(drawn["CF"]) == [(38.26, 38.0, "o"), (38.26, 34.33, "X")]
    (interval,) = drawn["CF"].collections
    assert interval.get_paths()[0].vertices.tolist() == [[38.26, 37.6], [38.26, 38.5]]
    assert not drawn["FID ↓"].collections
    assert "ddcolor" in legend(figure)
    assert "not comparable" not in legend(reported_against_reproduced([made(metrics={"cf": 38.0, "psnr": 23.8})]))
    assert "Nothing of this paper" not in note(figure)
    for axes in drawn.values():
        assert axes.get_xlim() == axes.get_ylim()
        diagonal = axes.lines[0]
        assert np.asarray(diagonal.get_xdata()).tolist() == np.asarray(diagonal.get_ydata()).tolist()


def test_what_does_not_compare_is_hollow_and_datasets_have_their_markers() -> None:
    whole = made(metrics={"psnr": 23.8})
    part = made("eccv16", {"psnr": 22.0}, model__weights="release", dataset__n=38, dataset__complete=False)
    large = made(metrics={"psnr": 23.7}, dataset__split="val50k", dataset__digest="e" * 64)
    figure = reported_against_reproduced([whole, part, large])
    axes = panels(figure)["PSNR (dB) ↑"]
    assert sorted(points(axes)) == [(22.64, 22.0, "o"), (23.74, 23.7, "s"), (23.85, 23.8, "o")]
    faces = {
        np.asarray(line.get_xdata()).tolist()[0]: to_hex(line.get_markerfacecolor())
        for line in axes.lines
        if line.get_marker() not in ("None", "", None)
    }
    assert faces[22.64] == WHITE
    assert WHITE not in (faces[23.74], faces[23.85])
    assert {"not comparable", "ImageNet val5k", "ImageNet val50k"} <= set(legend(figure))


def test_runs_that_stand_for_nothing_are_left_out() -> None:
    figure = reported_against_reproduced([made("ddcolor-mini", {"psnr": 20.0}), made("ddcolor", {"psnr": "no reason"})])
    assert list(panels(figure)) == ["FID ↓", "CF"]
    assert "Nothing of this paper" in note(figure)


def test_hostile_names_are_drawn_as_they_are() -> None:
    name = r"$\frac{1}$_%<b>"
    hostile = {"model__source": "file", "model__weights": name, "model__sha256": "9" * 64}
    runs = [made(metrics={"cf": 38.0}), made(metrics={"cf": 30.0}, dataset__split="val50k", **hostile)]
    figure = reported_against_reproduced(runs)
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    assert any(name in text for text in legend(figure))


def test_the_same_runs_give_the_same_bytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = made(metrics={"fid": 3.95, "cf": (38.0, 37.6, 38.5)})
    for suffix in ("png", "svg", "pdf"):
        paths = [tmp_path_factory.mktemp("out") / f"figure.{suffix}" for _ in range(2)]
        for path in paths:
            save(reported_against_reproduced([run]), path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_paper_without_anything_to_draw_says_so() -> None:
    with pytest.raises(BenchError, match="no Run stands for a published number of MultiColor"):
        reported_against_reproduced([], "multicolor")
    with pytest.raises(UnknownNameError, match="Did you mean ddcolor"):
        reported_against_reproduced([], "ddcolour")
    figure = reported_against_reproduced([made("multicolor", {"fid": 3.0})], "multicolor")
    assert points(panels(figure)["FID ↓"]) == [(2.17, 3.0, "o")]
