"""Published numbers, what they mean here, and the Runs that measured the same.

``results/published/PAPER.csv`` holds the numbers as printed, each with its source; ``PAPER.yaml`` says which of our
models, datasets and numbers stand for the paper's. No mapping is in code.
"""

from __future__ import annotations

import ast
import csv
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from bench.errors import ConfigError, UnknownNameError
from bench.metrics import NUMBERS
from bench.protocol import load_protocol
from bench.runs import Estimate, Record, Run
from bench.tables.marks import LOSSLESS, TRAINED_HERE, hints_mark, subset, weights_mark
from bench.tables.measures import MEASURES

# Beside this package, in the repository as in an installation.
_FOLDER = Path(__file__).resolve().parent.parent / "results" / "published"
EVERYWHERE = "-"  # dataset of numbers that depend on none, such as the number of parameters


class PublishedNumber(Record):
    """One number of a paper, or one that somebody reported of it.

    Args:
        paper: short name, that of the file.
        table, method, dataset, metric: labels, as the source has them.
        value: the number; ``written`` is how the source prints it.
        source: where it was published.
    """

    paper: str
    table: str
    method: str
    dataset: str
    metric: str
    value: float
    written: str
    source: str


class OurNumber(Record):
    """What a metric of a paper is here.

    Args:
        name: as in ``bench.tables.measures``; None if we have no such number.
        exact: the variant that the papers' own scripts compute, where ``name`` is another one; it goes before.
        caveat: why ``name`` does not compare; belongs to ``exact``.
        label, better, decimals: how to print what we have not.
    """

    name: str | None = None
    exact: str | None = None
    caveat: str = ""
    label: str = ""
    better: Literal["higher", "lower", "none"] = "none"
    decimals: int = 0


class OurMethod(Record):
    """What a method of a paper is here.

    Args:
        model: a registered name; None if it is not here.
        options: of the network, where they differ from the defaults.
        weights: names or patterns of the weights that stand for the method.
        originals: whether the row is of the photographs themselves; any Run that kept their numbers stands for it.
        note: what must be said of the row.
    """

    model: str | None = None
    originals: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    weights: tuple[str, ...] = ("*",)
    note: str = ""


class PaperTable(Record):
    """One table.

    Args:
        title: its head.
        labels: the tables of the CSV it is made of.
        methods: label -> what it is here; others are not here.
        any_weights: whether Runs with other weights than the method's are shown too, with a mark.
        trained_here: pattern of the files of weights that ``bench ablate`` trains for it.
        note: stands below it.
    """

    title: str
    labels: tuple[str, ...]
    methods: dict[str, OurMethod] = Field(default_factory=dict)
    any_weights: bool = False
    trained_here: str = ""
    note: str = ""


class Report(Record):
    """A reproduction by others; ``of`` names the method and dataset of the number it was aimed at, if that is known."""

    method: str
    dataset: str
    of: dict[Literal["method", "dataset"], str] = Field(default_factory=dict)


class Paper(Record):
    """A paper's numbers and what they mean here.

    Args:
        name: short name, that of its files.
        title, address: of the paper.
        protocol: name of the protocol its numbers compare with.
        datasets: label -> ``dataset/split``.
        names: label of a metric -> what it is here.
        defaults: options its networks have without being asked.
        tables: short name -> table, the main one first.
        reports: what others reproduced.
        numbers: all of them, in the order of the file.
    """

    name: str
    title: str
    address: str
    protocol: str
    datasets: dict[str, str]
    names: dict[str, OurNumber]
    defaults: dict[str, Any] = Field(default_factory=dict)
    tables: dict[str, PaperTable] = Field(min_length=1)
    reports: tuple[Report, ...] = ()
    numbers: tuple[PublishedNumber, ...]

    @cached_property
    def protocol_hash(self) -> str:
        """Of the protocol as it is today."""
        return load_protocol(self.protocol).hash

    def table(self, name: str) -> PaperTable:
        """Raises UnknownNameError if the paper has no such table."""
        if name not in self.tables:
            raise UnknownNameError(f"table of {self.name}", name, self.tables)
        return self.tables[name]

    def numbers_of(self, table: PaperTable) -> list[PublishedNumber]:
        """The numbers of one table, in the order of the file."""
        return [number for number in self.numbers if number.table in table.labels]

    def reported(self) -> list[tuple[PublishedNumber, PublishedNumber | None]]:
        """What others measured, and the published number they aimed at (None where they do not say)."""
        main = self.numbers_of(next(iter(self.tables.values())))
        aims = {(r.method, r.dataset): (r.of.get("method"), r.of.get("dataset")) for r in self.reports}
        found = []
        for number in self.numbers:
            if (number.method, number.dataset) in aims:
                aim = (*aims[number.method, number.dataset], number.metric)
                found.append((number, next((n for n in main if (n.method, n.dataset, n.metric) == aim), None)))
        return found


@dataclass(frozen=True)
class Pair:
    """A published number and what was measured here in its place.

    Args:
        caveats: why the two do not compare, the gravest first; empty if they do.
        marks: what a reader must know besides; none of it keeps the two from comparing.
        within: whether the published number lies in the interval of the measured one; None where this has no interval.
    """

    published: PublishedNumber
    run: Run
    estimate: Estimate
    caveats: tuple[str, ...]
    marks: tuple[str, ...] = ()

    @property
    def within(self) -> bool | None:
        if self.estimate.low is None or self.estimate.high is None:
            return None
        return self.estimate.low <= self.published.value <= self.estimate.high


def papers() -> list[str]:
    """The papers whose numbers come with the package, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_paper(name: str) -> Paper:
    """A paper by its short name.

    Raises:
        UnknownNameError: there is no such paper; says which there are.
        ConfigError: its files do not fit together; says where.
    """
    if name not in papers():
        raise UnknownNameError("paper", name, papers())
    path = _FOLDER / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return Paper.model_validate({"name": name, "numbers": tuple(_read(path.with_suffix(".csv"))), **content})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}, key {where!r}: {first['msg']}.") from error


def pairs(runs: Sequence[Run], paper: str) -> list[Pair]:
    """Every published number of a method that has been measured here, comparable or not, each Run's number once.

    Args:
        paper: short name.

    Raises:
        UnknownNameError: there is no such paper.
    """
    known = load_paper(paper)
    found: dict[tuple[int, str, str, float], Pair] = {}
    for table in known.tables.values():
        for number in known.numbers_of(table):
            if known.names[number.metric].name not in NUMBERS or _method(table, number).originals:
                continue
            pair = best_match(runs, known, table, number)
            if pair is not None and pair.estimate.value is not None:
                # The full model stands in every ablation anew.
                found.setdefault((id(pair.run), number.metric, number.dataset, number.value), pair)
    return list(found.values())


def best_match(runs: Sequence[Run], paper: Paper, table: PaperTable, number: PublishedNumber) -> Pair | None:
    """Of the Runs that stand for a published number the most comparable, then the newest; None without any.

    A Run with a grave fault comes after all that have only lighter ones, however many. The pair's estimate has no value
    where none of the Runs could measure this number.
    """
    candidates = [
        candidate
        for run in runs
        if _stands_for(run, paper, table, number) and (candidate := _candidate(run, paper, table, number)) is not None
    ]
    return min(candidates, key=lambda candidate: candidate.place).pair if candidates else None


def _read(path: Path) -> Iterator[PublishedNumber]:
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                value = float(row["value"].removesuffix("x"))  # "96x" as fast
                fields = {key: row[key] for key in ("table", "method", "dataset", "metric", "source")}
            except (KeyError, ValueError, AttributeError) as error:
                raise ConfigError(
                    f"{path}, line {line}: expected table,method,dataset,metric,value,source with a number as value."
                ) from error
            yield PublishedNumber(paper=path.stem, value=value, written=row["value"], **fields)


def _stands_for(run: Run, paper: Paper, table: PaperTable, number: PublishedNumber) -> bool:
    """Whether a Run is of the method and the dataset of a published number."""
    anywhere = number.dataset == EVERYWHERE
    if not anywhere and f"{run.dataset.name}/{run.dataset.split}" != paper.datasets.get(number.dataset):
        return False
    method = _method(table, number)
    if method.originals:
        return True
    if run.model.source == "predictions":
        return run.model.name.casefold() == number.method.casefold()
    if run.model.name != method.model or not (table.any_weights or _has_weights(run, method)):
        return False
    expected = {**paper.defaults, **method.options}
    return {**paper.defaults, **_options(run)} == expected


def _method(table: PaperTable, number: PublishedNumber) -> OurMethod:
    """Of a published number: what it is here; nothing in particular if the table does not say."""
    return table.methods.get(number.method, OurMethod())


def _has_weights(run: Run, method: OurMethod) -> bool:
    return any(fnmatch.fnmatchcase(run.model.weights, pattern) for pattern in method.weights)


def _options(run: Run) -> dict[str, Any]:
    """A Run has its options as text; sequences of any kind are lists here, as in YAML."""
    found = {}
    for key, text in run.model.options.items():
        try:
            value = ast.literal_eval(str(text))
        except (ValueError, SyntaxError):
            value = text
        found[key] = list(value) if isinstance(value, tuple) else value
    return found


@dataclass(frozen=True)
class _Candidate:
    """A Run that may stand for a published number; ``faults`` as ``_faults`` finds them."""

    pair: Pair
    faults: Sequence[tuple[float, str]]

    @property
    def place(self) -> tuple[float, ...]:
        """Ascending, the most comparable first; a value of the wrong network is worth less than none of the right."""
        worst, *others = (degree for degree, _ in self.faults)
        return (worst, self.pair.estimate.value is None, *others, -self.pair.run.environment.end.timestamp())


def _candidate(run: Run, paper: Paper, table: PaperTable, number: PublishedNumber) -> _Candidate | None:
    """None if the Run's protocol does not ask for this number."""
    method, ours = _method(table, number), paper.names[number.metric]

    def read(name: str | None) -> Estimate | None:
        if name is None:
            return None
        return run.originals.get(name) if method.originals else MEASURES[name].read(run)

    exact = read(ours.exact)
    is_exact = exact is not None and exact.value is not None
    estimate = exact if is_exact else read(ours.name)
    if estimate is None:
        return None
    faults = _faults(run, paper, table, method, "" if is_exact else ours.caveat)
    marks = [MEASURES[ours.exact].column.label] if is_exact and ours.exact else []
    marks += [LOSSLESS] if run.model.weights == LOSSLESS and not method.originals else []
    return _Candidate(Pair(number, run, estimate, tuple(words for d, words in faults if d), tuple(marks)), faults)


def _faults(run: Run, paper: Paper, table: PaperTable, method: OurMethod, caveat: str) -> list[tuple[float, str]]:
    """What may keep a Run's number from comparing with the paper's, the gravest first: its degree, 0 = none, in words.

    Args:
        caveat: what must be said of the number itself, if anything.
    """
    part = subset(run)
    share = run.dataset.n / run.dataset.expected if run.dataset.expected else 0
    same = run.protocol.name == paper.protocol
    weights, unknown = weights_mark(run), run.model.source in ("random", "memory")
    if run.model.source == "official" and not _has_weights(run, method):
        weights = f"weights {run.model.weights}"
    elif run.model.source == "file" and fnmatch.fnmatchcase(run.model.weights, table.trained_here):
        weights = TRAINED_HERE
    elif run.model.weights == LOSSLESS:
        weights = ""
    of_model: list[tuple[float, str]] = [
        (unknown, weights),
        (bool(run.hints), hints_mark(run)),
        (bool(weights) and not unknown, weights),
    ]
    of_pass: list[tuple[float, str]] = [
        (
            run.protocol.hash != paper.protocol_hash,
            f"another version of protocol {paper.protocol}" if same else f"protocol {run.protocol.name}",
        ),
        (bool(caveat), caveat),
        (not run.complete, "incomplete"),
        (2 - share if part else 0, f"subset {part}"),
    ]
    precision = run.environment.precision
    return of_pass if method.originals else [*of_model, *of_pass, (precision != "fp32", precision)]
