"""Where weights come from (the package, the cache, the hub, a path), how they are checked, and safe reading of them.

What is fetched lies in ``<cache>/weights/<model>/<weights>/<file>``, the networks inside metrics and losses in
``<cache>/weights/backbones/<file>``; a file put there by hand serves just as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import registry
from bench.cache import cache_dir, write_atomically
from bench.errors import ConfigError, UnknownNameError, WeightsError
from bench.registry import ModelCard, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.colorizer import Colorizer

Source = Literal["shipped", "official", "trained here", "third party", "file", "random", "none"]

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
class Provenance:
    """Which weights a model carries.

    Args:
        name: the card's name of the weights, the file's name, ``"random"``, or ``"none"`` (nothing to train).
        source: where they came from.
        file: file name without its folder, empty without a file.
        sha256: of the whole file, or ``"none"``.
    """

    name: str
    source: Source
    file: str = ""
    sha256: str = "none"


def load_model(
    name: str, weights: str | Path | None = None, device: str | torch.device | None = None, **options: Any
) -> Colorizer:
    """A model ready for inference: eval mode, no gradients, on ``device``, with ``model.provenance`` set.

    Args:
        name: a registered name, or ``path/to/file.py:ClassName``.
        weights: None = the card's default; a name on the card; ``"random"`` = untrained; or a path to a file
            (.pth, .pt, .bin, .safetensors). Files are read without running code from them.
        device: None = CUDA, else Apple's MPS, else the CPU.
        options: go to the model's constructor.

    Raises:
        UnknownNameError: no such model or weights.
        WeightsError: the file is absent, damaged, not the one the card names, or made for another network.
        ConfigError: the device is not there.
    """
    card = registry.card_of(name)
    target = pick_device(device)
    entry, path = _find(card, weights)
    provenance = _provenance(card, entry, path)
    model = registry.build(name, **options)
    if path is not None:
        _load_file(model, path)
    model.provenance = provenance
    return model.prepare_for_inference().to(target)


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """``device`` if this machine has it; None = CUDA, else MPS, else the CPU. Raises ConfigError."""
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    present[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    wanted = str(device or present[0].partition(":")[0])
    if wanted not in present and wanted not in {d.partition(":")[0] for d in present}:
        raise ConfigError(f"there is no device {wanted!r}. Expected one of: {', '.join(present)}.")
    return torch.device(wanted)


def check_weights(card: ModelCard, weights: str | Path | None = None) -> None:
    """Raise what ``load_model`` would raise because the weights are absent or unknown; does not read them."""
    _find(card, weights)


def _find(card: ModelCard, weights: str | Path | None) -> tuple[Weights | None, Path | None]:
    """The card's entry, if it is one, and the file to load, if there is one."""
    if weights == "random" or (weights is None and not card.trainable):
        return None, None
    known = {w.name: w for w in card.weights}
    if weights is None and not known:
        raise WeightsError(
            f"no weights of {card.name} are known. Train it and name the file (weights=PATH), "
            "or ask for the untrained network (weights='random')."
        )
    if weights is None or (isinstance(weights, str) and weights in known):
        entry = known[weights] if isinstance(weights, str) else card.weights[0]
        path = locate(entry, card.name)
        if not path.is_file():
            raise _absent(entry, card.name, path)
        return entry, path
    path = Path(weights).expanduser()
    if isinstance(weights, str) and not path.suffix and path.name == weights and not path.exists():
        raise UnknownNameError(f"weights of {card.name}", weights, [*known, "random"])
    _require_file(path)
    return None, path


def _provenance(card: ModelCard, entry: Weights | None, path: Path | None) -> Provenance:
    if path is None:
        return Provenance("random", "random") if card.trainable else Provenance("none", "none")
    if entry is None:
        return Provenance(path.name, "file", path.name, file_sha256(path))
    check = verify(_status(entry, card.name))
    if check.outcome == "mismatch":
        remedy = (
            "Reinstall the package."
            if entry.shipped
            else f"`bench weights fetch {_reference(card.name, entry)}` brings it anew."
        )
        raise WeightsError(
            f"{path} is not the file that {card.name} names: its sha256 is {check.digest}, "
            f"expected {check.expected}. {remedy}"
        )
    return Provenance(entry.name, "shipped" if entry.shipped else entry.origin, path.name, check.digest)


def _load_file(model: Colorizer, path: Path) -> None:
    state = read_state_dict(path)
    try:
        model.load_weights(state)
    except WeightsError as error:
        # A wrapper's prefix, unless it is the network's own: only the failed load can tell.
        bare = _without_prefix(state, "model.")
        if bare is state:
            raise WeightsError(f"{path}: {error}") from error
        try:
            model.load_weights(bare)
        except WeightsError:
            raise WeightsError(f"{path}: {error}") from error


# --- reading -----------------------------------------------------------------------------------------------------


_NESTS = ("params", "params_ema", "state_dict", "model_state_dict", "model", "net")
_UNREADABLE = (RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .bin file, on the CPU; what it is, is told by content, not suffix.

    Wrappers such as ``{"params": ...}`` and the prefix ``module.`` are taken off; fp16 and bf16 become float32.

    Raises:
        WeightsError: absent, empty, cut short, a web page, not tensors, or with Python objects (never executed).
    """
    import torch

    path = Path(path).expanduser()
    kind = _kind(path)
    found = _read_safetensors(path) if kind == "safetensors" else _read_torch(path, kind)
    while isinstance(found, Mapping) and (nest := next((k for k in _NESTS if isinstance(found.get(k), Mapping)), None)):
        found = found[nest]
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} holds a {type(found).__name__}; a dict of tensors by name was expected.")
    if not found:
        raise WeightsError(f"{path} holds an empty dict; a dict of tensors by name was expected.")
    others = [str(k) for k, v in found.items() if not (isinstance(k, str) and isinstance(v, torch.Tensor))]
    if others:
        raise WeightsError(
            f"{path} holds more than tensors by name ({', '.join(others[:8])}{', ...' if len(others) > 8 else ''}). "
            "Save the network's state dict alone: torch.save(model.state_dict(), path)."
        )
    halves = (torch.float16, torch.bfloat16)
    return _without_prefix({k: v.float() if v.dtype in halves else v for k, v in found.items()}, "module.")


def _kind(path: Path) -> Literal["safetensors", "zip", "pickle"]:
    """What the file is by its first bytes; raises WeightsError for what cannot be weights."""
    _require_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes). Fetch or copy it again.")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        raise WeightsError(f"{path} is a web page, not weights: the download led to a login or error page instead.")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights themselves. Run `git lfs pull` beside it.")
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x80"):
        return "pickle"
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    raise WeightsError(f"{path} is no file of weights; one written by torch.save or safetensors was expected.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path, kind: Literal["zip", "pickle"]) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise WeightsError(
            f"{path} holds Python objects besides tensors{f' ({named[1]})' if named else ''}, which could run any "
            "code, so it was not opened. Save the state dict alone: torch.save(model.state_dict(), path)."
        ) from error
    except _UNREADABLE as error:
        if "TorchScript" in str(error):
            raise WeightsError(
                f"{path} is a TorchScript program; the state dict of the network was expected."
            ) from error
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return WeightsError(
        f"{path} is damaged or cut short ({path.stat().st_size} bytes; {reason[:120]}). Fetch or copy it again."
    )


def _without_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """``state`` itself unless every key starts with ``prefix``."""
    return {k.removeprefix(prefix): v for k, v in state.items()} if all(k.startswith(prefix) for k in state) else state


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"{path} {what}; a file of weights was expected (.pth, .pt, .bin or .safetensors).")


def file_sha256(path: Path) -> str:
    """Hex digest of a file of any size, read in pieces. Raises WeightsError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


# --- places ------------------------------------------------------------------------------------------------------


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
    return [_status(w, model) for model, w in [*entries, *((_BACKBONES, w) for w in BACKBONES.values())]]


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


def _status(weights: Weights, model: str) -> WeightsStatus:
    path = locate(weights, model)
    here: Literal["shipped", "cached"] = "shipped" if weights.shipped else "cached"
    return WeightsStatus(model, weights, here if path.is_file() else "absent", path)


def verify(status: WeightsStatus) -> Verification:
    """Read the file and compare it with the card's digest, or else with the one recorded when it was fetched.

    Raises:
        WeightsError: the file is absent.
    """
    if not status.path.is_file():
        raise _absent(status.weights, status.model, status.path)
    digest, expected = file_sha256(status.path), status.weights.sha256 or _recorded_digest(status.path)
    if expected is None:
        return Verification("unknown", digest, None)
    return Verification("ok" if digest.startswith(expected.lower()) else "mismatch", digest, expected)


def locate(weights: Weights, model: str) -> Path:
    """Where the file lies, or where it would be put. ``model`` is ``"backbones"`` for an entry of BACKBONES."""
    if weights.shipped:
        return _module_folder(registry.card_of(model).module) / "weights" / weights.file
    path = _cached(weights, model)
    if model == _BACKBONES and not path.is_file():
        shared = _torch_checkpoints() / weights.file
        return shared if shared.is_file() else path
    return path


def find_backbone(name: str) -> Path:
    """The file of a network inside a metric or loss: from the cache, or where torch hub keeps its own.

    Raises:
        UnknownNameError: ``name`` is not in BACKBONES.
        WeightsError: the file is not here; the text says how to get it.
    """
    if name not in BACKBONES:
        raise UnknownNameError("backbone", name, BACKBONES)
    path = locate(BACKBONES[name], _BACKBONES)
    if not path.is_file():
        raise _absent(BACKBONES[name], _BACKBONES, path)
    return path


def _cached(weights: Weights, model: str) -> Path:
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


def _reference(model: str, weights: Weights) -> str:
    if model != _BACKBONES and registry.card_of(model).weights[:1] == (weights,):
        return model
    return WeightsStatus(model, weights, "absent", Path()).reference


def _absent(weights: Weights, model: str, path: Path) -> WeightsError:
    if weights.shipped:
        return WeightsError(f"{path}, which ships with the package, is missing. Reinstall it, or name another file.")
    size = f"{weights.bytes / 1e6:.0f} MB" if weights.bytes else "size unknown"
    fetch_it = f"`bench weights fetch {_reference(model, weights)}` brings it ({size})"
    if model == _BACKBONES:
        return WeightsError(f"{weights.file} is not here: {fetch_it}, or put it into {path.parent}.")
    ready = [s.model for s in catalogue() if s.status == "shipped"]
    return WeightsError(
        f"{weights.file} ({weights.name} weights of {model}) is not here: {fetch_it}, or put it into {path.parent}, "
        f"or name a file of your own (weights=PATH)."
        + (f" No download is needed for {', '.join(ready)}." if ready else "")
    )


# --- fetching ----------------------------------------------------------------------------------------------------


def fetch(weights: Weights, model: str, progress: bool = True) -> Path:
    """Bring a file into the cache, unless a good one is here. It gets its name only once it is whole and checked.

    Args:
        weights: the card's entry, or one of BACKBONES.
        model: name of the model, or ``"backbones"``.
        progress: show a bar on standard error.

    Raises:
        WeightsError: no network, no such file, another digest than expected, no room; says where to put it by hand.
    """
    status = _status(weights, model)
    if weights.shipped and status.status == "absent":
        raise _absent(weights, model, status.path)
    if status.status != "absent" and (weights.shipped or verify(status).outcome != "mismatch"):
        return status.path
    path = _cached(weights, model)
    url, offered = _address(weights, path)
    if offered and weights.sha256 and not offered.startswith(weights.sha256.lower()):
        raise _failed(url, path, f"the hub offers sha256 {offered}, but {weights.sha256} was expected")
    expected = offered or weights.sha256
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as staging:
            part = Path(staging, path.name)
            _download(url, part, path, progress)
            _accept(part, expected, url, path)
            part.replace(path)
    except OSError as error:
        raise _failed(url, path, f"it cannot be written: {error.strerror or error}") from error
    return path


def _address(weights: Weights, path: Path) -> tuple[str, str | None]:
    """URL and the sha256 that the hub announces for it, if any."""
    if weights.hub is None:
        assert weights.url is not None
        return weights.url, None
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(weights.hub, weights.file, endpoint=os.environ.get("HF_ENDPOINT"))
    if len(weights.sha256 or "") == 64:
        return url, None
    try:
        etag = get_hf_file_metadata(url, token=False).etag or ""
    except Exception as error:  # the hub client changed its HTTP library, and with it the types, between versions
        raise _failed(url, path, _reason(error)) from error
    return url, etag if re.fullmatch("[0-9a-f]{64}", etag) else None


def _sweep(folder: Path) -> None:
    """Remove what fetches that were killed left behind: untouched for a day, so that no running one is hit."""
    for staging in folder.glob(".fetch-*"):
        with contextlib.suppress(OSError):
            if max(p.stat().st_mtime for p in (staging, *staging.iterdir())) < time.time() - 86_400:
                shutil.rmtree(staging)


def _download(url: str, part: Path, path: Path, progress: bool) -> None:
    import requests
    from pooch import HTTPDownloader

    try:
        HTTPDownloader(progressbar=progress, chunk_size=1 << 20)(url, str(part), None)
    except requests.RequestException as error:
        raise _failed(url, path, _reason(error)) from error


def _accept(part: Path, expected: str | None, url: str, path: Path) -> None:
    """Check a finished download, record its digest beside its later place, and force it to disk."""
    digest = file_sha256(part)
    if expected is not None and not digest.startswith(expected.lower()):
        size = part.stat().st_size
        raise _failed(url, path, f"{size} bytes came with sha256 {digest}, but {expected} was expected")
    if expected is None:
        try:
            _kind(part)
        except WeightsError as error:
            raise _failed(url, path, str(error).replace(str(part), "what came")) from error
    write_atomically(_sidecar(path), f"{digest}  {path.name}\n".encode())
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded_digest(path: Path) -> str | None:
    """The digest in ``<file>.sha256``, in the form of the sha256sum command; None without one."""
    try:
        found = re.match(r"[0-9a-fA-F]{64}\b", _sidecar(path).read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return found[0].lower() if found else None


def _reason(error: Exception) -> str:
    import requests

    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answered {answer.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    kind = type(error).__name__
    if "Timeout" in kind or "timed out" in str(error):
        return "the server did not answer in time"
    if kind.startswith(("Connect", "OfflineMode")):
        return "the server cannot be reached (offline, or behind a proxy?)"
    return f"{kind}: {str(error)[:200]}"


def _failed(url: str, path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{url} was not fetched: {reason}. Fetched by other means, the file goes to {path}.")
