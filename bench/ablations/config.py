"""What an ablation is made of: a YAML file, checked to the last variant before anything is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.configs import Strict, checked, config_names, read_config
from bench.errors import ConfigError, UnknownNameError
from bench.metrics import NUMBERS
from bench.training.config import TrainConfig, load_config

KIND = "ablations"


class Ablation(Strict):
    """Variants of one training.

    Args:
        name: of its folder and of the files of weights.
        title: of its table.
        base: a training configuration: a name in ``configs/train``, or a YAML file.
        set: ``key=value`` changes of the base for every variant.
        variants: name -> the keys of the configuration that make it, with their values.
        reference: the variant that differences are taken to; default: the first.
        seeds: each variant is trained once with each.
        datasets: to measure on.
        limit: the first photographs of each dataset only.
        protocol: to measure by.
        metrics: columns of the table, of those that the protocol measures.
        weights: ``last``: after the last step; ``best``: those of the best validation on the way.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    title: str
    base: str
    set: tuple[str, ...] = ()
    variants: dict[str, dict[str, Any]] = Field(min_length=2)
    reference: str = ""
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    datasets: tuple[str, ...] = Field(default=("samples",), min_length=1)
    limit: int | None = Field(default=None, ge=1)
    protocol: str = "paper"
    metrics: tuple[str, ...] = Field(default=("psnr", "cf", "dcf", "fcd"), min_length=1)
    weights: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _fits(self) -> Ablation:
        if self.reference and self.reference not in self.variants:
            raise ValueError(f"reference must be one of the variants ({', '.join(self.variants)})")
        for first, second in combinations(self.variants, 2):
            if slug(first) == slug(second):
                raise ValueError(f"the variants {first!r} and {second!r} would have one folder, {slug(first)!r}")
        if not all(slug(variant) for variant in self.variants):
            raise ValueError("the name of every variant needs a letter or a digit")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("every seed must stand there once")
        unknown = [metric for metric in self.metrics if metric not in NUMBERS]
        if unknown:
            raise ValueError(f"there is no number {unknown[0]!r}; there are {', '.join(NUMBERS)}")
        return self

    @property
    def compared_to(self) -> str:
        """The variant that differences are taken to."""
        return self.reference or next(iter(self.variants))

    def weights_name(self, variant: str, seed: int) -> str:
        """File of weights of one training. A Run records it, which is how Runs tell which variant they are of."""
        choice = "" if self.weights == "last" else f".{self.weights}"
        return f"{self.name}.{slug(variant)}.seed{seed}{choice}.safetensors"

    @property
    def store(self) -> str:
        """Folder of the Runs within that of the ablation, one for each choice of ``weights``.

        A Run is known by the tensors alone. Where the best step is the last, those of both choices are the same, and in
        one folder there would be one Run, with the name of the file that came first.
        """
        return "runs" if self.weights == "last" else f"runs-{self.weights}"

    def changed(
        self,
        changes: Sequence[str] = (),
        seeds: int | None = None,
        datasets: Sequence[str] = (),
        limit: int | None = None,
    ) -> Ablation:
        """As it would be with other words on the command line.

        Args:
            changes: ``key=value`` for every variant, after those of ``set``.
            seeds: how many of the seeds; of more than there are, the rest are the numbers after the greatest.
            datasets, limit: instead of the ablation's, if given.
        """
        first = max(self.seeds) + 1
        last: dict[str, str] = {}  # of every key the last value, where it stood
        for change in (*self.set, *changes):
            key = change.partition("=")[0]
            last.pop(key, None)
            last[key] = change
        return self.model_copy(
            update={
                "set": tuple(last.values()),
                "seeds": (*self.seeds, *range(first, first + (seeds or 0)))[: seeds or len(self.seeds)],
                "datasets": tuple(datasets) or self.datasets,
                "limit": limit or self.limit,
            }
        )


@dataclass(frozen=True)
class Member:
    """One training: a variant with a seed.

    Args:
        variant: its name in the ablation.
        config: of the training, whole.
        folder: of the training.
        weights: file for the trained weights; it is there once the training has ended.
    """

    variant: str
    config: TrainConfig
    folder: Path
    weights: Path

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def title(self) -> str:
        return f"{self.variant}, seed {self.seed}"

    @property
    def trained(self) -> bool:
        return self.weights.is_file()

    def steps_done(self) -> int | None:
        """Of its newest checkpoint, None without one."""
        steps = [int(path.stem.removeprefix("step-")) for path in (self.folder / "checkpoints").glob("step-*.pt")]
        return max(steps, default=None)


def slug(text: str) -> str:
    """A name as part of a file's name: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def ablation_names() -> list[str]:
    """The ablations that come with the package, sorted."""
    return config_names(KIND)


def load_ablation(name_or_path: str | Path) -> Ablation:
    """Read an ablation.

    Args:
        name_or_path: a name of ``ablation_names()``, or a YAML file.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or value does not fit; names the key and the nearest one.
    """
    content, path = read_config(KIND, name_or_path)
    return checked(Ablation, content, str(path))


def members(ablation: Ablation, out: Path, data: str | None = None, only: Sequence[str] = ()) -> list[Member]:
    """Every training of an ablation: all variants with the first seed, then all with the next.

    In this order a table is whole, though without a spread, after a fraction of the time.

    Args:
        ablation: what to train.
        out: folder of the ablation.
        data: photographs to train with, instead of the configuration's.
        only: of these variants alone; none = all.

    Raises:
        ConfigError: a key or value of a variant does not fit, or two variants are the same training.
    """
    for variant in only:
        if variant not in ablation.variants:
            raise UnknownNameError(f"variant of {ablation.name}", variant, ablation.variants)
    found = list(_members(ablation, out, data))
    for one, other in combinations(found, 2):
        if one.config == other.config:
            raise ConfigError(
                f"{ablation.name}: the variants {one.variant!r} and {other.variant!r} are the same training. "
                "Expected different values of at least one key."
            )
    return [member for member in found if not only or member.variant in only]


def _members(ablation: Ablation, out: Path, data: str | None) -> Iterator[Member]:
    for seed in ablation.seeds:
        for variant, values in ablation.variants.items():
            # JSON is YAML, so any value may be written as a change.
            changes = [f"{key}={json.dumps(value)}" for key, value in values.items()]
            try:
                config = load_config(ablation.base, [*ablation.set, *changes, f"seed={seed}"], data)
            except ConfigError as error:
                raise ConfigError(f"{ablation.name}, variant {variant!r}: {error}") from error
            if ablation.weights == "best" and not config.validation.every:
                raise ConfigError(
                    f"{ablation.name}, variant {variant!r}: weights: best needs a validation on the way "
                    "(validation.every above 0). Set one, or weights: last."
                )
            folder = out / f"{slug(variant)}-seed{seed}"
            yield Member(variant, config, folder, folder / ablation.weights_name(variant, seed))
