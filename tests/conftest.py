from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from server import Server, serving
from skimage import data


def pytest_configure() -> None:
    """Tests that run side by side share the cores: one thread each, also for the processes they start."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or sees the user's data."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("BENCH_DATA", raising=False)


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Path]:
    """``photographs(n)``: a folder of n different colour photographs, 80 x 72, PNG."""

    def make(n: int = 8, name: str = "photos") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        sources = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
        for i in range(n):
            image = sources[i % len(sources)]
            y, x = 7 * i % (image.shape[0] - 72), 11 * i % (image.shape[1] - 80)
            Image.fromarray(np.ascontiguousarray(image[y : y + 72, x : x + 80])).save(folder / f"photo{i:04d}.png")
        return folder

    return make


@pytest.fixture
def server() -> Iterator[Server]:
    """A local HTTP server; see ``Server`` for what it can be told."""
    with serving() as told:
        yield told


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache at a known place, an empty torch hub, and a direct way to the local server."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path / "cache"
