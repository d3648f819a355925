"""A recipe: what a model's training consists of. It stands beside its network; the trainer knows no recipe.

The trainer owns devices, precision, accumulation, clipping, averaging, schedules, checkpoints, logs and validation.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer
from bench.configs import Strict, checked
from bench.errors import ConfigError
from bench.registry import card_of


@dataclass(frozen=True)
class Batch:
    """Photographs on the device, augmented.

    Args:
        rgb: (B, 3, S, S) float32 sRGB in [0, 1].
        lightness: (B, 1, S, S) float32 L*.
        ab: (B, 2, S, S) float32 a*, b*.
        labels: (B,) int64 class of each photograph; -1 = unknown.
        seeds: (B,) int64, for ``bench.training.randomness``.
        step: of the run, from 0.
        seeds_on_cpu: the seeds where reading them does not wait for the device, for what decides how much is computed.
    """

    rgb: Tensor
    lightness: Tensor
    ab: Tensor
    labels: Tensor
    seeds: Tensor
    step: int
    seeds_on_cpu: Tensor | None = None


@dataclass(frozen=True)
class Phase:
    """One update: the terms are summed, differentiated and applied by the optimiser of that name.

    Args:
        optimizer: key of ``Recipe.optimizers()``.
        terms: name -> scalar, weighted; a mean over the batch, so that parts of a batch may be averaged.
    """

    optimizer: str
    terms: Mapping[str, Tensor]


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Of a term of the loss; 0 leaves it out."""

Model = TypeVar("Model", bound=Colorizer)
Options = TypeVar("Options", bound=Strict)


class Recipe(ABC, Generic[Model, Options]):
    """Networks, losses and optimisers of one family of models.

    Args:
        model: the network that is trained, with untrained weights.
        options: the ``recipe`` part of the configuration.

    Attributes:
        options_type: of ``options``.
        entries: methods of the model that ``phases`` calls; these are what ``compile`` compiles.
        without_files: changes of ``options``, "key=value", with which photographs are all that is needed: no files of
            weights, no classes.
        networks: what is trained and saved, ``"model"`` first; more are added by the constructor.
        helpers: what losses need and nobody trains.
        notes: what the user should know of the start.
        classes: the losses need the class of every photograph, 0 to ``classes`` - 1; None = they need none.
    """

    options_type: ClassVar[type[Strict]] = Strict
    entries: ClassVar[tuple[str, ...]] = ("forward",)
    without_files: ClassVar[tuple[str, ...]] = ()
    classes: int | None = None

    def __init__(self, model: Model, options: Options) -> None:
        self.model, self.options = model, options
        self.networks: dict[str, nn.Module] = {"model": model}
        self.helpers: list[nn.Module] = []
        self.notes: list[str] = []

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Made once, after the networks have been brought to their device."""

    @abstractmethod
    def phases(self, batch: Batch) -> Iterator[Phase]:
        """The updates of one step, in order. Each is applied before the iterator goes on.

        With gradient accumulation, several of these run in lockstep, one for each part of the batch.
        """


def weighted(weights: Strict, **terms: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Each term times the weight of its name; one with weight 0 is not computed at all."""
    found = {}
    for name, term in terms.items():
        weight = getattr(weights, name)
        if weight:
            found[name] = weight * term()
    return found


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within, ``network`` passes gradients on and keeps none: for a generator's turn."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def make_recipe(name: str, model: Colorizer, options: Mapping[str, Any]) -> Recipe[Any, Any]:
    """The recipe of a registered model.

    It is the attribute ``RECIPE`` of the module that defines the model, or of the module ``<that>_recipe`` beside it.

    Raises:
        ConfigError: the model has no recipe, or an option does not fit it.
    """
    kind = recipe_type(name, type(model).__module__)
    return kind(model, checked(kind.options_type, options, card_of(name).name, "recipe"))


def recipe_type(name: str, module: str) -> type[Recipe[Any, Any]]:
    """The recipe of the model called ``name``, which ``module``, imported already, defines; see ``make_recipe``.

    Raises:
        ConfigError: the model has none.
    """
    kind = _recipe_of(module)
    if kind is None:
        raise ConfigError(
            f"{name} has no recipe to train by. Expected RECIPE = <a subclass of bench.training.recipe.Recipe> in "
            f"{module} or in {module}_recipe; docs/adding-a-model.md shows one."
        )
    return kind


def _recipe_of(module: str) -> type[Recipe[Any, Any]] | None:
    import sys

    own = getattr(sys.modules.get(module), "RECIPE", None)
    if own is not None:
        return own
    beside = f"{module}_recipe"
    try:
        return importlib.import_module(beside).RECIPE
    except ModuleNotFoundError as error:
        if error.name != beside:
            raise
        return None
