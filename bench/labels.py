"""What Runs are called in words: their photographs, and whatever tells one from others of the same model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.datasets import DATASETS
from bench.runs import Run

Way = Callable[[Run], str]
_DIGITS = 8  # of a digest in a label


def dataset_label(name: str, split: str) -> str:
    """``coco``, or ``imagenet/val50k`` where the split is not the one meant by the name alone."""
    info = DATASETS.get(name)
    return name if info is not None and split == info.default_split else f"{name}/{split}"


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


def hints_label(count: int) -> str:
    """``5 hints``, ``1 hint``."""
    return f"{count} hint{'' if count == 1 else 's'}"


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
VARIANT = (*MODEL, Aspect((lambda run: hints_label(run.hints),), remarkable=lambda run: run.hints > 0))
"""What makes a model of one name another one; hints, which are given to it, make it another variant only."""


def told_apart(titled: Sequence[tuple[Run, str]], aspects: Sequence[Aspect]) -> list[str]:
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
