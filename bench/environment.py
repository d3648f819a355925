"""What a run ran on: this code, its libraries, the device."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import torch

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("bench", "models", "baselines")
_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "torchmetrics",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "lpips",
    "pytorch-fid",
    "lightning-fabric",
    "scikit-image",
)


@dataclass(frozen=True)
class CodeVersion:
    """Which code ran.

    Args:
        version: of the installed package, ``"unknown"`` when it runs uninstalled.
        commit: full git hash of the repository that tracks this code, None without one.
        dirty: whether the code differs from that commit (new files count), None without one.
        digest: first 12 hex digits of a sha256 over the sources; it changes with every edit, committed or not.
    """

    version: str
    commit: str | None
    dirty: bool | None
    digest: str


class DeviceFacts(TypedDict):
    """The device and the settings that change numbers or speed. The CUDA fields are None on other devices."""

    type: str
    name: str
    count: int
    tf32_matmul: bool | None
    tf32_convolution: bool | None
    autocast: str | None
    cuda: str | None
    cudnn: int | None
    threads: int
    cpu: str


@cache
def code_version() -> CodeVersion:
    """The version of the code as it was when first asked in this process."""
    try:
        installed = version("colorization-bench")
    except PackageNotFoundError:
        installed = "unknown"
    commit, dirty = git_state(_ROOT, _PACKAGES)
    return CodeVersion(installed, commit, dirty, source_digest(_ROOT, _PACKAGES))


def git_state(root: Path, packages: tuple[str, ...]) -> tuple[str | None, bool | None]:
    """(commit, dirty) of the packages in ``root``; (None, None) without git, or where no repository tracks them."""
    present = [name for name in packages if (root / name).is_dir()]
    # An installed package may lie inside a repository that is not its own, such as the environment of a project.
    if not present or not _git(root, "ls-files", "--", present[0]):
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", *present, ":(exclude)*/weights/*")  # these are no code
    return (commit, bool(changes)) if commit and changes is not None else (None, None)


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command in ``root``, None if it fails."""
    # In a hook these variables point to whatever repository git was called in.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def source_digest(root: Path, packages: tuple[str, ...]) -> str:
    """12 hex digits over the path, length and bytes of every ``*.py`` of the packages in ``root``."""
    digest = hashlib.sha256()
    for path in sorted((p for name in packages for p in (root / name).rglob("*.py")), key=lambda p: p.as_posix()):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:12]


def library_versions() -> dict[str, str]:
    """Python and the libraries that numbers depend on; one that is not installed is left out. Imports none of them."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_facts(device: torch.device | str) -> DeviceFacts:
    """Facts of ``device`` and of the process' torch settings."""
    import torch

    device = torch.device(device)
    cuda = device.type == "cuda"
    autocast = torch.is_autocast_enabled(device.type)
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device) if cuda else cpu_name(),
        "count": torch.cuda.device_count() if cuda else 1,
        "tf32_matmul": _matmul_uses_tf32() if cuda else None,
        "tf32_convolution": torch.backends.cudnn.allow_tf32 if cuda else None,
        "autocast": str(torch.get_autocast_dtype(device.type)).removeprefix("torch.") if autocast else None,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
    }


def _matmul_uses_tf32() -> bool:
    import torch

    try:
        return bool(torch.backends.cuda.matmul.allow_tf32)
    except RuntimeError:  # set through the API of PyTorch 2.9, after which the older one refuses to answer
        return torch.backends.cuda.matmul.fp32_precision == "tf32"


@cache
def cpu_name() -> str:
    """The processor's model name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
