"""A server on this machine that does to downloads what networks do."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import gvr_bench.api as gvr
from gvr_bench.data import download
from gvr_bench.data.download import NoProgress

Misdeed = Callable[["Handler"], None]


class RecordedProgress(NoProgress):
    """Keeps the lines that a user would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


class Server:
    """Serves `files`; the next of its `misdeeds` answers a request for a file, if any is left."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.misdeeds: dict[str, list[Misdeed]] = {}
        self.requests: list[tuple[str, str]] = []  # path, Range

    def add(self, name: str, data: bytes, *misdeeds: Misdeed, **facts: object) -> gvr.Remote:
        """Serve a file; return how to fetch it."""
        self.files[f"/{name}"] = data
        self.misdeeds[f"/{name}"] = list(misdeeds)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        known = {"digest": digest, "size": len(data), **facts}
        return gvr.Remote(name, (f"{self.address}/{name}",), **known)  # type: ignore[arg-type]

    @property
    def ranges(self) -> list[str]:
        return [span for _, span in self.requests]


class Handler(BaseHTTPRequestHandler):
    server_version = "Lying/1"
    protocol_version = "HTTP/1.1"
    served: Server

    def log_message(self, *parts: object) -> None:
        pass

    def do_GET(self) -> None:
        self.served.requests.append((self.path, self.headers.get("Range", "")))
        self.close_connection = True
        misdeeds = self.served.misdeeds.get(self.path, [])
        (misdeeds.pop(0) if misdeeds else serve)(self)

    @property
    def data(self) -> bytes:
        return self.served.files[self.path]

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def serve(handler: Handler, count: int | None = None) -> None:
    """Send the file, or the part that is due; `count` bytes of it and no more."""
    data, span = handler.data, handler.headers.get("Range", "")
    start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
    ranges = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
    handler.head(206 if start else 200, len(data) - start, **ranges)
    handler.wfile.write(data[start:][:count])


def drop(count: int) -> Misdeed:
    """Announce all, send the first bytes that are due, and hang up."""
    return lambda handler: serve(handler, count)


def claim(span: str) -> Misdeed:
    """Send a part, and announce another one."""

    def misdeed(handler: Handler) -> None:
        handler.head(206, 10, Content_Range=span)
        handler.wfile.write(bytes(10))

    return misdeed


def ignore_range(handler: Handler) -> None:
    """Send the full file whatever was asked for."""
    handler.head(200, len(handler.data))
    handler.wfile.write(handler.data)


def announce(length: int) -> Misdeed:
    """Announce another length than is sent."""

    def misdeed(handler: Handler) -> None:
        handler.head(200, length)
        handler.wfile.write(handler.data)

    return misdeed


def send_more(handler: Handler) -> None:
    """Announce nothing, and go on after the end."""
    handler.head(200, None)
    handler.wfile.write(handler.data * 3)


def status(code: int, **headers: str) -> Misdeed:
    """Answer with an error."""
    return lambda handler: handler.head(code, 0, **headers)


def redirect(url: str) -> Misdeed:
    """Send elsewhere."""
    return status(302, Location=url)


def web_page(handler: Handler) -> None:
    """Ask to log in."""
    page = b"<html>log in</html>"
    handler.head(200, len(page), Content_Type="text/html; charset=utf-8")
    handler.wfile.write(page)


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""


def stall(handler: Handler) -> None:
    """Send 20 bytes, then nothing for a while."""
    serve(handler, 20)
    handler.wfile.flush()
    handler.rfile.read(1)  # until the other side gives up


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server until the block ends; downloads may use plain HTTP with it, and hurry."""
    monkeypatch.setenv("no_proxy", "*")
    handler = type("ServingHandler", (Handler,), {})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server = handler.served = Server(f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setattr(download, "SCHEMES", ("https://", "http://127.0.0.1:"))
    for name, value in {
        "TIMEOUT": 0.3,
        "MAX_FAILURES": 3,
        "BACKOFF": 0.01,
        "MAX_BACKOFF": 0.1,
    }.items():
        monkeypatch.setattr(download, name, value)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
