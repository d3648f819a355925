"""Where weights come from (the package, the cache, the hub, a path), how they are checked, and safe reading of them.

What is fetched lies in ``<cache>/weights/<model>/<weights>/<file>``, the networks inside metrics and losses in
``<cache>/weights/backbones/<file>``; a file put there by hand serves just as well.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import registry
from bench.cache import cache_dir
from bench.checkpoints import file_sha256
from bench.errors import UnknownNameError, WeightsError
from bench.registry import Weights

_TORCHVISION = "https://download.pytorch.org/models/"
_BACKBONES = "backbones"
BACKBONES: dict[str, Weights] = {
    "inception-fid": Weights(
        name="inception-fid",
        file="pt_inception-2015-12-05-6726825d.pth",
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d",
        bytes=95_628_359,
        licence="Apache-2.0",
        note="TensorFlow's Inception of 2015: FID",
    ),
    "inception-torchvision": Weights(
        name="inception-torchvision",
        file="inception_v3_google-1a9a5a14.pth",
        url=_TORCHVISION + "inception_v3_google-1a9a5a14.pth",
        sha256="1a9a5a14",
        bytes=108_857_766,
        licence="BSD-3-Clause",
        note="the legacy FID variants of published colorization tables",
    ),
    "alexnet": Weights(
        name="alexnet",
        file="alexnet-owt-7be5be79.pth",
        url=_TORCHVISION + "alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        bytes=244_408_911,
        licence="BSD-3-Clause",
        note="lpips_alex",
    ),
    "vgg16": Weights(
        name="vgg16",
        file="vgg16-397923af.pth",
        url=_TORCHVISION + "vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        bytes=553_433_881,
        licence="BSD-3-Clause",
        note="lpips_vgg",
    ),
    "vgg16_bn": Weights(
        name="vgg16_bn",
        file="vgg16_bn-6c64b313.pth",
        url=_TORCHVISION + "vgg16_bn-6c64b313.pth",
        sha256="6c64b313",
        bytes=553_507_836,
        licence="BSD-3-Clause",
        note="DDColor's perceptual loss",
    ),
}


@dataclass(frozen=True)
class WeightsStatus:
    """One file of weights and whether it is here.

    Args:
        model: name of the model, or ``"backbones"`` for the networks inside metrics and losses.
        weights: the card's entry: name, licence, origin, note.
        status: ``"shipped"`` with the package, ``"cached"`` on this machine, or ``"absent"``.
        path: where it lies, or where it would.
    """

    model: str
    weights: Weights
    status: Literal["shipped", "cached", "absent"]
    path: Path

    @property
    def reference(self) -> str:
        """What ``bench weights fetch`` calls it: ``ddcolor/paper``, ``inception-fid``."""
        return self.weights.name if self.model == _BACKBONES else f"{self.model}/{self.weights.name}"

    @property
    def bytes(self) -> int | None:
        """Size of the file; of an absent one as the card gives it."""
        return self.weights.bytes if self.status == "absent" else self.path.stat().st_size


@dataclass(frozen=True)
class Verification:
    """Outcome of comparing a file with its known digest; ``"unknown"`` when none is known."""

    outcome: Literal["ok", "mismatch", "unknown"]
    digest: str
    expected: str | None


def catalogue() -> list[WeightsStatus]:
    """Every file of weights that the cards and the metrics name. Imports no model and opens no file."""
    entries = [(card.name, weights) for card in registry.list_models() for weights in card.weights]
    return [status_of(w, model) for model, w in [*entries, *((_BACKBONES, w) for w in BACKBONES.values())]]


def statuses_named(name: str) -> list[WeightsStatus]:
    """What ``bench weights fetch NAME`` means: ``ddcolor`` (its default), ``ddcolor/paper``, ``vgg16``, ``backbones``.

    Raises:
        UnknownNameError: no model, weights or backbone of that name.
        WeightsError: the model has no weights that could be fetched.
    """
    every = catalogue()
    chosen = [s for s in every if s.reference == name] or [s for s in every if s.model == name]
    if chosen:
        return chosen if name == _BACKBONES else chosen[:1]
    if name in registry.model_names():
        raise WeightsError(f"there are no weights of {name} to fetch: none are published, or it needs none.")
    raise UnknownNameError("weights", name, {s.reference for s in every} | {s.model for s in every})


def status_of(weights: Weights, model: str) -> WeightsStatus:
    path = locate(weights, model)
    here: Literal["shipped", "cached"] = "shipped" if weights.shipped else "cached"
    return WeightsStatus(model, weights, here if path.is_file() else "absent", path)


def verify(status: WeightsStatus) -> Verification:
    """Read the file and compare it with the card's digest, or else with the one recorded when it was fetched.

    Raises:
        WeightsError: the file is absent.
    """
    if not status.path.is_file():
        raise absent_error(status.weights, status.model, status.path)
    digest, expected = file_sha256(status.path), status.weights.sha256 or recorded_digest(status.path)
    if expected is None:
        return Verification("unknown", digest, None)
    return Verification("ok" if digest.startswith(expected.lower()) else "mismatch", digest, expected)


def locate(weights: Weights, model: str) -> Path:
    """Where the file lies, or where it would be put. ``model`` is ``"backbones"`` for an entry of BACKBONES."""
    if weights.shipped:
        return _module_folder(registry.card_of(model).module) / "weights" / weights.file
    path = cached_path(weights, model)
    if model == _BACKBONES and not path.is_file():
        shared = _torch_checkpoints() / weights.file
        return shared if shared.is_file() else path
    return path


def find_backbone(name: str) -> Path:
    """The file of a network inside a metric or loss: from the cache, or where torch hub keeps its own.

    Raises:
        UnknownNameError: ``name`` is not in BACKBONES.
        WeightsError: the file is not here, or not the one it should be; the text says how to get it.
    """
    if name not in BACKBONES:
        raise UnknownNameError("backbone", name, BACKBONES)
    status = status_of(BACKBONES[name], _BACKBONES)
    check = verify(status)
    if check.outcome == "mismatch":
        raise WeightsError(
            f"{status.path} is not the file it should be: its sha256 is {check.digest}, expected {check.expected}. "
            f"`bench weights fetch {name}` brings it anew."
        )
    return status.path


def cached_path(weights: Weights, model: str) -> Path:
    own = () if model == _BACKBONES else (_folder_name(weights.name),)
    return cache_dir().joinpath("weights", _folder_name(model), *own, Path(weights.file).name)


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip(".") or "_"


def _torch_checkpoints() -> Path:
    """What ``torch.hub.get_dir()`` would say, without importing torch."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home, "hub", "checkpoints").expanduser()


def _module_folder(module: str) -> Path:
    if module.endswith(".py"):
        return Path(module).parent
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"the module {module}, beside which the weights lie, cannot be found. Reinstall its package."
        )
    return Path(spec.origin).parent


def reference_of(model: str, weights: Weights) -> str:
    if model != _BACKBONES and registry.card_of(model).weights[:1] == (weights,):
        return model
    return WeightsStatus(model, weights, "absent", Path()).reference


def absent_error(weights: Weights, model: str, path: Path) -> WeightsError:
    if weights.shipped:
        return WeightsError(f"{path}, which ships with the package, is missing. Reinstall it, or name another file.")
    size = f"{weights.bytes / 1e6:.0f} MB" if weights.bytes else "size unknown"
    fetch_it = f"`bench weights fetch {reference_of(model, weights)}` brings it ({size})"
    if model == _BACKBONES:
        return WeightsError(f"{weights.file} is not here: {fetch_it}; `bench doctor` says where to put one of yours.")
    ready = [s.model for s in catalogue() if s.status == "shipped"]
    return WeightsError(
        f"{weights.file} ({weights.name} weights of {model}) is not here: {fetch_it}, or put it into {path.parent}, "
        f"or name a file of your own (--weights PATH)."
        + (f" No download is needed for {', '.join(ready)}." if ready else "")
    )


def sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def recorded_digest(path: Path) -> str | None:
    """The digest in ``<file>.sha256``, in the form of the sha256sum command; None without one."""
    try:
        found = re.match(r"[0-9a-fA-F]{64}\b", sidecar(path).read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return found[0].lower() if found else None
