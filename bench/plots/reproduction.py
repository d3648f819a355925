"""Published numbers against what was measured in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.numbers import axis_label
from bench.plots.series import headline, legend, looks
from bench.plots.style import FAINT, INK, WIDTH, plain_log, style
from bench.published import Paper, load_paper, pairs
from bench.runs import Run

_MARKERS = "os^DvP"  # of the datasets
_REPORTED = "X"
_SIDE = WIDTH / 2 + 0.15  # inches of a panel
_HEAD = 0.2  # inches of the headline
_MARGIN, _ROOM = 0.08, 1.25  # around the values: a share of their range; a factor on logarithmic axes
_FAR = 4  # values this many times as large as others need logarithmic axes

Colour = tuple[float, float, float] | str


@dataclass(frozen=True)
class _Point:
    """One number.

    Args:
        number: its name here.
        x: published; None where a report does not say which number it is of.
        y: measured, with its interval, if it has one.
        label: of the model, or the source of a report.
        colour: of the model; None for a report.
        dataset: label in the paper.
        comparable: whether the two numbers compare.
    """

    number: str
    x: float | None
    y: float
    interval: tuple[float, float] | None
    label: str
    colour: Colour | None
    dataset: str
    comparable: bool = True

    @property
    def extent(self) -> list[float]:
        """Everything of it that must lie within the axes."""
        return [value for value in (self.x, self.y, *(self.interval or ())) if value is not None]


def reported_against_reproduced(runs: Sequence[Run], paper: str = "ddcolor", reports_alone: bool = True) -> Figure:
    """A panel per number; on the diagonal lies what was reproduced exactly.

    Numbers measured here have the colour of their model and the marker of their dataset; hollow are those that do not
    compare with the paper's. Crosses are what others reported, with their source; a line where they do not say enough
    to know which published number it is of.

    Args:
        runs: any; those that stand for no published number are left out.
        paper: short name of a paper.
        reports_alone: whether to draw what others reported where no Run counts.

    Raises:
        UnknownNameError: there is no such paper.
        BenchError: there is nothing to draw: no Run that counts, and no report (or these are not wanted alone).
    """
    known = load_paper(paper)
    measured, reported = list(_measured(runs, known)), list(_reported(known))
    if not measured and not (reported and reports_alone):
        nobody = "" if reported else ", and nobody has reported one"
        raise BenchError(
            f"no Run stands for a published number of {known.title}{nobody}. `bench table paper --paper {paper}` "
            "shows what could be measured."
        )
    points = [*measured, *reported]
    names = [name for name in NUMBERS if any(point.number == name for point in points)]
    markers = dict(zip(known.datasets, _MARKERS, strict=False))
    with style():
        rows = -(-len(names) // 2)
        figure = Figure((WIDTH, _SIDE * rows + _HEAD), layout="constrained")
        places = list(figure.subplots(rows, 2, squeeze=False).flat)
        for axes, name in zip(places, names, strict=False):
            _draw(axes, name, [point for point in points if point.number == name], markers)
        for axes in places[len(names) :]:
            axes.set_axis_off()
        for i, axes in enumerate(places[: len(names)]):
            axes.set(xlabel="published" if i + 2 >= len(names) else "", ylabel="" if i % 2 else "measured")
        headline(figure, known.title)
        legend(figure, _entries(points, markers), _note(points))
    return figure


def _measured(runs: Sequence[Run], paper: Paper) -> Iterator[_Point]:
    look = looks(runs)
    for pair in pairs(runs, paper.name):
        estimate, name = pair.estimate, paper.names[pair.published.metric].name
        assert estimate.value is not None
        assert name is not None
        interval = None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
        its = look(pair.run)
        yield _Point(
            name, pair.published.value, estimate.value, interval, its.label, its.colour, pair.published.dataset,
            not pair.caveats,
        )  # fmt: skip


def _reported(paper: Paper) -> Iterator[_Point]:
    for report, aim in paper.reported():
        name = paper.names[report.metric].name
        if name in NUMBERS:
            yield _Point(name, aim.value if aim else None, report.value, None, report.source, None, report.dataset)


def _draw(axes: Axes, name: str, points: Sequence[_Point], markers: Mapping[str, str]) -> None:
    """Equal axes around all values, logarithmic where these differ much."""
    values = [value for point in points for value in point.extent]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > _FAR * low
    margin = _MARGIN * (high - low or 1)
    low, high = (low / _ROOM, high * _ROOM) if logarithmic else (low - margin, high + margin)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle="--", zorder=0)
    for point in points:
        colour = point.colour or INK
        if point.x is None:
            axes.axhline(point.y, color=colour, linewidth=1, linestyle=":", zorder=0)
            continue
        if point.interval is not None:
            axes.vlines(point.x, *point.interval, color=colour, linewidth=1)
        marker = markers.get(point.dataset, _MARKERS[0]) if point.colour else _REPORTED
        axes.plot([point.x], [point.y], linestyle="", **_look(colour, marker, point.comparable))
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
    axes.set_title(axis_label(name), loc="left")
    if logarithmic:
        plain_log(axes.xaxis)
        plain_log(axes.yaxis)


def _look(colour: Colour, marker: str, comparable: bool = True) -> dict[str, Any]:
    inside = colour if comparable else "white"
    return {"marker": marker, "markersize": 5, "markeredgecolor": colour, "markerfacecolor": inside}


def _entries(points: Sequence[_Point], markers: Mapping[str, str]) -> dict[str, Artist]:
    """What colours, markers and lines mean, as far as they occur."""
    ours = [point for point in points if point.colour]
    datasets = list(dict.fromkeys(point.dataset for point in ours))
    found: dict[str, Artist] = {}
    for point in ours:
        found[point.label] = Line2D([], [], linestyle="", **_look(point.colour or INK, _MARKERS[0]))
    for dataset in datasets if len(datasets) > 1 else ():
        found[dataset] = Line2D([], [], linestyle="", **_look(INK, markers.get(dataset, _MARKERS[0])))
    if not all(point.comparable for point in ours):
        found["not comparable"] = Line2D([], [], linestyle="", **_look(INK, _MARKERS[0], comparable=False))
    for point in points:
        if point.colour is None:
            line = {"linestyle": ":", "color": INK} if point.x is None else {"linestyle": "", **_look(INK, _REPORTED)}
            found[point.label] = Line2D([], [], **line)
    return found


def _note(points: Sequence[_Point]) -> str:
    """What of the numbers is missing."""
    aimless = [f"{point.label} is of {point.dataset}" for point in points if point.x is None]
    nothing = [] if any(point.colour for point in points) else ["Nothing of this paper has been measured here yet"]
    return " ".join(f"{sentence}." for sentence in (*nothing, *dict.fromkeys(aimless)))
