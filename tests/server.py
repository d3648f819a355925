"""Files of weights, and a local server that misbehaves in every way that users have met."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from bench.registry import Weights


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


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)


@dataclass
class Server:
    """What to answer: path -> body; ``declared`` overstates the length; ``stall`` stops half-way until released."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    declared: int | None = None
    stall: threading.Event | None = None
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Server]:
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


def weights_at(url: str, **facts: Any) -> Weights:
    return Weights(name="paper", file="net.pth", url=f"{url}/net.pth", **facts)
