"""Which weights there are, where they lie, and whether they are the right ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from server import PAYLOAD, SHA256, Server, weights_at

from bench.errors import UnknownNameError, WeightsError
from bench.fetching import fetch
from bench.registry import model_names
from bench.weights import BACKBONES, WeightsStatus, catalogue, find_backbone, locate, statuses_named, verify

pytestmark = pytest.mark.usefixtures("cache")


def test_catalogue_names_every_model_and_backbone_once() -> None:
    statuses = catalogue()
    assert len({s.reference for s in statuses}) == len(statuses)
    assert {s.model for s in statuses} <= {*model_names(), "backbones"}
    assert {s.reference for s in statuses} >= {"ddcolor/paper", *BACKBONES}
    assert all(s.path.is_file() == (s.status != "absent") for s in statuses)


def test_statuses_named() -> None:
    assert [s.reference for s in statuses_named("ddcolor")] == ["ddcolor/paper"]
    assert [s.reference for s in statuses_named("ddcolor/modelscope")] == ["ddcolor/modelscope"]
    assert [s.reference for s in statuses_named("vgg16")] == ["vgg16"]
    assert [s.reference for s in statuses_named("backbones")] == list(BACKBONES)
    with pytest.raises(UnknownNameError, match=r"Did you mean .*ddcolor/paper"):
        statuses_named("ddcolor/papr")
    with pytest.raises(WeightsError, match="no weights of gray to fetch"):
        statuses_named("gray")


def test_backbone_digests_are_those_in_their_file_names() -> None:
    for weights in BACKBONES.values():
        assert weights.sha256 is not None
        assert weights.sha256.startswith(weights.file.removesuffix(".pth").rpartition("-")[2])
        assert weights.url is not None
        assert weights.url.endswith("/" + weights.file)


@pytest.fixture
def one_byte(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What the files of two backbones hold in these tests, instead of half a gigabyte."""
    for name in ("vgg16", "alexnet"):
        monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], sha256=hashlib.sha256(b"x").hexdigest()))
    return b"x"


def test_find_backbone_looks_into_the_cache_and_torch_hub(tmp_path: Path, cache: Path, one_byte: bytes) -> None:
    with pytest.raises(WeightsError, match=r"`bench weights fetch vgg16` brings it \(553 MB\); `bench doctor`"):
        find_backbone("vgg16")
    shared = tmp_path / "torch/hub/checkpoints/vgg16-397923af.pth"
    own = cache / "weights/backbones/vgg16-397923af.pth"
    for path in (shared, own):
        path.parent.mkdir(parents=True)
        path.write_bytes(one_byte)
        assert find_backbone("vgg16") == path
    with pytest.raises(UnknownNameError, match="vgg16_bn"):
        find_backbone("vgg16bn")


def test_find_backbone_refuses_another_file(tmp_path: Path, one_byte: bytes) -> None:
    path = tmp_path / "torch/hub/checkpoints" / BACKBONES["vgg16"].file
    path.parent.mkdir(parents=True)
    path.write_bytes(one_byte + b"!")
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth is not the file it should be.*fetch vgg16"):
        find_backbone("vgg16")


def test_torch_hub_folder_is_the_one_torch_uses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_byte: bytes
) -> None:
    for home in (str(tmp_path / "elsewhere"), None):
        monkeypatch.setenv("TORCH_HOME", home) if home else monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        expected = Path(torch.hub.get_dir(), "checkpoints", BACKBONES["alexnet"].file)
        expected.parent.mkdir(parents=True)
        expected.write_bytes(one_byte)
        assert find_backbone("alexnet") == expected


def test_verify(server: Server) -> None:
    server.files["/net.pth"] = PAYLOAD
    weights = weights_at(server.url)
    absent = WeightsStatus("ddcolor", weights, "absent", locate(weights, "ddcolor"))
    with pytest.raises(WeightsError, match="is not here"):
        verify(absent)
    path = fetch(weights, "ddcolor", progress=False)
    here = replace(absent, status="cached")
    assert (verify(here).outcome, verify(here).digest) == ("ok", SHA256)
    path.write_bytes(PAYLOAD + b"!")
    assert (verify(here).outcome, verify(here).expected) == ("mismatch", SHA256)
    path.with_name("net.pth.sha256").unlink()
    assert verify(here).outcome == "unknown"
    assert verify(replace(here, weights=replace(weights, sha256="0" * 8))).outcome == "mismatch"
