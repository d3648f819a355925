"""Downloads of weights: checked, and under their name only once they are whole."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from bench.cache import write_atomically
from bench.checkpoints import file_sha256, kind_of
from bench.errors import WeightsError
from bench.registry import Weights
from bench.weights import absent_error, cached_path, sidecar, status_of, verify


def fetch(weights: Weights, model: str, progress: bool = True) -> Path:
    """Bring a file into the cache, unless a good one is here. It gets its name only once it is whole and checked.

    Args:
        weights: the card's entry, or one of BACKBONES.
        model: name of the model, or ``"backbones"``.
        progress: show a bar on standard error.

    Raises:
        WeightsError: no network, no such file, another digest than expected, no room; says where to put it by hand.
    """
    status = status_of(weights, model)
    if weights.shipped and status.status == "absent":
        raise absent_error(weights, model, status.path)
    if status.status != "absent" and (weights.shipped or verify(status).outcome != "mismatch"):
        return status.path
    path = cached_path(weights, model)
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
            kind_of(part)
        except WeightsError as error:
            raise _failed(url, path, str(error).replace(str(part), "what came")) from error
    write_atomically(sidecar(path), f"{digest}  {path.name}\n".encode())
    with part.open("rb+") as file:
        os.fsync(file.fileno())


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
