"""Quality against latency."""

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
from bench.tables.marks import competes

_HEIGHT = 2.4  # inches of a panel


def quality_against_latency(runs: Sequence[Run], metric: str = "psnr") -> Figure:
    """A point a model: its number against the latency of one photograph; and the front of what no other beats in both.

    Only what competes (``bench.tables.marks.competes``) shapes the front; floor, ceiling, random weights, hinted and
    incomplete Runs are hollow. Latencies on different devices are not compared: there is a panel for each dataset,
    protocol and device.

    Args:
        runs: those without a latency or without the number are named under the axes.
        metric: the number of quality; one of which higher or lower is better.

    Raises:
        UnknownNameError: there is no such number.
        BenchError: no Run has it, or it has no better direction, or no Run has a latency.
    """
    require(runs, [metric])
    number = NUMBERS[metric]
    if number.better not in ("higher", "lower"):
        raise BenchError(f"{metric} has no better direction, so there is no front. Choose another --metric, as dcf.")
    groups = _by_device(runs, metric)
    if not groups:
        raise BenchError(f"no Run has both {metric} and a latency; coloured images from elsewhere have none.")
    look = looks(runs)
    with style():
        figure = Figure((WIDTH, _HEIGHT * len(groups) + 0.5), layout="constrained")
        entries: dict[str, Artist] = {}
        for axes, (title, its) in zip(figure.subplots(len(groups), 1, squeeze=False).flat, groups.items(), strict=True):
            axes.set(xlabel="latency (ms per image) ↓", ylabel=axis_label(metric))
            for run in its:
                (entries[_with_parameters(look(run).label, run)],) = axes.plot(
                    *_point(run, metric), look(run).marker, color=look(run).colour, markersize=6,
                    markerfacecolor=look(run).colour if competes(run) else "white",
                )  # fmt: skip
            plain_log(axes.xaxis)
            best = front([_point(run, metric) for run in its if competes(run)], number.better == "higher")
            if best:
                _draw_front(axes, best, number.better == "higher")
            axes.set_title("\n".join(wrapped(line, WIDTH - 0.6, 9) for line in title.split("\n")), loc="left")
        shown = [run for its in groups.values() for run in its]
        hollow = "" if all(map(competes, shown)) else "Hollow: not part of the front."
        left_out = without(runs, shown, look, f"{metric} or latency")
        legend(figure, entries, " ".join(filter(None, (hollow, left_out))))
    return figure


def front(points: Sequence[tuple[float, float]], higher: bool) -> list[tuple[float, float]]:
    """Of points (latency, quality) those that no other beats in one and at least equals in the other.

    Args:
        higher: whether a higher quality is better; a lower latency always is.

    Returns:
        by ascending latency, so that quality becomes better too.
    """
    sign = 1 if higher else -1
    found: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda p: (p[0], -sign * p[1])):
        if not found or sign * y > sign * found[-1][1]:
            found.append((x, y))
    return found


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]], higher: bool) -> None:
    """Steps: at every latency the best quality that a model as fast, or faster, has."""
    xs, ys = axes.get_xlim(), axes.get_ylim()
    corners = [(points[0][0], ys[0 if higher else 1]), *points, (xs[1], points[-1][1])]
    axes.step(*zip(*corners, strict=True), where="post", color=FAINT, linewidth=1, linestyle="--", zorder=0)
    axes.set(xlim=xs, ylim=ys)


def _point(run: Run, metric: str) -> tuple[float, float]:
    value, latency = estimate(run, metric).value, run.speed.latency_ms
    assert value is not None
    assert latency is not None
    return latency, value


def _by_device(runs: Sequence[Run], metric: str) -> dict[str, list[Run]]:
    """Runs that have both, by what may share axes."""
    groups: dict[str, list[Run]] = {}
    for panel in panels(runs):
        for run in panel.runs:
            if estimate(run, metric).value is not None and run.speed.latency_ms:
                groups.setdefault(f"{panel.title}\n{_device(run)}", []).append(run)
    return groups


def _device(run: Run) -> str:
    """``cpu, AMD EPYC, 2 threads``; one photograph is coloured by one process, however many measured."""
    facts = run.environment.device
    kind = str(facts.get("type", "unknown device"))
    threads = facts.get("threads") if kind == "cpu" else None
    told = [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    return ", ".join([kind, *([str(facts["name"])] if facts.get("name") else []), *told])


def _with_parameters(label: str, run: Run) -> str:
    """``ddcolor, 228 M parameters``"""
    count = run.model.parameters
    return f"{label}, {count / 1e6:.3g} M parameters" if count else label
