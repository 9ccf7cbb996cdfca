"""Files that a data set can be downloaded from: where they are, and how to know them again."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gvr_bench.core.errors import DataError

DIGESTS = "digests.json"  # of files whose publisher gives none, as they were first downloaded


@dataclass(frozen=True)
class Archive:
    """What a gzipped tar file holds: `count` files, whose whole names match the pattern `members`.

    They take about `unpacked` bytes; an archive with more than `most`, with a file of more than
    `largest`, with links, or with any other name is refused.
    """

    members: str
    count: int
    unpacked: int
    largest: int = 2**26

    @property
    def most(self) -> int:
        """Bytes that it may hold, with its headers."""
        return 2 * self.unpacked + 2**20


@dataclass(frozen=True)
class Remote:
    """One file that can be downloaded: `name` in the folder, `urls` that have it, `size` in bytes.

    - `digest`: `sha256:...` or `md5:...`, in hexadecimal; empty where no one publishes it. Where
      the file is `gzipped` it is that of what is in it, whoever packed it.
    - `archive`: what it holds, where it is to be unpacked.
    - `instead`: names of files that serve as well, with their digest, or empty.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    digest: str = ""
    gzipped: bool = False
    archive: Archive | None = None
    instead: Mapping[str, str] = field(default_factory=dict)


class Watch(Protocol):
    """Who is told how far a file is."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are done."""

    def say(self, text: str) -> None:
        """Say in a line what the user should know."""


class Silent:
    """Tells nobody."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""


def fault_of(path: Path, remote: Remote, watch: Watch) -> str:
    """Say why a file is not the one that was published, or nothing. Raises `DataError`."""
    try:
        size = path.stat().st_size
        if not remote.gzipped and size != remote.size:
            return f"it has {size:,} bytes, {remote.size:,} expected"
        if remote.digest:
            actual = digest_of_content(path, remote.digest, remote.gzipped, watch)
            return "" if actual == remote.digest else f"it is another file ({actual})"
        if path.name.removesuffix(".partial").endswith((".gz", ".tgz")):
            digest_of_content(path, "sha256:", True, watch)  # reads all, and checks its CRC
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"its gzip stream is damaged: {error}"
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return ""


def digest_of_content(path: Path, like: str, gzipped: bool, watch: Watch) -> str:
    """Digest of a file, or of what is gzipped in it, by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    name, total = path.name.lstrip(".").removesuffix(".partial"), path.stat().st_size
    with path.open("rb") as raw, gzip.open(raw) as unpacked:
        read = unpacked.read if gzipped else raw.read
        while chunk := read(2**20):
            digest.update(chunk)
            watch.show(f"checking {name}", raw.tell(), total)
    return f"{algorithm}:{digest.hexdigest()}"


def recorded(folder: Path) -> dict[str, str]:
    """Digests written down when files without a published one came. Raises `DataError`."""
    path = folder / DIGESTS
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; remove it") from error
    if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
        raise DataError(f"{path} is not a table of digests; remove it")
    return table


def record(folder: Path, name: str, digest: str) -> None:
    """Write down the digest of a file whose publisher gives none."""
    path = folder / DIGESTS
    partial = path.with_name(f".{DIGESTS}.partial")
    partial.write_text(json.dumps({**recorded(folder), name: digest}, indent=1), encoding="utf-8")
    partial.replace(path)
