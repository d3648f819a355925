"""Which Runs share axes, and how each model is drawn: the same in every plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties

from bench.labels import VARIANT, Aspect, dataset_label, told_apart
from bench.plots.style import FAINT, WIDTH, palette, wrapped
from bench.runs import Run
from bench.selection import newest

_MARKERS = "os^DvPX<>p*hd8H"
_CHARACTERS = 62  # of all columns of a legend, each with 7 for its mark
_LEGEND_LINE = 0.165  # inches
_CASES = (
    Aspect((), lambda run: run.dataset.digest),
    Aspect((lambda run: run.protocol.name,), lambda run: run.protocol.hash),
)


@dataclass(frozen=True)
class Panel:
    """Runs that may share axes: the same photographs under the same protocol. ``title`` names these."""

    title: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class Look:
    """A model in a plot."""

    label: str
    colour: tuple[float, float, float]
    marker: str


def panels(runs: Sequence[Run]) -> list[Panel]:
    """Runs by photographs and protocol, in the order of their first; of repetitions the newest."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in newest(runs).values():
        exact = (aspect.exact(run) for aspect in _CASES)
        groups.setdefault((run.dataset.name, run.dataset.split, *exact), []).append(run)
    titles = told_apart([(group[0], _photographs(group)) for group in groups.values()], _CASES)
    return [Panel(title, group) for title, group in zip(titles, groups.values(), strict=True)]


def looks(runs: Sequence[Run], aspects: Sequence[Aspect] = VARIANT) -> Callable[[Run], Look]:
    """How the model of each of ``runs`` is called and drawn, colours by the order in which models first occur.

    Args:
        runs: all there are, drawn or not, so that a model keeps its colour from plot to plot.
        aspects: what makes a model another one, besides its name.
    """

    def key(run: Run) -> tuple[str, ...]:
        return (run.model.name, *(aspect.exact(run) for aspect in aspects))

    first: dict[tuple[str, ...], Run] = {}
    for run in runs:
        first.setdefault(key(run), run)
    labels = told_apart([(run, run.model.name) for run in first.values()], aspects)
    parts = zip(first, labels, palette(len(first)), strict=True)
    found = {k: Look(label, c, _MARKERS[i % len(_MARKERS)]) for i, (k, label, c) in enumerate(parts)}
    return lambda run: found[key(run)]


def has_reference(run: Run) -> bool:
    """Whether its photographs have original colours."""
    return run.dataset.gray is not None


def headline(figure: FigureBase, title: str) -> None:
    """The name of a block of panels, above its left edge."""
    figure.suptitle(wrapped(title, WIDTH - 0.2, 9), x=0.01, ha="left", weight="bold", size=8.5)


def legend(figure: Figure, entries: Mapping[str, Artist], note: str = "") -> None:
    """Names under the axes, in as many columns as they leave room for, below a note; the figure grows by them."""
    labels = [wrapped(label, WIDTH - 0.8) for label in entries]
    widest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    columns = max(1, min(len(labels), _CHARACTERS // (widest + 7)))
    made = figure.legend(
        list(entries.values()), labels, loc="outside lower center", ncols=columns, columnspacing=1.5, handlelength=1.8
    )
    rows = -(-len(labels) // columns) * max(label.count("\n") + 1 for label in labels)
    if note:
        lines = wrapped(note, WIDTH - 0.3, points=7)
        made.set_title(lines, prop=FontProperties(size=7))
        made.get_title().set(color=FAINT, multialignment="center")
        rows += lines.count("\n") + 2
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + _LEGEND_LINE * rows)


def without(runs: Sequence[Run], shown: Sequence[Run], look: Callable[[Run], Look], what: str) -> str:
    """``Not shown: gray on coco, all on imagenet/val50k (no fid).``; empty if all Runs are shown."""
    there = [id(run) for run in shown]
    missing: list[str] = []
    labels = [dataset_label(run.dataset.name, run.dataset.split) for run in runs]
    for dataset in dict.fromkeys(labels):
        its = [run for run, label in zip(runs, labels, strict=True) if label == dataset]
        absent = [f"{look(run).label} on {dataset}" for run in its if id(run) not in there]
        missing += [f"all on {dataset}"] if len(absent) == len(its) else dict.fromkeys(absent)
    return f"Not shown: {', '.join(missing)} (no {what})." if missing else ""


def _photographs(runs: Sequence[Run]) -> str:
    """``coco, n = 250``; with a range where some failed, and how many there should be."""
    dataset = runs[0].dataset
    counts = sorted({run.dataset.n for run in runs})
    n = "–".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    of = f" of {dataset.expected:,}" if dataset.expected and not all(run.dataset.complete for run in runs) else ""
    return f"{dataset_label(dataset.name, dataset.split)}, n = {n}{of}"
