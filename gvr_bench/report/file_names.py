"""Names from users as file names that are safe everywhere, and as text that can be drawn."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence

from gvr_bench.report.formatting import clean

_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # reserved by Windows
_MAX_LENGTH = 80
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """One line without characters that XML forbids or that turn the text around them."""
    return _NOT_XML.sub("", clean(text))


def slug(words: str) -> str:
    """Words as a file name: lower-case ASCII letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "figure"


def file_names(names: Sequence[str], reserved: Collection[str] = ()) -> list[str]:
    """An ASCII file name without an ending for each of `names`, never a path.

    No two are equal on any file system, and none is `reserved`. A name that would clash with
    another gets a part of its hash; equal names are numbered.
    """
    bases = [_base(name) for name in names]
    owners: dict[str, set[str]] = {}
    for name, base in zip(names, bases, strict=True):
        owners.setdefault(base.casefold(), set()).add(name)
    blocked = {"", *(name.casefold() for name in reserved)}
    blocked |= {base for base, group in owners.items() if len(group) > 1}
    taken: set[str] = set()
    files = []
    for name, base in zip(names, bases, strict=True):
        file = _hashed(name, base) if base.casefold() in blocked else base
        files.append(_numbered(file, taken))
        taken.add(files[-1].casefold())
    return files


def _base(name: str) -> str:
    base = _UNSAFE.sub("-", name)[:_MAX_LENGTH].strip("-.")
    return f"_{base}" if _DEVICE.fullmatch(base) else base


def _hashed(name: str, base: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{base}-{digest}" if base else digest


def _numbered(name: str, taken: Collection[str]) -> str:
    number, numbered = 1, name
    while numbered.casefold() in taken:
        number += 1
        numbered = f"{name}-{number}"
    return numbered
