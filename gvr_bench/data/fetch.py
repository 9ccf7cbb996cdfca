"""All files of a data set: what is in its folder, downloading the rest, unpacking archives."""

from __future__ import annotations

import re
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gvr_bench.cache.locks import locked
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.remote_files import Archive, Remote
from gvr_bench.data.download import NoProgress, Progress, download, fault_of, partial_path

LOCK = ".fetch.lock"
MAX_FOLDERS = 100  # members of an archive that are no files


@dataclass(frozen=True)
class FileState:
    """How much of a file is in the folder: `done` bytes of it.

    An archive that is `unpacked` need not be there itself. A file that is `different` has the name
    and another size.
    """

    remote: Remote
    kind: Literal["have", "unpacked", "partial", "missing", "different"]
    done: int = 0

    @property
    def to_download(self) -> int:
        return self.remote.size - self.done if self.kind in ("partial", "missing") else 0

    @property
    def to_unpack(self) -> int:
        archive = self.remote.archive
        return archive.unpacked if archive and self.kind != "unpacked" else 0


def survey(remotes: Sequence[Remote], folder: Path, complete: bool = False) -> list[FileState]:
    """How much of each file is in the folder, by names and sizes alone. Raises `DataError`.

    `complete`: all that the archives hold is known to be there, even if unpacked by other means.
    """
    try:
        return [_state(remote, folder, complete) for remote in remotes]
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror or error}") from error


def _state(remote: Remote, folder: Path, complete: bool) -> FileState:
    if remote.archive:
        damaged = damaged_members(remote.name, remote.archive, folder)
        if damaged == [] or (damaged is None and complete):
            return FileState(remote, "unpacked", remote.size)
    path = folder / remote.name
    if path.is_file():
        same = remote.gzipped or path.stat().st_size == remote.size
        return FileState(remote, "have" if same else "different", remote.size)
    if any((folder / name).is_file() for name in remote.instead):
        return FileState(remote, "have", remote.size)
    partial = partial_path(path)
    done = min(partial.stat().st_size, remote.size) if partial.is_file() else 0
    return FileState(remote, "partial" if done else "missing", done)


def space_needed(states: Sequence[FileState], remove: bool) -> int:
    """Bytes that fetching takes on the disk at most.

    Archives are unpacked one after the other; with `remove` each is deleted before the next comes.
    """
    unpacked = sum(state.to_unpack for state in states)
    files = sum(state.to_download for state in states if not state.remote.archive)
    archives = [state.to_download for state in states if state.remote.archive]
    return unpacked + files + (max(archives, default=0) if remove else sum(archives))


def free_space(folder: Path) -> int:
    """Free bytes where a folder is, or will be. Raises `UsageError`."""
    try:
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        return shutil.disk_usage(existing).free
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror or error}") from error


def fetch(
    remotes: Sequence[Remote],
    folder: Path,
    *,
    progress: Progress | None = None,
    remove: bool = False,
    complete: bool = False,
) -> None:
    """Download what is missing in a folder, check it, and unpack archives there.

    Existing files are never overwritten. Called again after a stop, it continues; a second process
    waits for the first. `remove` deletes each archive once it is unpacked. Raises `DataError` or
    `UsageError`, in one line.
    """
    progress = progress or NoProgress()
    states = survey(remotes, folder, complete)
    check_states(states, folder, remove)
    if not any(state.to_download or state.to_unpack for state in states):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        busy = f"waiting for another process that fetches into {folder}"
        with locked(folder / LOCK, lambda: progress.log(busy)):
            for state in survey(remotes, folder, complete):
                _fetch_one(state, folder, progress, remove)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from error


def check_states(states: Sequence[FileState], folder: Path, remove: bool) -> None:
    """Raise `DataError` where fetching would overwrite a file or fill the disk."""
    from rich.filesize import decimal

    for state in states:
        if state.kind == "different":
            path = folder / state.remote.name
            raise DataError(
                f"{path} has {path.stat().st_size:,} bytes, the published file "
                f"{state.remote.size:,}; it is not overwritten: rename or remove it, then repeat "
                "the command"
            )
    needed, least = space_needed(states, remove), space_needed(states, remove=True)
    if needed > (free := free_space(folder)):
        hint = f"add --remove-archives, which needs {decimal(least)}, or " if least < needed else ""
        raise DataError(
            f"{folder} needs {decimal(needed)}, and {decimal(free)} are free; {hint}make room, or "
            "choose another disk with --data-root DIR"
        )


def _fetch_one(state: FileState, folder: Path, progress: Progress, remove: bool) -> None:
    remote, path = state.remote, folder / state.remote.name
    if state.to_download:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(remote, path, progress)
    if not remote.archive or state.kind == "unpacked":
        return
    if not state.to_download and (fault := fault_of(path, remote, progress)):
        raise DataError(f"{path} is not the published file: {fault}; remove it")
    sizes = unpack(path, remote.archive, folder, progress)
    marker = _marker(remote.name, folder)
    partial = marker.with_name(f"{marker.name}.partial")
    partial.write_text("".join(f"{size} {name}\n" for name, size in sizes.items()))
    partial.replace(marker)
    if remove:
        path.unlink()


def unpack(path: Path, archive: Archive, folder: Path, progress: Progress) -> dict[str, int]:
    """Unpack a gzipped tar file into a folder; return name and size in bytes of its files.

    Files that are there with the right size are left alone. Raises `DataError`.
    """
    again = "remove it, and the same command downloads it again"
    try:
        sizes = _extract(path, archive, folder, progress)
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot unpack {path}: {reason}; make room, or {again}") from error
    if len(sizes) != archive.count:
        raise DataError(f"{path} holds {len(sizes):,} files, {archive.count:,} expected; {again}")
    return sizes


def _extract(path: Path, archive: Archive, folder: Path, progress: Progress) -> dict[str, int]:
    total = path.stat().st_size
    sizes: dict[str, int] = {}
    unpacked = 0
    with path.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:gz") as tar:
        for number, member in enumerate(tar):
            if member.isdir() and number < archive.count + MAX_FOLDERS:
                continue
            unpacked += member.size
            reason = "is there twice" if member.name in sizes else _refusal(member, archive)
            if unpacked > archive.max_bytes:
                reason = f"makes it larger than the {archive.max_bytes:,} bytes expected"
            if reason:
                raise DataError(f"{path} is refused: its member {member.name[:200]!r} {reason}")
            target = folder / member.name
            if not (target.is_file() and target.stat().st_size == member.size):
                tar.extract(member, folder, set_attrs=False, filter="data")
            sizes[member.name] = member.size
            progress.update(f"unpacking {path.name}", packed.tell(), total)
    return sizes


def _refusal(member: tarfile.TarInfo, archive: Archive) -> str:
    if not member.isreg() or member.issparse():
        return "is no ordinary file"
    if not re.fullmatch(archive.members, member.name, re.ASCII):
        return "is not among the names expected"
    if member.size > archive.largest:
        return f"has {member.size:,} bytes, at most {archive.largest:,} expected"
    return ""


def _marker(name: str, folder: Path) -> Path:
    """The list of what an archive held, written once all of it is unpacked."""
    return folder / f".{name}.unpacked"


def unpacked_files(name: str, archive: Archive, folder: Path) -> dict[str, int] | None:
    """Name and size in bytes of what an archive held; None if it was not unpacked here."""
    marker = _marker(name, folder)
    try:
        lines = [line.partition(" ") for line in marker.read_text("utf-8").splitlines()]
        sizes = {member: int(size) for size, _, member in lines}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {marker}: {error}; remove it") from error
    if not all(re.fullmatch(archive.members, member, re.ASCII) for member in sizes):
        raise DataError(f"{marker} lists files that {name} does not hold; remove it")
    return sizes


def damaged_members(name: str, archive: Archive, folder: Path) -> list[str] | None:
    """Files of an archive that are missing or of another size; None if none was unpacked."""
    sizes = unpacked_files(name, archive, folder)
    if sizes is None:
        return None
    paths = {member: folder / member for member in sizes}
    return [
        member
        for member, path in paths.items()
        if not path.is_file() or path.stat().st_size != sizes[member]
    ]
