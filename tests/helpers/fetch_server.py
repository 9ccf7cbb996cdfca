"""A server on this machine that does to downloads what networks do."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gvr_bench.api as gvr
from gvr_bench.data.download import Patience

HASTE = Patience(silence=0.3, least=1.0, tries=3, pause=0.01, longest=0.02, worth=10)
Misdeed = Callable[["Answer"], None]


@dataclass
class Told:
    """Remembers what a user would be told."""

    said: list[str] = field(default_factory=list)
    shown: list[tuple[str, int, int]] = field(default_factory=list)

    def show(self, what: str, done: int, total: int) -> None:
        self.shown.append((what, done, total))

    def say(self, text: str) -> None:
        self.said.append(text)


class Server:
    """Serves `files`; `misdeeds` are done to the requests for a file, one each, in turn."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.misdeeds: dict[str, list[Misdeed]] = {}
        self.asked: list[tuple[str, str, str]] = []  # path, Range, If-Range

    def add(self, name: str, data: bytes, *misdeeds: Misdeed, **facts: object) -> gvr.Remote:
        """Serve a file, and say how it is to be fetched."""
        self.files[f"/{name}"] = data
        self.etags[f"/{name}"] = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        self.misdeeds[f"/{name}"] = list(misdeeds)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        known = {"digest": digest, "size": len(data), **facts}
        return gvr.Remote(name, (f"{self.address}/{name}",), **known)  # type: ignore[arg-type]

    @property
    def ranges(self) -> list[str]:
        return [wanted for _, wanted, _ in self.asked]


class Answer(BaseHTTPRequestHandler):
    server_version = "Lying/1"
    protocol_version = "HTTP/1.1"
    served: Server

    def log_message(self, *parts: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        self.served.asked.append((self.path, wanted, condition))
        self.close_connection = True
        waiting = self.served.misdeeds.get(self.path, [])
        (waiting.pop(0) if waiting else serve)(self)

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


def serve(answer: Answer) -> None:
    """Do what is right."""
    data, etag = answer.data, answer.served.etags[answer.path]
    wanted, condition = answer.headers.get("Range", ""), answer.headers.get("If-Range", "")
    if wanted and condition in ("", etag):
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer.head(206, len(data) - start, Content_Range=span, ETag=etag)
        answer.wfile.write(data[start:])
        return
    answer.head(200, len(data), ETag=etag)
    answer.wfile.write(data)


def drop(count: int, etag: bool = True) -> Misdeed:
    """Announce all, send the first bytes that are due, and hang up."""

    def misdeed(answer: Answer) -> None:
        data, wanted = answer.data, answer.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        tags = {"ETag": answer.served.etags[answer.path]} if etag else {}
        if start:
            tags["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer.head(206 if start else 200, len(data) - start, **tags)
        answer.wfile.write(data[start : start + count])

    return misdeed


def claim(span: str, **headers: str) -> Misdeed:
    """Send a part, and say that it is another one."""

    def misdeed(answer: Answer) -> None:
        answer.head(206, 10, Content_Range=span, **headers)
        answer.wfile.write(bytes(10))

    return misdeed


def whole(answer: Answer) -> None:
    """Know nothing of ranges."""
    answer.head(200, len(answer.data))
    answer.wfile.write(answer.data)


def announce(length: int) -> Misdeed:
    """Announce another length than is sent."""

    def misdeed(answer: Answer) -> None:
        answer.head(200, length)
        answer.wfile.write(answer.data)

    return misdeed


def more(answer: Answer) -> None:
    """Announce nothing, and go on after the end."""
    answer.head(200, None)
    answer.wfile.write(answer.data * 3)


def status(code: int, **headers: str) -> Misdeed:
    """Answer with an error."""
    return lambda answer: answer.head(code, 0, **headers)


def redirect(url: str) -> Misdeed:
    """Send elsewhere."""
    return status(302, Location=url)


def web_page(answer: Answer) -> None:
    """Ask to log in."""
    page = b"<html>log in</html>"
    answer.head(200, len(page), Content_Type="text/html; charset=utf-8")
    answer.wfile.write(page)


def stall(answer: Answer) -> None:
    """Begin, and say no more."""
    answer.head(200, len(answer.data), ETag=answer.served.etags[answer.path])
    answer.wfile.write(answer.data[:20])
    answer.wfile.flush()
    time.sleep(0.6)


def trickle(answer: Answer) -> None:
    """Send a byte now and then, never so late that it is silence."""
    answer.head(200, len(answer.data), ETag=answer.served.etags[answer.path])
    for byte in answer.data[:20]:
        with contextlib.suppress(OSError):
            answer.wfile.write(bytes([byte]))
        time.sleep(0.05)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server until the block ends."""
    handler = type("Handler", (Answer,), {})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server = handler.served = Server(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
