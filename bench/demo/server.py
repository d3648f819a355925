"""Serving the page from this machine alone: nothing is asked of others, nothing is sent, nothing is left behind."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import BenchError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'"
)
_LARGEST = "200mb"


def serve(
    models: Sequence[str] = (),
    weights: str | Path | None = None,
    device: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        models, weights, device: see ``bench.demo.colouring.Studio``.
        host: address to listen on.
        port: 0 = any that is free; the address is printed.

    Raises:
        BenchError: gradio is not installed, a model cannot be used, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise BenchError("the page needs gradio, which is not installed: pip install 'colorization-bench[demo]'.")
    with _listen(host, port) as listening, tempfile.TemporaryDirectory(prefix="bench-demo-") as folder:
        # Read by gradio when it is imported: no telemetry, and every file in a folder that goes when the page closes.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        _run(listening, Path(folder), models, weights, device)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BenchError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}. Name others with --port and --host."
        ) from error


def _run(
    listening: socket.socket, folder: Path, models: Sequence[str], weights: str | Path | None, device: str | None
) -> None:
    import gradio
    import uvicorn
    from fastapi import FastAPI

    from bench.demo.colouring import Studio
    from bench.demo.page import STYLE, build_page, theme
    from bench.stopping import StopRequest

    page = build_page(Studio(models, weights, device), folder)
    app = FastAPI(openapi_url=None)
    app.add_middleware(Sealed)
    gradio.mount_gradio_app(
        app, page, path="/", theme=theme(), css=STYLE, footer_links=[], run_history=False, show_error=False,
        max_file_size=_LARGEST, allowed_paths=[str(folder)], ssr_mode=False, pwa=False, mcp_server=False,
        enable_monitoring=False,
    )  # fmt: skip
    host, port = listening.getsockname()[:2]
    click.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C closes the page)")
    if not ipaddress.ip_address(host).is_loopback:
        click.echo("other machines in the network can open this page, too.", err=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    with StopRequest():  # uvicorn hands the signal on when it is done; the folder must go before the process does
        server.run(sockets=[listening])


class Sealed:
    """ASGI middleware: browsers ask no other machine for anything, whatever a page says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message["headers"] = [*message["headers"], *policy]
            await send(message)

        await self.app(scope, receive, with_policy)
