"""All files of a data set: what is here, what is not, and getting the rest."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.filesize import decimal

from gvr_bench.cache.locks import locked
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.remote_files import (
    Archive,
    Remote,
    Silent,
    Watch,
    digest_of_content,
    fault_of,
    record,
)

if TYPE_CHECKING:
    from gvr_bench.data.download import Patience

LOCK = ".fetch.lock"


@dataclass(frozen=True)
class State:
    """How much of a file is here: `done` bytes of it.

    An archive that is `unpacked` need not be here itself. A file that is `different` has the name
    and another size.
    """

    remote: Remote
    kind: Literal["have", "unpacked", "partial", "missing", "different"]
    done: int = 0

    @property
    def to_download(self) -> int:
        """Bytes that are to come."""
        return self.remote.size - self.done if self.kind in ("partial", "missing") else 0

    @property
    def to_unpack(self) -> int:
        """Bytes that unpacking will take, about."""
        archive = self.remote.archive
        return archive.unpacked if archive and self.kind != "unpacked" else 0


def survey(remotes: Sequence[Remote], folder: Path, ready: bool = False) -> list[State]:
    """Say of each file how much of it is in the folder; no file is read.

    `ready`: what the archives hold is known to be there, where they were unpacked by other means.
    """
    try:
        return [_state(remote, folder, ready) for remote in remotes]
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror or error}") from error


def _state(remote: Remote, folder: Path, ready: bool) -> State:
    if remote.archive:
        wrong = not_unpacked(remote.name, remote.archive, folder)
        if wrong == [] or (wrong is None and ready):
            return State(remote, "unpacked", remote.size)
    path = folder / remote.name
    if path.is_file():
        same = remote.gzipped or path.stat().st_size == remote.size
        return State(remote, "have" if same else "different", remote.size)
    if any((folder / name).is_file() for name in remote.instead):
        return State(remote, "have", remote.size)
    partial = path.with_name(f".{path.name}.partial")
    done = min(partial.stat().st_size, remote.size) if partial.is_file() else 0
    return State(remote, "partial" if done else "missing", done)


def space_needed(states: Sequence[State], remove: bool) -> int:
    """Bytes that fetching will take on the disk at its worst moment.

    Archives are unpacked one after the other; with `remove` each is deleted before the next comes.
    """
    unpacking = sum(state.to_unpack for state in states)
    coming = [state.to_download for state in states if not state.remote.archive]
    archives = [state.to_download for state in states if state.remote.archive]
    return unpacking + sum(coming) + (max(archives, default=0) if remove else sum(archives))


def free_space(folder: Path) -> int:
    """Free bytes where a folder is, or will be. Raises `UsageError`."""
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        return shutil.disk_usage(nearest).free
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror or error}") from error


def fetch(
    remotes: Sequence[Remote],
    folder: Path,
    *,
    watch: Watch | None = None,
    patience: Patience | None = None,
    remove: bool = False,
    ready: bool = False,
) -> None:
    """Download what is missing in a folder, check it, and unpack archives there.

    What is there is never overwritten. Called again after a stop, it goes on from where it was;
    of two processes the second waits. `remove` deletes each archive when it is unpacked.
    Raises `DataError` or `UsageError`, in one line.
    """
    told = watch or Silent()
    states = survey(remotes, folder, ready)
    refuse(states, folder, remove)
    if not any(state.to_download or state.to_unpack for state in states):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = locked(folder / LOCK, lambda: told.say(f"another process fetches into {folder}"))
        with waiting:
            for state in survey(remotes, folder, ready):
                _fetch_one(state, folder, told, patience, remove)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from error


def refuse(states: Sequence[State], folder: Path, remove: bool) -> None:
    """Raise `DataError` where fetching would overwrite a file, or fill the disk."""
    for state in states:
        if state.kind == "different":
            path = folder / state.remote.name
            raise DataError(
                f"{path} has {path.stat().st_size:,} bytes, the published file "
                f"{state.remote.size:,}; it is not overwritten: rename or remove it, and type the "
                "same command again"
            )
    needed, least, free = (
        space_needed(states, remove),
        space_needed(states, remove=True),
        free_space(folder),
    )
    if needed > free:
        hint = f"add --remove-archives, which needs {decimal(least)}, or " if least < needed else ""
        raise DataError(
            f"{decimal(needed)} are needed in {folder}, and {decimal(free)} are free; {hint}make "
            "room, or choose another disk with --data-root DIR"
        )


def _fetch_one(
    state: State, folder: Path, watch: Watch, patience: Patience | None, remove: bool
) -> None:
    from gvr_bench.data.download import Patience, download

    remote, path = state.remote, folder / state.remote.name
    came = state.kind in ("partial", "missing")
    if came:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(remote, path, patience or Patience(), watch)
        if not remote.digest:
            digest = digest_of_content(path, "sha256:", remote.gzipped, watch)
            record(folder, remote.name, digest)
            watch.say(
                f"{remote.name}: no digest of it is published that we know; its {digest} is "
                "written down, and verify will compare with that"
            )
    if not remote.archive or state.kind == "unpacked":
        return
    if not came and (fault := fault_of(path, remote, watch)):
        raise DataError(f"{path} is not the published file: {fault}; remove it")
    _unpack(remote, remote.archive, folder, watch)
    if remove:
        path.unlink()


def _unpack(remote: Remote, archive: Archive, folder: Path, watch: Watch) -> None:
    from gvr_bench.data.unpack import unpack

    sizes = unpack(folder / remote.name, archive, folder, watch)
    marker = _marker(remote.name, folder)
    partial = marker.with_name(f"{marker.name}.partial")
    partial.write_text("".join(f"{size} {name}\n" for name, size in sizes.items()))
    partial.replace(marker)


def _marker(name: str, folder: Path) -> Path:
    """The list of what an archive held, written when all of it was unpacked."""
    return folder / f".{name}.unpacked"


def unpacked_files(name: str, holds: Archive, folder: Path) -> dict[str, int] | None:
    """Name and size in bytes of what an archive held; None where it was not unpacked here."""
    try:
        lines = _marker(name, folder).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {_marker(name, folder)}: {error}; remove it") from error
    sizes = {}
    for line in lines:
        size, _, member = line.partition(" ")
        if not size.isdecimal() or not re.fullmatch(holds.members, member, re.ASCII):
            raise DataError(f"{_marker(name, folder)} is no list of files; remove it")
        sizes[member] = int(size)
    return sizes


def not_unpacked(name: str, holds: Archive, folder: Path) -> list[str] | None:
    """What of an archive's files is missing or of another size; None where none was unpacked."""
    sizes = unpacked_files(name, holds, folder)
    if sizes is None:
        return None
    return [member for member, size in sizes.items() if _size(folder / member) != size]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
