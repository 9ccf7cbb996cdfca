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
BACKOFF, MAX_BACKOFF = (
    1.0,
    60.0,
)  # seconds between attempts: the first, which doubles up to the last
RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
SCHEMES = ("https://",)  # redirects included


class Progress(Protocol):
    """Receives how far a file is."""

    def update(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are done."""

    def log(self, text: str) -> None:
        """Print a line."""


class NoProgress:
    """Shows nothing."""

    def update(self, label: str, done: int, total: int) -> None:
        """Show nothing."""

    def log(self, text: str) -> None:
        """Print nothing."""


class MirrorError(Exception):
    """A mirror does not have the file, and another attempt would not help."""


class InterruptedDownloadError(Exception):
    """The rest may come with another attempt, after at least `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def partial_path(path: Path) -> Path:
    """Return where a file lies while it is incomplete."""
    return path.with_name(f".{path.name}.partial")


def download(remote: Remote, path: Path, progress: Progress) -> None:
    """Download a file to `path` from the first mirror that has it.

    Raises `DataError` with the fault of each mirror, or with what cannot be written.
    """
    reasons = []
    for url in remote.urls:
        try:
            _download_checked(url, remote, path, progress)
            return
        except MirrorError as error:
            reasons.append(f"{urlsplit(url).hostname}: {error}")
        except OSError as error:
            raise DataError(
                f"cannot write {path}: {error.strerror or error}; what was downloaded stays, and "
                "the same command continues from there"
            ) from error
    reason = " ".join("; ".join(reasons).split()) or "it has no address"
    raise DataError(f"cannot download {remote.name}: {reason}")


def _download_checked(url: str, remote: Remote, path: Path, progress: Progress) -> None:
    partial = partial_path(path)
    resumed = partial.is_file()
    with _open_session() as session:
        _download_all(session, url, remote, partial, progress)
        fault = fault_of(partial, remote, progress)
        if fault and resumed:  # its parts may be of two versions
            partial.unlink()
            progress.log(f"{remote.name}: {fault}; starting again")
            _download_all(session, url, remote, partial, progress)
            fault = fault_of(partial, remote, progress)
    if fault:
        partial.unlink()
        raise MirrorError(fault)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


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
    """Send requests until the partial file has its full size. Raises `MirrorError`."""
    failures = 0
    while (size := _size(partial)) != remote.size:
        try:
            _request(session, url, remote, partial, progress)
        except InterruptedDownloadError as error:
            failures = 1 if _size(partial) > size else failures + 1
            if failures >= MAX_FAILURES:
                raise MirrorError(f"{error}; gave up after {failures} attempts") from error
            wait = min(max(BACKOFF * 2 ** (failures - 1), error.wait), MAX_BACKOFF)
            progress.log(f"{remote.name}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _request(session: Session, url: str, remote: Remote, partial: Path, progress: Progress) -> None:
    """Ask once for the missing bytes. Raises `MirrorError` or `InterruptedDownloadError`."""
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
        raise InterruptedDownloadError(f"the connection was lost ({_cause(error)})") from error
    except requests.exceptions.SSLError as error:
        raise MirrorError(f"its certificate is not valid ({_cause(error)})") from error
    except (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL) as error:
        raise MirrorError(
            f"the proxy gives no connection ({_cause(error)}); check the variable https_proxy"
        ) from error
    except requests.ConnectionError as error:
        if start:
            raise InterruptedDownloadError(f"it cannot be reached ({_cause(error)})") from error
        raise MirrorError(f"it cannot be reached ({_cause(error)})") from error
    except requests.exceptions.InvalidSchema as error:
        raise MirrorError(f"{error}; only https is allowed") from error
    except requests.RequestException as error:
        raise MirrorError(str(error)) from error


def _continues(response: Response, remote: Remote, partial: Path, start: int) -> bool:
    """Check the head of a response, and whether it continues at `start` or begins again.

    Raises `MirrorError` or `InterruptedDownloadError`.
    """
    status, headers = response.status_code, response.headers
    answer = f"it answered {status} {response.reason}"
    if status in RETRY_STATUS:
        wait = headers.get("Retry-After", "")
        raise InterruptedDownloadError(answer, float(wait) if wait.isdecimal() else 0.0)
    if headers.get("Content-Type", "").startswith("text/html") and status < 400:
        raise MirrorError("it sent a web page instead of the file")
    span, _, total = headers.get("Content-Range", "").partition("/")
    if status == 416 or (status == 206 and not span.startswith(f"bytes {start}-")):
        partial.unlink(missing_ok=True)
        raise InterruptedDownloadError("it has no such part of the file")
    if status not in (200, 206):
        raise MirrorError(answer)
    length = headers.get("Content-Length", "") if status == 200 else total
    if length not in ("", "*", str(remote.size)):
        raise MirrorError(f"it announces {length} bytes, {remote.size} expected")
    return status == 206


def _append(
    response: Response, remote: Remote, partial: Path, start: int, progress: Progress
) -> None:
    done = start
    response.raw.enforce_content_length = False  # a short answer is reported below
    with partial.open("ab" if start else "wb", buffering=0) as file:
        while chunk := response.raw.read1(CHUNK):
            done += len(chunk)
            if done > remote.size:
                raise MirrorError(f"it sent more than the {remote.size:,} bytes expected")
            view = memoryview(chunk)
            while view:  # an unbuffered file may write less than it gets
                view = view[file.write(view) :]
            progress.update(remote.name, done, remote.size)
    if done < remote.size:
        raise InterruptedDownloadError(f"only {done:,} of {remote.size:,} bytes came")


def _cause(error: BaseException) -> str:
    """What lies at the bottom of an error of requests."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
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
