"""One file over HTTPS: resumed where it stopped, and checked before it gets its name.

An interrupted download leaves `.NAME.partial`. The next attempt asks for the rest of it; as size
and digest are known, a part that belongs to another version of the file is noticed at the end.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import ssl
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Remote

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 2**18  # bytes
TIMEOUT = 30.0  # seconds without a byte
MAX_FAILURES = 6  # attempts in a row that bring nothing
BACKOFF, MAX_BACKOFF = 1.0, 60.0  # seconds between attempts: the first, doubled up to the last
RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
SCHEMES = ("https://",)  # redirects included


class Progress(Protocol):
    """Shows that `done` of `total` bytes of a file are done, and prints lines."""

    def update(self, label: str, done: int, total: int) -> None: ...

    def log(self, text: str) -> None: ...


class NoProgress:
    """Shows nothing."""

    def update(self, label: str, done: int, total: int) -> None:
        pass

    def log(self, text: str) -> None:
        pass


class FailedAttempt(Exception):  # noqa: N818 - another attempt may succeed
    """The rest may come with another attempt after `wait` seconds; never where that is None."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def partial_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def download(remote: Remote, path: Path, progress: Progress) -> None:
    """Download a file to `path` from the first mirror that has it. Raises `DataError`."""
    reasons, partial = [], partial_path(path)
    for url in remote.urls:
        try:
            with _open_session() as session:
                _download_intact(session, url, remote, partial, progress)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
            return
        except FailedAttempt as error:
            reasons.append(f"{urlsplit(url).hostname}: {error}")
        except OSError as error:
            raise DataError(
                f"cannot write {path}: {error.strerror or error}; what was downloaded stays, and "
                "the same command continues from there"
            ) from error
    reason = " ".join("; ".join(reasons).split()) or "it has no address"
    raise DataError(f"cannot download {remote.name}: {reason}")


def _download_intact(
    session: Session, url: str, remote: Remote, partial: Path, progress: Progress
) -> None:
    resumed = partial.is_file()  # its parts may be of two versions
    while True:
        _download_all(session, url, remote, partial, progress)
        fault = fault_of(partial, remote, progress)
        if not fault:
            return
        partial.unlink()
        if not resumed:
            raise FailedAttempt(fault)
        progress.log(f"{remote.name}: {fault}; starting again")
        resumed = False


def _open_session() -> Session:
    """A session that reaches no other scheme than HTTPS, not even by a redirect.

    It trusts the system's certificates, too: those of a hospital's proxy are installed there.
    """
    from requests import Session
    from requests.adapters import HTTPAdapter

    class SystemTrust(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **options)

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            context = ssl.create_default_context()
            return super().proxy_manager_for(*args, ssl_context=context, **options)

    session = Session()
    session.headers.update({"User-Agent": "gvr-bench", "Accept-Encoding": "identity"})
    session.adapters.clear()
    for scheme in SCHEMES:
        session.mount(scheme, SystemTrust())
    return session


def _download_all(
    session: Session, url: str, remote: Remote, partial: Path, progress: Progress
) -> None:
    """Send requests until the partial file has its full size. Raises `FailedAttempt`."""
    failures = 0
    while (size := _size(partial)) != remote.size:
        try:
            _request(session, url, remote, partial, progress)
        except FailedAttempt as error:
            if error.wait is None:
                raise
            failures = 1 if _size(partial) > size else failures + 1
            if failures >= MAX_FAILURES:
                raise FailedAttempt(f"{error}; gave up after {failures} attempts") from error
            wait = min(max(BACKOFF * 2 ** (failures - 1), error.wait), MAX_BACKOFF)
            progress.log(f"{remote.name}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _request(session: Session, url: str, remote: Remote, partial: Path, progress: Progress) -> None:
    """Ask once for the missing bytes. Raises `FailedAttempt`."""
    import requests
    from urllib3.exceptions import HTTPError

    if (start := _size(partial)) > remote.size:
        start = 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            resumed = _continues(response, remote, partial, start)
            _append(response, remote, partial, start if resumed else 0, progress)
    except (requests.Timeout, HTTPError) as error:
        raise FailedAttempt(f"the connection was lost ({_cause(error)})", 0.0) from error
    except requests.exceptions.SSLError as error:
        raise FailedAttempt(f"its certificate is not valid ({_cause(error)})") from error
    except (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL) as error:
        raise FailedAttempt(
            f"the proxy gives no connection ({_cause(error)}); check the variable https_proxy"
        ) from error
    except requests.ConnectionError as error:
        # A server may close a connection just when it is used again.
        hung_up = isinstance(_root(error), ConnectionResetError)
        wait = 0.0 if start or hung_up else None
        raise FailedAttempt(f"it cannot be reached ({_cause(error)})", wait) from error
    except requests.RequestException as error:
        unsafe = isinstance(error, requests.exceptions.InvalidSchema)
        raise FailedAttempt(f"{error}{'; only https is allowed' if unsafe else ''}") from error


def _continues(response: Response, remote: Remote, partial: Path, start: int) -> bool:
    """Whether a response continues at `start` or begins again. Raises `FailedAttempt`."""
    status, headers = response.status_code, response.headers
    answer = f"it answered {status} {response.reason}"
    if status in RETRY_STATUS:
        wait = headers.get("Retry-After", "")
        raise FailedAttempt(answer, float(wait) if wait.isdecimal() else 0.0)
    if headers.get("Content-Type", "").startswith("text/html") and status < 400:
        raise FailedAttempt("it sent a web page instead of the file")
    span, _, total = headers.get("Content-Range", "").partition("/")
    if status == 416 or (status == 206 and not span.startswith(f"bytes {start}-")):
        partial.unlink(missing_ok=True)
        raise FailedAttempt("it has no such part of the file", 0.0)
    if status not in (200, 206):
        raise FailedAttempt(answer)
    length = headers.get("Content-Length", "") if status == 200 else total
    if length not in ("", "*", str(remote.size)):
        raise FailedAttempt(f"it announces {length} bytes, {remote.size} expected")
    return status == 206


def _append(
    response: Response, remote: Remote, partial: Path, done: int, progress: Progress
) -> None:
    response.raw.enforce_content_length = False  # a short answer is reported below
    with partial.open("ab" if done else "wb", buffering=0) as file:
        while chunk := response.raw.read1(CHUNK):
            done += len(chunk)
            if done > remote.size:
                raise FailedAttempt(f"it sent more than the {remote.size:,} bytes expected")
            view = memoryview(chunk)
            while view:  # an unbuffered file may write less than it gets
                view = view[file.write(view) :]
            progress.update(remote.name, done, remote.size)
    if done < remote.size:
        raise FailedAttempt(f"only {done:,} of {remote.size:,} bytes came", 0.0)


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _cause(error: BaseException) -> str:
    error = _root(error)
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def fault_of(path: Path, remote: Remote, progress: Progress) -> str:
    """How a file differs from the published one, or nothing. Raises `DataError`."""
    try:
        size = path.stat().st_size
        if not remote.gzipped and size != remote.size:
            return f"it has {size:,} bytes, {remote.size:,} expected"
        actual = digest_of_content(path, remote.digest, remote.gzipped, progress)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"its gzip stream is damaged: {error}"
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return "" if actual == remote.digest else f"it is another file ({actual})"


def digest_of_content(path: Path, like: str, gzipped: bool, progress: Progress) -> str:
    """Digest of a file, or of what is gzipped in it, by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    name, total = path.name.removeprefix(".").removesuffix(".partial"), path.stat().st_size
    with path.open("rb") as raw, gzip.open(raw) as unpacked:
        read = unpacked.read if gzipped else raw.read
        while chunk := read(2**20):
            digest.update(chunk)
            progress.update(f"checking {name}", raw.tell(), total)
    return f"{algorithm}:{digest.hexdigest()}"
