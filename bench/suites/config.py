"""What a suite is made of: a YAML file, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.configs import Strict, checked, config_names, read_config
from bench.errors import ConfigError
from bench.labels import hints_label
from bench.metrics import NUMBERS
from bench.plots import FROM_RUNS
from bench.published import papers
from bench.tables import FORMATS, Format

KIND = "suites"


def _check_known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(known)}")


class Entry(Strict):
    """Models to measure, all in one way.

    Args:
        name: of a model, a pattern such as ``*-mini``, or ``all``.
        weights: a name on the card, a file or ``random``; None = the card's default.
        options: of the constructor, e.g. ``steps`` of a diffusion model.
        hints: colours per photograph that are drawn from the original and given to the model.
    """

    name: str = Field(min_length=1)
    weights: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    hints: int = Field(default=0, ge=0)

    @property
    def title(self) -> str:
        """What tells it from other entries."""
        told = [self.weights] if self.weights else []
        told += [f"{key}={value}" for key, value in self.options.items()]
        told += [hints_label(self.hints)] if self.hints else []
        return f"{self.name} ({', '.join(told)})" if told else self.name


class Tables(Strict):
    """The tables of a suite.

    Args:
        metrics: columns; none = every number that was measured.
        formats: of the files.
        efficiency: with parameters, multiply-accumulates, latency, images/s and memory.
        papers: whose tables are laid out with what was measured beside it.
    """

    metrics: tuple[str, ...] = ()
    formats: tuple[Format, ...] = FORMATS
    efficiency: bool = True
    papers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _exist(self) -> Tables:
        _check_known("number", self.metrics, NUMBERS)
        _check_known("paper", self.papers, papers())
        return self


class Suite(Strict):
    """Models x datasets x protocols, and what is made of their Runs.

    Args:
        name: of its folder.
        title: of its pages.
        models: what is measured; in the file a name alone, or the keys of an ``Entry``.
        datasets: as ``bench run --dataset`` takes them.
        protocols: names or files.
        weights: of every model whose entry names none; ``random`` marks the Runs.
        limit: the first photographs of each dataset only.
        samples: pictures to keep of each Run.
        pictures: datasets of which new Runs keep pictures, for where those of others must not be shown; or ``all``.
        colourings: of each photograph, by the models that draw their colours.
        require: ``all``: a model without weights or a dataset that is not here is an error; ``available``: it is left
            out, with the reason.
        tables, report: what is made of the Runs.
        plots: kinds of plots that are made from Runs, or ``all``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    title: str
    models: tuple[Entry, ...] = Field(min_length=1)
    datasets: tuple[str, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = Field(default=("paper",), min_length=1)
    weights: str | None = None
    limit: int | None = Field(default=None, ge=1)
    samples: int = Field(default=6, ge=0)
    pictures: tuple[str, ...] | Literal["all"] = "all"
    colourings: int = Field(default=1, ge=1)
    require: Literal["all", "available"] = "available"
    tables: Tables = Tables()
    plots: tuple[str, ...] | Literal["all"] = "all"
    report: bool = True

    @model_validator(mode="after")
    def _exist(self) -> Suite:
        if self.plots != "all":
            _check_known("kind of plot", self.plots, FROM_RUNS)
        if self.pictures != "all":
            _check_known("dataset of this suite called", self.pictures, self.datasets)
        return self

    def samples_of(self, dataset: str) -> int:
        """Pictures to keep of each Run on a dataset of ``datasets``."""
        return self.samples if self.pictures == "all" or dataset in self.pictures else 0


def suite_names() -> list[str]:
    """The suites that come with the package, sorted."""
    return config_names(KIND)


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite.

    Args:
        name_or_path: a name of ``suite_names()``, or a YAML file.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or value does not fit; names the key and the nearest one.
    """
    content, path = read_config(KIND, name_or_path)
    if isinstance(content.get("models"), list):
        content["models"] = [_entry(item, str(path), f"models.{i}") for i, item in enumerate(content["models"])]
    return checked(Suite, content, str(path))


def _entry(item: object, where: str, key: str) -> Entry:
    if isinstance(item, str):
        return Entry(name=item) if item else _refused(item, where, key)
    if isinstance(item, dict) and all(isinstance(name, str) for name in item):
        return checked(Entry, item, where, key)
    return _refused(item, where, key)


def _refused(item: object, where: str, key: str) -> Entry:
    raise ConfigError(f"{where}, key {key!r}: {item!r} is no model. Expected a name, or name: with other keys.")
