"""One file from the network: over HTTPS alone, resumed where it stopped, checked before it counts.

A download that is cut off leaves `.NAME.partial` and, beside it, what tells the file apart from a
later one under the same address. It is gone on with by a range request (RFC 9110, section 14), made
conditional by `If-Range` (section 13.1.5) where the server gave a strong validator. Where it gave
none, the digest at the end decides; without a digest, either, the file is begun again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import IO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Remote, Watch, fault_of
from gvr_bench.data.https import Refused, open_url

CHUNK = 2**18  # bytes
LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that may be another the next time


@dataclass(frozen=True)
class Patience:
    """How long a mirror is waited for.

    It is given up after `tries` attempts in a row that each brought fewer than `worth` bytes, with
    pauses that double from `pause` to `longest` seconds. An attempt ends when in `silence` seconds
    fewer than `least` bytes per second came.
    """

    silence: float = 30.0
    least: float = 1024.0
    tries: int = 6
    pause: float = 1.0
    longest: float = 60.0
    worth: int = 2**20


class Lost(Exception):  # noqa: N818 - the next attempt may do better
    """The connection ended early, or the server asks to come later, in `wait` seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def download(remote: Remote, path: Path, patience: Patience, watch: Watch) -> None:
    """Download a file and check it, then put it at `path`.

    Raises `DataError` with what each mirror said, or what cannot be written.
    """
    said = []
    for url in remote.urls:
        try:
            Transfer(url, remote, path, patience, watch).run()
            return
        except Refused as refusal:
            said.append(f"{urlsplit(url).hostname}: {refusal}")
    reasons = " ".join("; ".join(said).split()) or "it has no address"
    raise DataError(f"{remote.name} could not be downloaded: {reasons}")


class Transfer:
    """One file from one mirror."""

    def __init__(
        self, url: str, remote: Remote, path: Path, patience: Patience, watch: Watch
    ) -> None:
        self.url = url
        self.remote = remote
        self.path = path
        self.partial = path.with_name(f".{path.name}.partial")
        self.notes = path.with_name(f".{path.name}.partial.json")
        self.patience = patience
        self.watch = watch
        self.came = 0  # bytes, in this run

    def run(self) -> None:
        """Get the file, check it and put it in its place. Raises `Refused` or `DataError`."""
        resumed = self.have() > 0
        self.collect()
        fault = fault_of(self.partial, self.remote, self.watch)
        if fault and resumed:  # its parts may be of two files
            self.discard()
            self.watch.say(f"{self.remote.name}: {fault}; begun again")
            self.collect()
            fault = fault_of(self.partial, self.remote, self.watch)
        if fault:
            self.discard()
            raise Refused(fault)
        with writing(self.path):
            with self.partial.open("rb") as file:
                os.fsync(file.fileno())
            self.partial.replace(self.path)
            self.notes.unlink(missing_ok=True)

    def collect(self) -> None:
        """Try until all bytes are there. Raises `Refused`."""
        failed = 0
        while True:
            before = self.came
            try:
                self.attempt()
                return
            except Lost as loss:
                failed = 1 if self.came - before >= self.patience.worth else failed + 1
                if failed >= self.patience.tries:
                    raise Refused(f"{loss}; tried {failed} times") from loss
                pause = self.patience.pause * 2 ** (failed - 1)
                wait = min(max(pause, loss.wait), self.patience.longest)
                self.watch.say(f"{self.remote.name}: {loss}; again in {wait:.0f} s")
                time.sleep(wait)

    def attempt(self) -> None:
        """Ask once for what is not there yet. Raises `Lost` or `Refused`."""
        have = self.have()
        if have == self.remote.size:
            return
        try:
            with self.ask(have) as answer:
                self.receive(answer, self.place(answer, have))
        except (OSError, HTTPException) as error:
            raise Lost(f"the connection was lost ({error or type(error).__name__})") from error

    def have(self) -> int:
        """Bytes of the partial file that can be gone on with; what cannot be is discarded."""
        with writing(self.path):
            if not self.partial.exists():
                return 0
            have = self.partial.stat().st_size
        noted = self.noted()
        known = validator(noted) or self.remote.digest
        if noted.get("url") != self.url or not known or have > self.remote.size:
            self.discard()
            return 0
        return have

    def noted(self) -> dict[str, str]:
        """What was written down about the partial file; nothing where that cannot be read."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        whole = isinstance(notes, dict) and all(isinstance(text, str) for text in notes.values())
        return notes if whole else {}

    def discard(self) -> None:
        """Forget the partial file."""
        with writing(self.path):
            self.partial.unlink(missing_ok=True)
            self.notes.unlink(missing_ok=True)

    def ask(self, have: int) -> HTTPResponse:
        """Send the request. Raises `Lost` or `Refused`."""
        headers = {"User-Agent": "gvr-bench", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if tag := validator(self.noted()):
                headers["If-Range"] = tag
        try:
            return open_url(self.url, headers, self.patience.silence)
        except HTTPError as error:
            raise self.refusal(error) from error
        except URLError as error:
            if isinstance(error.reason, SSLCertVerificationError):
                raise Refused(f"its certificate is not valid ({error.reason})") from error
            passing = isinstance(error.reason, TimeoutError | ConnectionResetError)
            if not (passing or self.came or have):
                raise Refused(f"it cannot be reached ({error.reason})") from error
            raise Lost(f"it cannot be reached ({error.reason})") from error

    def refusal(self, error: HTTPError) -> Lost | Refused:
        """Say what an error of the server means."""
        with error:
            text = f"it answered {error.code} {error.reason}"
            if error.code in LATER:
                after = error.headers.get("Retry-After", "")
                return Lost(text, float(after) if after.isdecimal() else 0.0)
            if error.code == 416:  # the file is shorter than what is here
                self.discard()
                return Lost("the file has changed")
            return Refused(text)

    def place(self, answer: HTTPResponse, have: int) -> int:
        """Return from which byte on the answer goes. Raises `Lost` or `Refused`."""
        headers = answer.headers
        if headers.get_content_type() == "text/html":
            raise Refused("it sent a web page in place of the file")
        if headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("it packs the file in a way that was not asked for")
        if answer.status == 206 and have:
            return self.go_on(headers, have)
        if answer.status != 200:
            raise Refused(f"it answered {answer.status} {answer.reason}")
        announced = headers.get("Content-Length", "")
        if announced and announced != str(self.remote.size):
            raise Refused(f"it announces {announced} bytes, {self.remote.size} expected")
        self.note(headers)
        return 0

    def go_on(self, headers: Message, have: int) -> int:
        """Check that a partial answer goes on with the same file. Raises `Lost` or `Refused`."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        etag, before = headers.get("ETag", ""), self.noted().get("etag", "")
        if not found or int(found[1]) != have or (etag and before and etag != before):
            self.discard()
            raise Lost("the file has changed")
        if found[2] not in ("*", str(self.remote.size)):
            raise Refused(f"it has {found[2]} bytes, {self.remote.size} expected")
        return have

    def note(self, headers: Message) -> None:
        """Write down what tells this file apart from a later one."""
        notes = {
            "url": self.url,
            "etag": headers.get("ETag", ""),
            "modified": headers.get("Last-Modified", ""),
        }
        self.discard()
        with writing(self.path):
            self.notes.write_text(json.dumps(notes), encoding="utf-8")

    def receive(self, answer: HTTPResponse, start: int) -> None:
        """Append what comes to the partial file. Raises `Lost` or `Refused`."""
        done, size = start, self.remote.size
        since, until = done, time.monotonic() + self.patience.silence
        with opened(self.partial, "ab") as file:
            while chunk := answer.read1(CHUNK):
                done += len(chunk)
                if done > size:
                    raise Refused(f"it sent more than the {size:,} bytes expected")
                with writing(self.path):
                    file.write(chunk)
                    file.flush()
                self.came += len(chunk)
                self.watch.show(self.remote.name, done, size)
                if time.monotonic() > until:
                    if done - since < self.patience.least * self.patience.silence:
                        raise Lost(f"fewer than {self.patience.least:.0f} bytes a second came")
                    since, until = done, time.monotonic() + self.patience.silence
        if done < size:
            raise Lost(f"the connection ended after {done:,} of {size:,} bytes")


def validator(notes: Mapping[str, str]) -> str:
    """Return what `If-Range` may carry: a strong entity tag, or else a date (RFC 9110, 13.1.5)."""
    etag = notes.get("etag", "")
    return etag if etag.startswith('"') else notes.get("modified", "")


@contextlib.contextmanager
def opened(path: Path, mode: str = "wb") -> Iterator[IO[bytes]]:
    """Open a file to write to, or append with `ab`. Raises `DataError`."""
    with writing(path):
        file = cast(IO[bytes], path.open(mode))
    try:
        yield file
    finally:
        with writing(path):
            file.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what the disk refuses apart from what the network does. Raises `DataError`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; what is there is kept, and the same "
            "command goes on from it"
        ) from error
