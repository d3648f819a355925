"""What a training run is made of: a YAML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from bench.configs import Strict, checked, config_names, read_config
from bench.errors import ConfigError

Share = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class DataConfig(Strict):
    """Where photographs come from and how they are decoded.

    Args:
        path: a folder of photographs, a folder of tar shards, one shard, or a URL of shards (``{000..099}`` expands).
        size: side of the square that leaves the decoder; a crop may follow on the device.
        fit: ``squash`` ignores the proportions, ``center`` keeps the middle square.
        resample: Pillow's filter.
        min_cf: photographs less colourful than this (``cf`` of ``bench.metrics``) are left out; 0 keeps all.
        workers: decoding processes of each training process; None = as many as pay.
    """

    path: str | None = None
    size: int = Field(default=256, ge=8, le=4096)
    fit: Literal["squash", "center"] = "center"
    resample: Literal["bicubic", "bilinear", "box", "lanczos"] = "bicubic"
    min_cf: float = Field(default=0.0, ge=0)
    workers: int | None = Field(default=None, ge=0, le=256)


class AugmentConfig(Strict):
    """What happens to a batch on the device.

    Args:
        size: side of what the networks see.
        crop: ``random`` position, ``center``, or ``resized``: a random part, stretched to ``size``.
        crop_scale: smallest and largest share of the area that a ``resized`` crop takes.
        flip: mirror half of the photographs.
        brightness, contrast, hue: strength of the colour jitter; hue as a share of the circle.
        saturation: smallest and largest factor.
    """

    size: int = Field(default=256, ge=8, le=4096)
    crop: Literal["random", "center", "resized"] = "random"
    crop_scale: tuple[Share, Share] = (0.08, 1.0)
    flip: bool = True
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: tuple[Factor, Factor] = (1.0, 1.0)
    hue: float = Field(default=0.0, ge=0, le=0.5)

    @model_validator(mode="after")
    def _in_order(self) -> AugmentConfig:
        for name in ("crop_scale", "saturation"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], not [{low:g}, {high:g}]")
        return self


class ScheduleConfig(Strict):
    """The factor by which every learning rate is multiplied.

    Args:
        kind: ``constant``; ``steps`` (by ``gamma`` at each milestone); ``cosine`` (to ``floor``); ``linear`` (constant
            until ``start``, a share of the run, then to 0).
        warmup: steps of a linear start.
    """

    kind: Literal["constant", "steps", "cosine", "linear"] = "constant"
    warmup: int = Field(default=0, ge=0)
    milestones: tuple[Annotated[int, Field(ge=0)], ...] = ()
    gamma: float = Field(default=0.5, gt=0, le=1)
    floor: float = Field(default=0.0, ge=0, le=1)
    start: float = Field(default=0.5, ge=0, lt=1)


class OptimizerConfig(Strict):
    """One optimiser; ``betas`` are Adam's."""

    kind: Literal["adam", "adamw", "adadelta"] = "adam"
    lr: float = Field(default=1e-4, gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)


class CheckpointConfig(Strict):
    """When to save, how many to keep, and which number of the validation decides what is best."""

    every: int = Field(default=1000, ge=1)
    keep: int = Field(default=3, ge=1)
    best: str = "psnr"


class ValidationConfig(Strict):
    """Measuring on the way, by ``bench.evaluate``; ``every`` 0 = never."""

    every: int = Field(default=1000, ge=0)
    dataset: str = "samples"
    limit: int = Field(default=64, ge=1)
    size: int = Field(default=256, ge=8)
    metrics: tuple[str, ...] = ("psnr", "cf", "dcf", "fcd")


class LogConfig(Strict):
    """How often losses are read off the device (and checked), and pictures are made; ``grid_every`` 0 = never."""

    every: int = Field(default=10, ge=1)
    grid_every: int = Field(default=1000, ge=0)
    tensorboard: bool = True


class TrainConfig(Strict):
    """One training run.

    Args:
        model: a registered name, or ``path/to/file.py:ClassName``.
        options: of the model's constructor.
        start_from: file of weights to begin with.
        recipe: options of the model's recipe; checked by the recipe.
        steps: updates of the weights.
        batch_size: photographs of one update, over all processes and accumulated parts.
        accumulate: parts of a process's share that are worked on one after the other.
        clip: largest norm of the gradient of one optimiser.
        ema: decay of the averaged weights; None = no average.
        sync_batch_norm: statistics over all processes; then their number changes nothing.
        precision: of the networks (autocast); losses and weights stay fp32. ``auto``: bf16 on a GPU that has it.
        tf32: let a GPU round the factors of fp32 products.
        compile: the model's networks, by torch.compile.
        channels_last: memory layout; None = on a GPU.
        seed: decides the data order, the augmentation and the untrained weights.
        explosion: training stops if a term exceeds this many times its running mean.
    """

    model: str
    options: dict[str, Any] = Field(default_factory=dict)
    start_from: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    clip: float | None = Field(default=None, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    sync_batch_norm: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    tf32: bool = True
    compile: bool = False
    channels_last: bool | None = None
    explosion: float = Field(default=1000.0, gt=1)
    schedule: ScheduleConfig = ScheduleConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    checkpoints: CheckpointConfig = CheckpointConfig()
    validation: ValidationConfig = ValidationConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.augment.size > self.data.size:
            raise ValueError(f"augment.size ({self.augment.size}) must not exceed data.size ({self.data.size})")
        if self.validation.every and self.checkpoints.best not in self.validation.metrics:
            raise ValueError(f"checkpoints.best ({self.checkpoints.best}) must be one of validation.metrics")
        return self


def train_config_names() -> list[str]:
    """The configurations that come with the package, sorted."""
    return config_names("train")


def load_config(name_or_path: str | Path, changes: Sequence[str] = (), data: str | None = None) -> TrainConfig:
    """Read a configuration.

    Args:
        name_or_path: a YAML file, or a name of ``train_config_names()``.
        changes: ``"key=value"`` or ``"key.key=value"``; values are read as YAML.
        data: instead of ``data.path``.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or value does not fit; names the key and the nearest one.
    """
    content, path = read_config("train", name_or_path)
    for change in changes:
        _change(content, change)
    if data is not None:
        content["data"] = {**(content.get("data") or {}), "path": data}
    return checked(TrainConfig, content, str(path))


# These may differ when a run goes on; anything else would make it another run.
_MAY_CHANGE = {
    "steps", "accumulate", "precision", "tf32", "compile", "channels_last", "explosion",
    "checkpoints", "validation", "log",
}  # fmt: skip


# So may these where somebody steers a run by hand, away from a divergence.
_MAY_BE_TUNED = {"clip"}


def check_same_run(now: TrainConfig, then: TrainConfig, out: Path, tuned: bool = False) -> None:
    """Raise ConfigError if ``now`` is not the run that lies in ``out``.

    Args:
        now, then: the configurations.
        out: folder of the run.
        tuned: whether clipping and learning rates may differ.
    """
    free = _MAY_CHANGE | (_MAY_BE_TUNED if tuned else set())
    new, old = now.model_dump(exclude=free), then.model_dump(exclude=free)
    if tuned:
        new["recipe"], old["recipe"] = _without_rates(new["recipe"]), _without_rates(old["recipe"])
    for part in (new, old):
        part["data"] = {k: v for k, v in part["data"].items() if k not in ("path", "workers")}
    if changes := _differences(old, new):
        raise ConfigError(
            f"{out} holds another run ({'; '.join(changes)}). Repeat its settings (--set; its config.json has them) "
            "or choose another folder with --out."
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], above: str = "") -> list[str]:
    """``data.size: 72 then, 144 now`` for each key that differs."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        then, now = old.get(key), new.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            found += _differences(then, now, f"{above}{key}.")
        elif then != now:
            found.append(f"{above}{key}: {then} then, {now} now")
    return found


def _without_rates(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a recipe without the learning rates of its optimisers."""
    kept = {k: _without_rates(v) if isinstance(v, Mapping) else v for k, v in recipe.items() if k != "lr"}
    return {k: v for k, v in kept.items() if v != {}}


def _change(content: dict[str, Any], change: str) -> None:
    key, sign, value = change.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {change!r} cannot be read. Expected key=value, for example --set data.min_cf=15.")
    *above, last = key.strip().split(".")
    for part in above:
        if not isinstance(content.setdefault(part, {}), dict):
            raise ConfigError(f"--set {change}: {part!r} is a value, not a group of keys.")
        content = content[part]
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {change}: the value is not YAML.") from error
    if isinstance(content[last], str):  # YAML 1.1 takes 1e-4 for text
        try:
            content[last] = float(content[last])
        except ValueError:
            return
