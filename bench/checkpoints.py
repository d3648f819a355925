"""Safe reading of checkpoint files: any usual format, no code run from them, each kind of damage named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

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
    kind = kind_of(path)
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
    return without_prefix({k: v.float() if v.dtype in halves else v for k, v in found.items()}, "module.")


def kind_of(path: Path) -> Literal["safetensors", "zip", "pickle"]:
    """What the file is by its first bytes; raises WeightsError for what cannot be weights."""
    require_file(path)
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
    # First, because the length that a safetensors file begins with may have a first byte of 0x80, as a pickle has.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") + 8 <= path.stat().st_size:
        return "safetensors"
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


def without_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """``state`` itself unless every key starts with ``prefix``."""
    return {k.removeprefix(prefix): v for k, v in state.items()} if all(k.startswith(prefix) for k in state) else state


def require_file(path: Path) -> None:
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
