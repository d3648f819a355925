"""Weights against a local server that misbehaves in every way that users have met."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench import load_model
from bench.checkpoints import file_sha256, read_state_dict
from bench.errors import BenchError, ConfigError, UnknownNameError, WeightsError
from bench.fetching import fetch
from bench.loading import check_weights
from bench.processes import pick_device
from bench.registry import Weights, card_of, model_names
from bench.weights import BACKBONES, WeightsStatus, catalogue, find_backbone, locate, statuses_named, verify

NET = """
import torch
from bench.colorizer import Colorizer
from bench.registry import ModelCard, Weights

CARDS = (
    ModelCard(name="Net", family="test", title="Net", weights=(
        Weights(name="first", file="first.pth", url="http://127.0.0.1:9/first.pth", sha256="{sha256}", bytes=2_000_000),
        Weights(name="mine", file="mine.safetensors", origin="trained here"),
    )),
)

class Net(Colorizer):
    def __init__(self, width=2):
        super().__init__()
        self.mix = torch.nn.Conv2d(1, width, 1)
        self.norm = torch.nn.BatchNorm2d(width)

class Wrapped(Colorizer):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Conv2d(1, 2, 1)
"""


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def net_state(scale: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "mix.weight": torch.full((2, 1, 1, 1), scale),
        "mix.bias": torch.zeros(2),
        "norm.weight": torch.ones(2),
        "norm.bias": torch.zeros(2),
        "norm.running_mean": torch.zeros(2),
        "norm.running_var": torch.ones(2),
        "norm.num_batches_tracked": torch.tensor(0),
    }


PAYLOAD = saved(net_state())
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()


@dataclass
class Server:
    """What to answer: path -> body; ``declared`` overstates the length; ``stall`` stops half-way until released."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    declared: int | None = None
    stall: threading.Event | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            told.asked.append(f"{self.command} {self.path}")
            content = told.files.get(self.path)
            headers = told.headers.get(self.path, {})
            self.send_response(404 if content is None else 302 if "Location" in headers else 200)
            self.send_header("Content-Length", str(told.declared or len(content or b"")))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body and content and told.stall:
                self.wfile.write(content[: len(content) // 2])
                told.stall.wait(30)
            elif body and content:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    told.url = f"http://127.0.0.1:{http.server_port}"
    yield told
    if told.stall:
        told.stall.set()
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET.replace("{sha256}", SHA256[:8]), encoding="utf-8")
    return f"{tmp_path / 'net.py'}:Net"


def weights_at(url: str, **facts: Any) -> Weights:
    return Weights(name="paper", file="net.pth", url=f"{url}/net.pth", **facts)


def files_under(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


# --- fetching ----------------------------------------------------------------------------------------------------


def test_fetch_from_an_address_checks_and_records(server: Server, cache: Path) -> None:
    server.files["/net.pth"] = PAYLOAD
    path = fetch(weights_at(server.url), "net", progress=False)
    assert path == cache / "weights/net/paper/net.pth"
    assert path.read_bytes() == PAYLOAD
    assert path.with_name("net.pth.sha256").read_text() == f"{SHA256}  net.pth\n"
    assert files_under(cache) == ["net.pth", "net.pth.sha256"]


def test_fetch_again_asks_no_server(server: Server) -> None:
    server.files["/net.pth"] = PAYLOAD
    fetch(weights_at(server.url), "net", progress=False)
    fetch(weights_at(server.url), "net", progress=False)
    assert server.asked == ["GET /net.pth"]


def test_fetch_replaces_a_damaged_file(server: Server, cache: Path) -> None:
    server.files["/net.pth"] = PAYLOAD
    path = fetch(weights_at(server.url), "net", progress=False)
    path.write_bytes(PAYLOAD[:-1])
    assert fetch(weights_at(server.url), "net", progress=False).read_bytes() == PAYLOAD


def test_weights_of_one_model_with_one_file_name_do_not_collide(server: Server) -> None:
    server.files["/net.pth"] = PAYLOAD
    first = fetch(weights_at(server.url), "net", progress=False)
    second = fetch(replace(weights_at(server.url), name="other"), "net", progress=False)
    assert first != second


@pytest.mark.parametrize("digits", [64, 8])
def test_fetch_refuses_another_digest(server: Server, cache: Path, digits: int) -> None:
    server.files["/net.pth"] = PAYLOAD + b"!"
    with pytest.raises(WeightsError) as caught:
        fetch(weights_at(server.url, sha256=SHA256[:digits]), "net", progress=False)
    for needed in (server.url, SHA256[:digits], hashlib.sha256(PAYLOAD + b"!").hexdigest(), str(cache)):
        assert needed in str(caught.value)
    assert files_under(cache) == []


@pytest.mark.parametrize("digest", [SHA256.upper(), SHA256[:8].upper(), SHA256[:8]])
def test_fetch_accepts_a_digest_in_any_form(server: Server, digest: str) -> None:
    server.files["/net.pth"] = PAYLOAD
    assert fetch(weights_at(server.url, sha256=digest), "net", progress=False).is_file()


def test_fetch_refuses_a_web_page_of_unknown_digest(server: Server, cache: Path) -> None:
    server.files["/net.pth"] = b"<!DOCTYPE html><title>Log in</title>"
    with pytest.raises(WeightsError, match="web page"):
        fetch(weights_at(server.url), "net", progress=False)
    assert files_under(cache) == []


def test_fetch_says_404(server: Server, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"the server answered 404.*goes to .*net\.pth"):
        fetch(weights_at(server.url), "net", progress=False)
    assert files_under(cache) == []


def test_fetch_refuses_a_download_that_broke_off(server: Server, cache: Path) -> None:
    server.files["/net.pth"], server.declared = PAYLOAD, len(PAYLOAD) + 1000
    with pytest.raises(WeightsError, match="broke off"):
        fetch(weights_at(server.url), "net", progress=False)
    assert files_under(cache) == []


@pytest.mark.parametrize("kind", ["url", "hub"])
def test_fetch_without_a_network(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    weights = weights_at(url) if kind == "url" else Weights(name="paper", file="net.pth", hub="some/where")
    with pytest.raises(WeightsError, match=r"cannot be reached.*goes to .*net\.pth"):
        fetch(weights, "net", progress=False)


def test_fetch_with_a_full_disk(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: object, _url: str, output: str, _pooch: None) -> None:
        Path(output).write_bytes(PAYLOAD[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    with pytest.raises(WeightsError, match="No space left"):
        fetch(weights_at(server.url), "net", progress=False)
    assert files_under(cache) == []


def test_a_killed_fetch_leaves_nothing_under_the_name(server: Server, cache: Path) -> None:
    server.files["/net.pth"], server.stall = PAYLOAD, threading.Event()
    code = (
        "from bench.registry import Weights; from bench.fetching import fetch;"
        f"fetch(Weights(name='paper', file='net.pth', url='{server.url}/net.pth'), 'net', progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not any(cache.rglob(".fetch-*/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    started = list(cache.rglob(".fetch-*/*"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert started
    assert not (cache / "weights/net/paper/net.pth").exists()
    two_days_ago = time.time() - 2 * 86_400
    for path in (*started, started[0].parent):
        os.utime(path, (two_days_ago, two_days_ago))
    server.stall.set()
    server.stall = None
    fetch(weights_at(server.url), "net", progress=False)
    assert files_under(cache) == ["net.pth", "net.pth.sha256"]


HUB_FILE = "/some/where/resolve/main/sub/net.pth"


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The hub's answers: metadata in the headers of a redirect, the file itself on another host."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files |= {HUB_FILE: b"moved", "/cdn/net.pth": PAYLOAD}
    server.headers[HUB_FILE] = {
        "Location": f"{server.url.replace('127.0.0.1', 'localhost')}/cdn/net.pth",
        "X-Repo-Commit": "a" * 40,
        "X-Linked-ETag": f'"{SHA256}"',
        "X-Linked-Size": str(len(PAYLOAD)),
    }
    return server


def test_fetch_from_the_hub_checks_the_announced_digest(hub: Server, cache: Path) -> None:
    weights = Weights(name="paper", file="sub/net.pth", hub="some/where")
    assert fetch(weights, "net", progress=False).read_bytes() == PAYLOAD
    hub.files["/cdn/net.pth"] = b"PK\x03\x04 something else"
    (cache / "weights/net/paper/net.pth").unlink()
    with pytest.raises(WeightsError, match=SHA256):
        fetch(weights, "net", progress=False)


def test_fetch_from_the_hub_refuses_another_version_before_downloading(hub: Server) -> None:
    with pytest.raises(WeightsError, match=f"offers sha256 {SHA256}, but 00000000 was expected"):
        fetch(Weights(name="paper", file="sub/net.pth", hub="some/where", sha256="00000000"), "net", progress=False)
    assert hub.asked == [f"HEAD {HUB_FILE}"]


def test_fetch_from_the_hub_says_404(hub: Server) -> None:
    with pytest.raises(WeightsError, match="the server answered 404"):
        fetch(Weights(name="paper", file="absent.pth", hub="some/where"), "net", progress=False)


# --- places and digests ------------------------------------------------------------------------------------------


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


def test_find_backbone_looks_into_the_cache_and_torch_hub(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"`bench weights fetch vgg16` brings it \(553 MB\), or put it into"):
        find_backbone("vgg16")
    shared = tmp_path / "torch/hub/checkpoints/vgg16-397923af.pth"
    own = cache / "weights/backbones/vgg16-397923af.pth"
    for path in (shared, own):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        assert find_backbone("vgg16") == path
    with pytest.raises(UnknownNameError, match="vgg16_bn"):
        find_backbone("vgg16bn")


def test_torch_hub_folder_is_the_one_torch_uses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in (str(tmp_path / "elsewhere"), None):
        monkeypatch.setenv("TORCH_HOME", home) if home else monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        expected = Path(torch.hub.get_dir(), "checkpoints", BACKBONES["alexnet"].file)
        expected.parent.mkdir(parents=True)
        expected.write_bytes(b"x")
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


def test_file_sha256(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


# --- reading -----------------------------------------------------------------------------------------------------


class Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)


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


# --- loading -----------------------------------------------------------------------------------------------------


def test_load_default_weights_from_the_cache(net: str) -> None:
    with pytest.raises(WeightsError, match=r"`bench weights fetch .*` brings it"):
        check_weights(card_of(net))
    with pytest.raises(WeightsError, match=r"first\.pth .*`bench weights fetch .*` brings it \(2 MB\), or put it into"):
        load_model(net)
    (status,) = (locate(w, net) for w in [Weights(name="first", file="first.pth", url="x")])
    status.parent.mkdir(parents=True)
    status.write_bytes(PAYLOAD)
    check_weights(card_of(net))
    model = load_model(net, device="cpu")
    provenance = model.provenance
    assert provenance is not None
    assert (provenance.name, provenance.source) == ("first", "official")
    assert (provenance.file, provenance.sha256) == ("first.pth", SHA256)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    status.write_bytes(saved(net_state(2.0)))
    with pytest.raises(WeightsError, match=rf"is not the file.*expected {SHA256[:8]}"):
        load_model(net)


def test_load_shipped_weights(net: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="ships with the package, is missing"):
        load_model(net, "mine")
    (tmp_path / "weights").mkdir()
    save_file(net_state(3.0), tmp_path / "weights/mine.safetensors")
    model = load_model(net, "mine", "cpu")
    assert model.provenance is not None
    assert (model.provenance.name, model.provenance.source) == ("mine", "shipped")
    assert model.state_dict()["mix.weight"].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_load_a_file(net: str, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "own.pth").write_bytes(saved({prefix + k: v for k, v in net_state(5.0).items()}))
    model = load_model(net, tmp_path / "own.pth", "cpu")
    assert model.provenance is not None
    assert (model.provenance.name, model.provenance.source) == ("own.pth", "file")
    assert model.provenance.sha256 == hashlib.sha256((tmp_path / "own.pth").read_bytes()).hexdigest()
    assert model.state_dict()["mix.weight"].flatten().tolist() == [5.0, 5.0]


def test_load_keeps_a_prefix_that_is_the_networks_own(net: str, tmp_path: Path) -> None:
    state = {"model.weight": torch.full((2, 1, 1, 1), 7.0), "model.bias": torch.zeros(2)}
    (tmp_path / "own.pth").write_bytes(saved(state))
    model = load_model(net.replace(":Net", ":Wrapped"), tmp_path / "own.pth", "cpu")
    assert_same(dict(model.state_dict()), state)


def test_load_is_strict_and_leaves_old_counters_out(net: str, tmp_path: Path) -> None:
    state = net_state()
    del state["norm.num_batches_tracked"]
    (tmp_path / "old.pth").write_bytes(saved(state))
    load_model(net, tmp_path / "old.pth")
    del state["mix.bias"]
    state |= {"mix.weight": torch.ones(2, 3, 1, 1), **{f"extra{i}": torch.ones(1) for i in range(10)}}
    (tmp_path / "other.pth").write_bytes(saved(state))
    with pytest.raises(WeightsError) as caught:
        load_model(net, tmp_path / "other.pth")
    for needed in (
        "other.pth",
        "1 keys missing (mix.bias)",
        "10 unexpected (extra0",
        "extra7, ...",
        "(2, 3, 1, 1) instead",
    ):
        assert needed in str(caught.value)
    assert "extra8" not in str(caught.value)


def test_load_passes_options_and_marks_random_weights(net: str) -> None:
    model = load_model(net, "random", width=5)
    assert model.state_dict()["mix.weight"].shape[0] == 5
    assert model.provenance is not None
    assert (model.provenance.source, model.provenance.sha256) == ("random", "none")
    assert (model.provenance.model, model.provenance.options) == (net, {"width": 5})


def test_load_gray_needs_nothing() -> None:
    for weights in (None, "random"):
        provenance = load_model("gray", weights).provenance
        assert provenance is not None
        assert provenance.source == "none"


def test_load_says_what_is_wrong_with_the_request(net: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean first"):
        load_model(net, "frist")
    with pytest.raises(WeightsError, match=r"absent\.pth does not exist"):
        load_model(net, "absent.pth")
    with pytest.raises(WeightsError, match="weights='random'"):
        load_model(net.replace(":Net", ":Wrapped"))
    with pytest.raises(UnknownNameError, match="ddcolor"):
        load_model("dcolor")
    with pytest.raises(ConfigError, match=r"no device 'gpu'.*cpu"):
        load_model(net, "random", device="gpu")
    assert issubclass(WeightsError, BenchError)


def test_pick_device_prefers_what_is_there() -> None:
    fastest = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == fastest
    assert pick_device("cpu") == torch.device("cpu")
