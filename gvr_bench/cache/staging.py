"""What processes have written of values that are not whole yet."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from gvr_bench.cache.integrity import ERROR, META, value_files

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@dataclass
class Draft:
    """What one process has written of a value: where, which files, and from which inputs."""

    folder: Path
    made_from: dict[str, str]
    names: set[str] = field(default_factory=set)


def writer() -> str:
    """Name whoever writes a draft: machine, process, and one of several in it."""
    return f"{HOST}-{os.getpid()}-{secrets.token_hex(4)}"


def sweep(folder: Path, key: str) -> None:
    """Remove drafts of a stage whose processes have ended; of other machines none is known."""
    for left in folder.glob(f"{key}-{HOST}-*"):
        if not alive(int(left.name.split("-")[2])):  # it may write without the lock
            shutil.rmtree(left, ignore_errors=True)


def move(draft: Path, place: Path, names: Collection[str]) -> None:
    """Put a whole value in the place of an old one. Raises `OSError`."""
    place.mkdir(parents=True, exist_ok=True)
    (place / META).unlink(missing_ok=True)  # first: a mixture is never whole
    for name in names:
        (draft / name).replace(place / name)
    for old in value_files(place):
        if old.name not in names:
            old.unlink(missing_ok=True)
    (draft / META).replace(place / META)
    (place / ERROR).unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
