"""Files that a data set can be downloaded from: where they are, and how to check them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Archive:
    """What a gzipped tar file holds: `count` files whose full names match the regex `members`.

    They take about `unpacked` bytes. An archive that unpacks to more than twice that, or has a file
    of more than `largest` bytes, a link or any other name, is refused.
    """

    members: str
    count: int
    unpacked: int
    largest: int = 2**26

    @property
    def max_bytes(self) -> int:
        """Bytes that its files may take in all."""
        return 2 * self.unpacked


@dataclass(frozen=True)
class Remote:
    """One file that can be downloaded: `name` in the folder, `urls` that have it, `size` in bytes.

    - `digest`: `sha256:...` or `md5:...`, in hexadecimal. For a file that is `gzipped`, the digest
      of its content, whoever compressed it.
    - `archive`: what it holds, if it is to be unpacked.
    - `instead`: names of files that serve as well, with their digest, or empty.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    digest: str
    gzipped: bool = False
    archive: Archive | None = None
    instead: Mapping[str, str] = field(default_factory=dict)
