"""Bars, FID against CF, quality against latency, distributions: what is drawn is what the Runs say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rows import CF_TARGET, put
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.errors import BenchError, UnknownNameError
from bench.plots.bars import metric_bars
from bench.plots.distributions import per_photo_distributions
from bench.plots.fid_cf import quality_against_colourfulness
from bench.plots.pareto import front, quality_against_latency
from bench.runs import Store
from bench.selection import select

GPU = {"type": "cuda", "name": "A GPU"}


def panels(figure: Figure) -> dict[str, Axes]:
    """By their titles, which the last of several of one name keeps."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def rows(axes: Axes) -> dict[float, str]:
    """y -> name of the row."""
    names = (label.get_text() for label in axes.get_yticklabels())
    return dict(zip(axes.get_yticks().tolist(), names, strict=True))


def points(lines: Iterable[Line2D]) -> list[list[float]]:
    """[x, y] of every line that is a single mark."""
    drawn = [np.asarray(line.get_xydata()).tolist() for line in lines]
    return [points[0] for points in drawn if len(points) == 1]


def dots(axes: Axes) -> dict[str, tuple[float, list[float] | None]]:
    """Name of the row -> value and the ends of its interval."""
    found, names = {}, rows(axes)
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        line, _, whiskers = container.lines
        (value,), (y,) = np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()
        ends = whiskers[0].get_segments()[0][:, 0].tolist() if whiskers else None
        found[names[y]] = (value, ends)
    return found


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """Model -> the numbers in its result.json, read without the package."""
    found = (json.loads(path.read_text()) for path in root.glob("*/*/*/result.json"))
    return {run["model"]["name"]: run["metrics"] for run in found}


def test_bars_are_the_numbers_of_the_records_the_best_on_top(tmp_path: Path) -> None:
    put(tmp_path, "worst", {"psnr": (10, 12, 14, 16), "cf": (1, 2, 3, 4)}, {"fcd": 300.0})
    put(tmp_path, "best", {"psnr": (30, 31, 32, 33), "cf": (30, 40, 50, 60)}, {"fcd": 3.0})
    put(tmp_path, "middle", {"psnr": (20, 22, 24, 26), "cf": (10, 20, 30, 40)}, {"fcd": 30.0})
    axes = panels(metric_bars(Store(tmp_path), select(tmp_path)))
    assert list(axes) == ["FCD ↓", "PSNR (dB) ↑", "CF"]
    for title, name in (("FCD ↓", "fcd"), ("PSNR (dB) ↑", "psnr"), ("CF", "cf")):
        expected = {model: numbers[name] for model, numbers in stored(tmp_path).items()}
        for model, (value, ends) in dots(axes[title]).items():
            assert value == expected[model]["value"]
            assert ends == (None if name == "fcd" else pytest.approx([expected[model]["low"], expected[model]["high"]]))
        assert list(rows(axes[title]).values()) == ["best", "middle", "worst"]
        assert axes[title].get_ylim()[0] > axes[title].get_ylim()[1]  # the first row is on top


def test_the_line_in_the_panel_of_cf_is_the_mean_of_the_originals(tmp_path: Path) -> None:
    put(tmp_path)
    lines = [line.get_xdata() for line in panels(metric_bars(Store(tmp_path), select(tmp_path)))["CF"].lines]
    assert [list(xs) for xs in lines if len(xs) == 2] == [[np.mean(CF_TARGET)] * 2]


def test_without_original_colours_there_is_no_line(tmp_path: Path) -> None:
    put(tmp_path, columns={"cf": (1, 2, 3, 4)}, reference=False)
    axes = panels(metric_bars(Store(tmp_path), select(tmp_path)))
    assert list(axes) == ["CF"]
    assert points(axes["CF"].lines) == [[2.5, 0.5]]
    assert len(axes["CF"].lines) == 1


def test_a_number_that_one_model_lacks_is_told_in_its_row(tmp_path: Path) -> None:
    put(tmp_path, "full")
    put(tmp_path, "a lacking one", {"cf": (1, 2, 3, 4)}, {"psnr": "left out"})
    axes = panels(metric_bars(Store(tmp_path), select(tmp_path), ["psnr"]))["PSNR (dB) ↑"]
    assert list(dots(axes)) == ["full"]
    assert list(rows(axes).values()) == ["full", "a lacking one"]
    assert [text.get_text() for text in axes.texts] == ["not measured"]


def test_a_dataset_and_a_protocol_have_a_block_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, dataset__name="one")
    put(tmp_path, dataset__name="two")
    put(tmp_path, dataset__name="two", protocol__hash="another")
    figure = metric_bars(Store(tmp_path), select(tmp_path), ["psnr"])
    titles = {part.get_suptitle().partition(" (")[0::2] for part in figure.subfigs}
    assert len(titles) == 3
    assert {("one/all, n = 4", ""), ("two/all, n = 4", "another)")} < titles
    assert [len(axes.containers) for axes in figure.axes if axes.containers] == [1, 1, 1]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [(["psnrr"], "Did you mean psnr"), (["fid"], "no Run has fid: weights are missing. Measured were: psnr, cf")],
)
def test_bars_of_what_was_not_measured_say_why(tmp_path: Path, metrics: list[str], message: str) -> None:
    put(tmp_path, metrics={"fid": "weights are missing."})
    with pytest.raises(BenchError, match=message):
        metric_bars(Store(tmp_path), select(tmp_path), metrics)


def test_fid_against_cf_shows_both_numbers_and_names_whom_it_leaves_out(tmp_path: Path) -> None:
    put(tmp_path, "one", metrics={"fid": 12.5})
    put(tmp_path, "two", {"cf": (20, 21, 22, 23)}, {"fid": (7.5, 7.0, 9.0)})
    put(tmp_path, "three", metrics={"fid": "no weights"})
    figure = quality_against_colourfulness(Store(tmp_path), select(tmp_path, ["one", "two", "three"]))
    (axes,) = figure.axes
    assert points(axes.lines) == [[25.0, 12.5], [21.5, 7.5]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("CF", "FID ↓")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    assert "three on photos/all" in figure.legends[0].get_title().get_text()


def test_without_fid_the_axis_says_fcd(tmp_path: Path) -> None:
    put(tmp_path, metrics={"fcd": 12.5, "fid": "no weights"})
    figure = quality_against_colourfulness(Store(tmp_path), select(tmp_path))
    assert figure.axes[0].get_ylabel() == "FCD ↓"
    with pytest.raises(BenchError, match="no Run has fid: no weights"):
        quality_against_colourfulness(Store(tmp_path), select(tmp_path), "fid")


def latency(model: str, ms: float | None, psnr: Sequence[float] = (20, 22, 24, 26), **changes: Any) -> dict[str, Any]:
    """What ``put`` takes to write a model of this latency."""
    return {"model": model, "columns": {"psnr": psnr}, "speed__latency_ms": ms, **changes}


def steps(axes: Axes) -> list[list[float]]:
    """Corners of the front; empty without one."""
    drawn = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
    return next((corners for corners in drawn if len(corners) > 1), [])


def test_latencies_on_different_devices_never_share_axes(tmp_path: Path) -> None:
    put(tmp_path, **latency("on the CPU", 300.0))
    put(tmp_path, **latency("on the GPU", 3.0, environment__device=GPU))
    axes = panels(quality_against_latency(select(tmp_path)))
    cpu, gpu = (f"photos/all, n = 4\n{device}" for device in ("cpu, A CPU, 2 threads", "cuda, A GPU"))
    assert {title: points(its.lines) for title, its in axes.items()} == {cpu: [[300.0, 23.0]], gpu: [[3.0, 23.0]]}


def test_latency_is_that_of_the_model_whatever_the_whole_pass_took(tmp_path: Path) -> None:
    run = put(tmp_path, **latency("net", 19.0, speed__images_per_second=4.0))
    (axes,) = quality_against_latency(select(tmp_path)).axes
    recorded = json.loads((tmp_path / run.folder / "result.json").read_text())["speed"]["latency_ms"]
    assert points(axes.lines) == [[recorded, 23.0]] == [[19.0, 23.0]]
    assert "ms per image" in axes.get_xlabel()
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_no_other_point_beats(higher: bool) -> None:
    rng = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in rng.integers(0, 12, (60, 2))]
    sign = 1 if higher else -1

    def beats(p: tuple[float, float], q: tuple[float, float]) -> bool:
        return p != q and p[0] <= q[0] and sign * p[1] >= sign * q[1]

    expected = {q for q in points if not any(beats(p, q) for p in points)}
    found = front(points, higher)
    assert found == sorted(expected)


def test_the_front_steps_up_to_the_right(tmp_path: Path) -> None:
    for name, ms, psnr in (("quick", 1.0, 20), ("beaten", 30.0, 19), ("slow", 100.0, 25)):
        put(tmp_path, **latency(name, ms, [psnr] * 4))
    (axes,) = quality_against_latency(select(tmp_path)).axes
    bottom, right = axes.get_ylim()[0], axes.get_xlim()[1]
    assert steps(axes) == [[1, bottom], [1, 20], [100, 25], [right, 25]]
    (line,) = [line for line in axes.lines if len(np.asarray(line.get_xydata())) > 1]
    assert line.get_drawstyle() == "steps-post"  # level from the quick one to where the slow one begins


def test_what_does_not_compete_is_drawn_but_shapes_no_front(tmp_path: Path) -> None:
    put(tmp_path, **latency("net", 10.0))
    put(tmp_path, **latency("oracle", 0.5, [30] * 4, model__family="reference"))
    put(tmp_path, **latency("untrained", 0.7, [29] * 4, model__source="random"))
    put(tmp_path, **latency("hinted", 0.8, [28] * 4, hints=5))
    put(tmp_path, **latency("cut short", 0.9, [27] * 4, complete=False))
    figure = quality_against_latency(select(tmp_path))
    (axes,) = figure.axes
    assert sorted(points(axes.lines)) == [[0.5, 30.0], [0.7, 29.0], [0.8, 28.0], [0.9, 27.0], [10.0, 23.0]]
    assert [corner for corner in steps(axes) if corner[1] > 23] == []
    assert [10.0, 23.0] in steps(axes)
    hollow = {line.get_xdata()[0] for line in axes.lines if line.get_markerfacecolor() == "white"}
    assert hollow == {0.5, 0.7, 0.8, 0.9}
    assert "Hollow: not part of the front." in figure.legends[0].get_title().get_text()
    (alone,) = quality_against_latency(select(tmp_path, ["oracle"])).axes
    assert steps(alone) == []


def test_models_without_a_latency_are_named(tmp_path: Path) -> None:
    put(tmp_path, "here")
    put(tmp_path, "elsewhere", speed__latency_ms=None)
    figure = quality_against_latency(select(tmp_path))
    told = " ".join(figure.legends[0].get_title().get_text().split())
    assert told == "Not shown: elsewhere on photos/all (no psnr or latency)."
    with pytest.raises(BenchError, match="have none"):
        quality_against_latency(select(tmp_path, ["elsewhere"]))


def test_a_number_without_direction_has_no_front(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(BenchError, match="no better direction"):
        quality_against_latency(select(tmp_path), "cf")
    with pytest.raises(UnknownNameError):
        quality_against_latency(select(tmp_path), "speed")


def boxes(axes: Axes) -> dict[str, tuple[float, float]]:
    """Name of the row -> first and third quartile, which the box reaches from and to."""
    names, found = rows(axes), {}
    for patch in axes.patches:
        xs, ys = patch.get_path().vertices.T
        name = names[min(names, key=lambda row: abs(row - ys[:4].mean()))]
        found[name] = (xs.min(), xs.max())
    return found


def test_boxes_are_the_quartiles_of_the_photographs_that_all_models_have(tmp_path: Path) -> None:
    first, second = (20, 22, 24, 50), (10, 13, 14, float("nan"))
    put(tmp_path, "first", {"psnr": first})
    put(tmp_path, "second", {"psnr": second}, {"psnr": 12.0})
    (axes,) = [a for a in per_photo_distributions(Store(tmp_path), select(tmp_path), ["psnr"]).axes if a.patches]
    assert axes.get_title(loc="left") == "PSNR (dB) ↑, n = 3 that all have"
    assert list(rows(axes).values()) == ["first", "second"]
    found = boxes(axes)
    assert found["first"] == pytest.approx(np.quantile(first[:3], [0.25, 0.75]))
    assert found["second"] == pytest.approx(np.quantile(second[:3], [0.25, 0.75]))


def test_the_originals_have_a_box_of_their_colourfulness(tmp_path: Path) -> None:
    put(tmp_path)
    axes = panels(per_photo_distributions(Store(tmp_path), select(tmp_path)))["CF"]
    assert boxes(axes)["originals"] == pytest.approx(np.quantile(CF_TARGET, [0.25, 0.75]))


def test_a_number_of_the_whole_set_has_no_distribution(tmp_path: Path) -> None:
    put(tmp_path, metrics={"fcd": 3.0})
    with pytest.raises(BenchError, match="of these Runs such are: psnr, cf"):
        per_photo_distributions(Store(tmp_path), select(tmp_path), ["fcd"])


def test_a_model_or_a_dataset_without_the_number_is_told(tmp_path: Path) -> None:
    put(tmp_path, "full")
    put(tmp_path, "lacking", {"cf": (1, 2, 3, 4)})
    put(tmp_path, "full", {"cf": (1, 2, 3, 4)}, reference=False, dataset__name="old", dataset__digest="old")
    figure = per_photo_distributions(Store(tmp_path), select(tmp_path), ["psnr"])
    told = [[text.get_text() for text in axes.texts] for axes in figure.axes if axes.get_title(loc="left")]
    assert told == [["not measured"], ["not measured"]]


def test_a_missing_table_of_values_is_named(tmp_path: Path) -> None:
    run = put(tmp_path)
    (tmp_path / run.folder / "per_image.parquet").unlink()
    with pytest.raises(BenchError, match=r"per_image.parquet.* is not here"):
        per_photo_distributions(Store(tmp_path), select(tmp_path))
    assert "CF" in panels(metric_bars(Store(tmp_path), select(tmp_path)))  # which needs it for one line only
