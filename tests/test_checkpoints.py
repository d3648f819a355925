"""Reading files of weights, whatever is in them."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from server import assert_same, net_state, saved

from bench.checkpoints import file_sha256, read_state_dict
from bench.errors import WeightsError


def test_file_sha256(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


class Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".pt", ".safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_read_goes_by_content_not_suffix(tmp_path: Path, suffix: str, form: str) -> None:
    path = tmp_path / f"net{suffix}"
    if form == "safetensors":
        save_file(net_state(), path)
    else:
        path.write_bytes(saved(net_state(), _use_new_zipfile_serialization=form == "zip"))
    assert_same(read_state_dict(path), net_state())


@pytest.mark.parametrize("nest", ["params", "state_dict", "model", "net"])
def test_read_unwraps(tmp_path: Path, nest: str) -> None:
    inner = {f"module.{k}": v for k, v in net_state().items()}
    (tmp_path / "net.pth").write_bytes(saved({nest: inner, "epoch": 3}))
    assert_same(read_state_dict(tmp_path / "net.pth"), net_state())


def test_read_keeps_a_prefix_that_not_every_key_has(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}
    (tmp_path / "net.pth").write_bytes(saved(state))
    assert_same(read_state_dict(tmp_path / "net.pth"), state)


def test_read_widens_halves_only(tmp_path: Path) -> None:
    state = {"h": torch.tensor([1.5]).half(), "b": torch.tensor([2.5]).bfloat16(), "i": torch.tensor([3])}
    save_file(state, tmp_path / "net.safetensors")
    found = read_state_dict(tmp_path / "net.safetensors")
    assert_same(found, {"h": torch.tensor([1.5]), "b": torch.tensor([2.5]), "i": torch.tensor([3])})


def test_read_never_runs_code(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    evil = {"a": torch.ones(1), "x": Payload(f"touch {trace}")}
    contents = (
        saved(evil),
        saved(evil, _use_new_zipfile_serialization=False),
        pickle.dumps(evil),
        pickle.dumps(evil, 2),
    )
    for content in contents:
        (tmp_path / "net.pth").write_bytes(content)
        with pytest.raises(WeightsError, match=r"Python objects.*not opened"):
            read_state_dict(tmp_path / "net.pth")
    assert not trace.exists()
    pickle.loads(contents[-1])
    assert trace.exists(), "the payload is harmless: this test could not fail"


def unreadable() -> dict[str, tuple[bytes, str]]:
    tensors = {"a": torch.ones(3000)}
    legacy = saved(tensors, _use_new_zipfile_serialization=False)
    whole = saved(tensors)
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), script)
    return {
        "empty": (b"", "is empty"),
        "page": (b"\n<!doctype html><html>", "is a web page"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        "text": (b"Not Found", "no file of weights"),
        "cut zip": (whole[: len(whole) // 2], "damaged or cut short"),
        "cut legacy": (legacy[: len(legacy) // 2], "damaged or cut short"),
        "cut pickle": (legacy[:20], "damaged or cut short"),
        "cut safetensors": (b"\xff\0\0\0\0\0\0\0{", "damaged or cut short"),
        "script": (script.getvalue(), "TorchScript"),
        "empty dict": (saved({}), "empty dict"),
        "empty nest": (saved({"params": {}}), "empty dict"),
        "list": (saved([torch.ones(1)]), "holds a list"),
        "numbers": (saved({"a": torch.ones(1), "epoch": 3}), r"more than tensors by name \(epoch\)"),
    }


@pytest.mark.filterwarnings("ignore:.*TorchScript")
@pytest.mark.parametrize("case", list(unreadable()))
def test_read_names_what_is_wrong(tmp_path: Path, case: str) -> None:
    content, sentence = unreadable()[case]
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"net\.pth.*{sentence}"):
        read_state_dict(tmp_path / "net.pth")


def test_read_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_state_dict(tmp_path)
