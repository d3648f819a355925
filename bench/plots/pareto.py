"""Quality against speed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.metrics import NUMBERS
from bench.plots.numbers import axis_label, estimate, require
from bench.plots.series import legend, looks, panels, without
from bench.plots.style import FAINT, WIDTH, plain_log, style, wrapped
from bench.runs import Run

_HEIGHT = 2.4  # inches of a panel


def quality_against_speed(runs: Sequence[Run], metric: str = "psnr") -> Figure:
    """A point a model, and the front of those that no other beats in both.

    Speeds on different devices are not compared: there is a panel for each dataset, protocol and device.

    Args:
        runs: those without a speed or without the number are named under the axes.
        metric: the number of quality; one of which higher or lower is better.

    Raises:
        UnknownNameError: there is no such number.
        BenchError: no Run has it, or it has no better direction, or no Run has a speed.
    """
    require(runs, [metric])
    number = NUMBERS[metric]
    if number.better not in ("higher", "lower"):
        raise BenchError(f"{metric} has no better direction, so there is no front. Choose another --metric, as dcf.")
    groups = _by_device(runs, metric)
    if not groups:
        raise BenchError(f"no Run has both {metric} and a speed; coloured images from elsewhere have none.")
    look = looks(runs)
    with style():
        figure = Figure((WIDTH, _HEIGHT * len(groups) + 0.5), layout="constrained")
        entries: dict[str, Artist] = {}
        for axes, (title, its) in zip(figure.subplots(len(groups), 1, squeeze=False).flat, groups.items(), strict=True):
            axes.set(xlabel="images/s", ylabel=axis_label(metric))
            for run in its:
                (entries[_with_parameters(look(run).label, run)],) = axes.plot(
                    *_point(run, metric), look(run).marker, color=look(run).colour, markersize=6
                )
            plain_log(axes.xaxis)
            best = front([_point(run, metric) for run in its], number.better == "higher")
            _draw_front(axes, best, number.better == "higher")
            axes.set_title("\n".join(wrapped(line, WIDTH - 0.6, 9) for line in title.split("\n")), loc="left")
        left_out = without(runs, [run for its in groups.values() for run in its], look, f"{metric} or speed")
        legend(figure, entries, left_out)
    return figure


def front(points: Sequence[tuple[float, float]], higher: bool) -> list[tuple[float, float]]:
    """Of points (speed, quality) those that no other beats in one and equals in the other, by ascending speed."""
    sign = 1 if higher else -1
    found: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda p: (-p[0], -sign * p[1])):
        if not found or sign * y > sign * found[-1][1]:
            found.append((x, y))
    return found[::-1]


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]], higher: bool) -> None:
    """Steps: at every speed the best quality that a model as fast, or faster, has."""
    limits, worst = axes.get_xlim(), axes.get_ylim()[0 if higher else 1]
    corners = [(limits[0], points[0][1]), *points, (points[-1][0], worst)]
    axes.step(*zip(*corners, strict=True), where="pre", color=FAINT, linewidth=1, linestyle="--", zorder=0)
    axes.set(xlim=limits, ylim=axes.get_ylim())


def _point(run: Run, metric: str) -> tuple[float, float]:
    value, speed = estimate(run, metric).value, run.speed.images_per_second
    assert value is not None
    assert speed is not None
    return speed, value


def _by_device(runs: Sequence[Run], metric: str) -> dict[str, list[Run]]:
    """Runs that have both, by what may share axes."""
    groups: dict[str, list[Run]] = {}
    for panel in panels(runs):
        for run in panel.runs:
            if estimate(run, metric).value is not None and run.speed.images_per_second:
                groups.setdefault(f"{panel.title}\n{_device(run)}", []).append(run)
    return groups


def _device(run: Run) -> str:
    """``cpu, AMD EPYC, 2 threads``"""
    facts = run.environment.device
    kind = str(facts.get("type", "unknown device"))
    counted = (("thread", facts.get("threads") if kind == "cpu" else None), ("process", run.speed.processes))
    told = [f"{n} {what}{'' if n == 1 else 's' if what == 'thread' else 'es'}" for what, n in counted if n]
    return ", ".join([kind, *([str(facts["name"])] if facts.get("name") else []), *told])


def _with_parameters(label: str, run: Run) -> str:
    """``ddcolor, 228 M parameters``"""
    count = run.model.parameters
    return f"{label}, {count / 1e6:.3g} M parameters" if count else label
