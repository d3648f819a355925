"""Names of models: who they are (ModelCard) and how to build them. Built-ins and third parties enter by one door.

The door is the entry point group ``bench.models``: ``name = "module:factory"``, where the factory (a Colorizer class or
a function) builds the network with untrained weights. The module may describe its models in a tuple ``CARDS`` of
``ModelCard(...)`` written with literals; cards are read from the source text, so listing models never imports torch.
Weights that come with a model are described in ``weights/NAME.json`` beside its module: whoever trains them anew writes
that file and touches no source.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError, ConfigError, UnknownNameError

if TYPE_CHECKING:
    from bench.colorizer import Colorizer


@dataclass(frozen=True)
class Weights:
    """One file of weights: where it comes from and how to know it is the right one.

    Args:
        name: short name, unique for its model, e.g. ``"paper"``.
        file: file name at the source; for shipped weights the file name beside the model's module in ``weights/``.
        hub: Hugging Face repository (``owner/name``), or None.
        url: direct address, or None. With neither hub nor url the file ships with the package.
        sha256: digest, or the leading digits of it that are known; None = not known.
        bytes: size, if known.
        licence: SPDX name of the licence of the weights.
        origin: who trained them.
        note: what they were trained on and anything a user must know.
    """

    name: str
    file: str
    hub: str | None = None
    url: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    licence: str = "unknown"
    origin: Literal["official", "trained here", "third party"] = "official"
    note: str = ""

    @property
    def shipped(self) -> bool:
        return self.hub is None and self.url is None


@dataclass(frozen=True)
class ModelCard:
    """What one should know of a model before using it. ``weights[0]`` is the default.

    Args:
        name: the name on the command line.
        family: models that share a network, e.g. ``"ddcolor"``.
        title, year, paper, repository: where it was published.
        parameters: of the network, exactly.
        macs: multiply-accumulates of one forward pass on one 256 x 256 image (at the working size, if that is fixed).
        licence: SPDX name of the licence of the original code.
        working_size: see ``Colorizer``.
        hints, stochastic: see ``Colorizer``.
        trainable: False for models without anything to train.
        weights: known files; the first is the default. Those that ship with the model come before the card's own.
        note: deviations from the original, in plain words.
    """

    name: str
    family: str
    title: str
    year: int | None = None
    paper: str = ""
    repository: str = ""
    parameters: int | None = None
    macs: int | None = None
    licence: str = "unknown"
    working_size: int | None = None
    hints: bool = False
    stochastic: bool = False
    trainable: bool = True
    weights: tuple[Weights, ...] = ()
    note: str = ""
    module: str = ""

    def weights_named(self, name: str) -> Weights:
        """Raises UnknownNameError when this model has no weights of that name."""
        for weights in self.weights:
            if weights.name == name:
                return weights
        raise UnknownNameError(f"weights of {self.name}", name, [w.name for w in self.weights])


@cache
def _entries() -> dict[str, EntryPoint]:
    found = {entry.name: entry for entry in sorted(entry_points(group="bench.models"), key=lambda e: e.name)}
    if not found:
        raise BenchError(
            "no model is registered: the package is not installed. Run `uv sync` or `pip install -e .` in its folder."
        )
    return found


def model_names() -> list[str]:
    """Every registered name, sorted."""
    return list(_entries())


def list_models() -> list[ModelCard]:
    """The cards of every registered model, by family and name. Does not import any model's module."""
    return sorted((card_of(name) for name in model_names()), key=lambda c: (c.family, c.name))


@cache
def card_of(name: str) -> ModelCard:
    """The card of a registered model, or of a class in a file (``path/to/file.py:ClassName``).

    Raises:
        UnknownNameError: with the closest names there are; also for a misspelt key of a card.
        BenchError: the file is absent, or its CARDS cannot be read.
    """
    source: Path | None
    if is_file_reference(name):
        module, _, attribute = name.rpartition(":")
        source = Path(module)
    else:
        entry = _entry(name)
        module, attribute = entry.module, name
        source = _source_of(module)
    cards = {card.name: card for card in _cards_in_source(source)} if source else {}
    card = cards.get(attribute, ModelCard(name=name, family=name, title=name))
    shipped = _shipped(source, attribute) if source else ()
    return replace(card, name=name, module=module, weights=(*shipped, *card.weights))


def build(name: str, **options: Any) -> Colorizer:
    """The network of a model with untrained weights; ``options`` go to its constructor.

    Raises:
        UnknownNameError: no such model.
        ConfigError: an option is unknown, or has a value that the model refuses.
        BenchError: its module cannot be imported, or what it builds is no Colorizer.
    """
    from bench.colorizer import Colorizer

    factory = _factory_in_file(name) if is_file_reference(name) else _load(_entry(name))
    try:
        model = factory(**options)
    except (TypeError, ValueError) as error:
        if not options:
            raise
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ConfigError(f"model {name!r} does not take {given}: {error}.") from error
    if not isinstance(model, Colorizer):
        raise BenchError(f"model {name!r} builds a {type(model).__name__}; a bench.colorizer.Colorizer was expected.")
    return model


def _entry(name: str) -> EntryPoint:
    entries = _entries()
    if name not in entries:
        raise UnknownNameError("model", name, entries)
    return entries[name]


def _load(entry: EntryPoint) -> Callable[..., Any]:
    try:
        return entry.load()
    except (ImportError, SyntaxError, AttributeError) as error:
        raise _import_error(f"{entry.name!r} ({entry.value})", error) from error


def _import_error(model: str, error: Exception) -> BenchError:
    """Names the file and line: of the syntax error, or of the first statement that the import machinery called."""
    where = ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    else:
        for caller, called in pairwise(traceback.extract_tb(error.__traceback__)):
            if caller.filename.startswith("<frozen importlib") and not called.filename.startswith("<frozen"):
                where = f" ({called.filename}, line {called.lineno})"
                break
    reason = error.msg if isinstance(error, SyntaxError) else error
    return BenchError(f"model {model} cannot be imported: {reason}{where}.")


def is_file_reference(name: str) -> bool:
    """Whether a model is named by file and class, ``path/to/file.py:ClassName``, instead of a registered name."""
    return ".py:" in name


def _factory_in_file(reference: str) -> Callable[..., Any]:
    path, _, attribute = reference.rpartition(":")
    if not Path(path).is_file():
        raise BenchError(f"model {reference!r}: there is no file {path}. Expected path/to/file.py:ClassName.")
    spec = importlib.util.spec_from_file_location(f"bench_model_{Path(path).stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[spec.name]
        raise _import_error(repr(reference), error) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        classes = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        raise UnknownNameError(f"class in {path}", attribute, classes) from error


def _source_of(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _shipped(source: Path, name: str) -> tuple[Weights, ...]:
    """The weights that come with a model, or none: ``weights/NAME.json`` holds the fields of Weights."""
    facts = source.parent / "weights" / f"{name}.json"
    if not facts.is_file():
        return ()
    try:
        return (Weights(**json.loads(facts.read_text(encoding="utf-8"))),)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{facts} does not describe weights: {error}. Expected the fields of Weights.") from error


@cache
def _cards_in_source(path: Path) -> tuple[ModelCard, ...]:
    """Evaluate the ``CARDS`` of a source file without running it: literals, ModelCard(...) and Weights(...) only."""
    if not path.is_file():
        raise BenchError(f"there is no file {path}. Expected path/to/file.py:ClassName.")
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise BenchError(f"{path}, line {error.lineno}: this is not Python: {error.msg}.") from error
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="CARDS")], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id="CARDS"), value=ast.expr() as value)
            ):
                return _evaluate(value, path)
    return ()


def _evaluate(node: ast.expr, path: Path) -> Any:
    match node:
        case ast.Tuple(elts=items):
            return tuple(_evaluate(item, path) for item in items)
        case ast.Call(func=ast.Name(id="ModelCard" | "Weights" as kind), args=[], keywords=keywords):
            return _make(ModelCard if kind == "ModelCard" else Weights, keywords, node, path)
        case _:
            try:
                return ast.literal_eval(node)
            except ValueError as error:
                raise _no_literal(node, path) from error


def _make(
    kind: type[ModelCard] | type[Weights], keywords: list[ast.keyword], node: ast.expr, path: Path
) -> ModelCard | Weights:
    known = {field.name: field for field in fields(kind)}
    given: dict[str, Any] = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise _no_literal(keyword.value, path)
        if keyword.arg not in known:
            raise UnknownNameError(f"key of {kind.__name__} ({path}, line {keyword.lineno})", keyword.arg, known)
        given[keyword.arg] = _evaluate(keyword.value, path)
    lacking = [name for name, field in known.items() if field.default is MISSING and name not in given]
    if lacking:
        raise BenchError(f"{path}, line {node.lineno}: this {kind.__name__} lacks {', '.join(lacking)}.")
    return kind(**given)


def _no_literal(node: ast.expr, path: Path) -> BenchError:
    return BenchError(f"{path}, line {node.lineno}: CARDS may hold only literals, ModelCard(...) and Weights(...).")
