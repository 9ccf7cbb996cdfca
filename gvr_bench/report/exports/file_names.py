"""Names that people gave, as names of files that are safe everywhere."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence

_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows keeps
_LONGEST = 80


def file_names(words: Sequence[str], reserved: Collection[str] = ()) -> list[str]:
    """One name for each of `words`, in ASCII, without an ending, and never a path.

    No two are the same on any file system, and none is `reserved`. A name depends on its words
    and, where others would get the same, on a part of their hash; equal words are numbered.
    """
    bases = [_base(word) for word in words]
    met = Counter(base.casefold() for base in set(bases)) + Counter(
        name.casefold() for name in reserved
    )
    of_base: dict[str, set[str]] = {}
    for word, base in zip(words, bases, strict=True):
        of_base.setdefault(base, set()).add(word)
    taken: set[str] = set()
    found = []
    for word, base in zip(words, bases, strict=True):
        alone = base and met[base.casefold()] == 1 and len(of_base[base]) == 1
        name = base if alone else _hashed(word, base)
        found.append(_numbered(name, taken))
        taken.add(found[-1].casefold())
    return found


def _base(word: str) -> str:
    base = _UNSAFE.sub("-", word)[:_LONGEST].strip("-.")
    return f"_{base}" if _DEVICE.fullmatch(base) else base


def _hashed(word: str, base: str) -> str:
    mark = hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{base}-{mark}" if base else mark


def _numbered(name: str, taken: Collection[str]) -> str:
    number, found = 1, name
    while found.casefold() in taken:
        number += 1
        found = f"{name}-{number}"
    return found
