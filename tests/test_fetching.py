"""Weights from a local server that misbehaves in every way that users have met."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from server import PAYLOAD, SHA256, Server, weights_at

from bench.errors import WeightsError
from bench.fetching import fetch
from bench.registry import Weights

pytestmark = pytest.mark.usefixtures("cache")


def files_under(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


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
