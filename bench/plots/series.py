"""Which Runs share axes, and how each model is called and drawn: the same in every plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties

from bench.plots.style import FAINT, WIDTH, palette, wrapped
from bench.runs import Run
from bench.selection import newest
from bench.tables.results import dataset_label

Way = Callable[[Run], str]
_DIGITS = 8  # of a digest in a label
_MARKERS = "os^DvPX<>p*h"
_CHARACTERS = 62  # of all columns of a legend, each with 7 for its mark
_LEGEND_LINE = 0.165  # inches


@dataclass(frozen=True)
class Aspect:
    """Something that makes a Run another one.

    Args:
        ways: to write it, the most readable first.
        digest: tells apart what no way does; else the last of the ways is exact.
        remarkable: whether it is worth saying even where all Runs agree.
    """

    ways: tuple[Way, ...]
    digest: Way | None = None
    remarkable: Callable[[Run], bool] = lambda _: False

    def exact(self, run: Run) -> str:
        return (self.digest or self.ways[-1])(run)

    def written(self, alike: Sequence[Run]) -> Way:
        """The most readable way that keeps apart what is different among ``alike``."""
        different = len(set(map(self.exact, alike)))
        telling = (way for way in self.ways if len(set(map(way, alike))) == different)
        return next(telling, lambda run: self.exact(run)[:_DIGITS])


def _count(run: Run) -> str:
    return f"{run.hints} hint{'' if run.hints == 1 else 's'}"


def _weights(run: Run) -> str:
    return "random weights" if run.model.source == "random" else run.model.weights


def _options(run: Run) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(run.model.options.items())) or "no options"


MODEL = (
    Aspect((_weights,), lambda run: run.model.sha256 or run.model.weights, lambda run: run.model.source == "random"),
    Aspect((lambda run: run.model.source,), remarkable=lambda run: run.model.source == "predictions"),
    Aspect((_options,)),
    Aspect((lambda run: run.environment.precision,), remarkable=lambda run: run.environment.precision != "fp32"),
)
VARIANT = (*MODEL, Aspect((_count,), remarkable=lambda run: run.hints > 0))
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
    titles = _told_apart([(group[0], _photographs(group)) for group in groups.values()], _CASES)
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
    labels = _told_apart([(run, run.model.name) for run in first.values()], aspects)
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


def _told_apart(titled: Sequence[tuple[Run, str]], aspects: Sequence[Aspect]) -> list[str]:
    """Each title, and in brackets what is remarkable or tells it from others that are titled alike."""
    labels = []
    for run, title in titled:
        alike = [other for other, its in titled if its == title]
        told = []
        for aspect in aspects:
            same = [other for other in alike if aspect.exact(other) == aspect.exact(run)]
            if aspect.remarkable(run) or len(same) < len(alike):
                told.append(aspect.written(alike)(run))
                alike = same
        labels.append(f"{title} ({', '.join(told)})" if told else title)
    return labels
