"""Files out of an archive that may be hostile: only those that were announced, only inside.

Nothing of an archive is used but names that match, and the bytes of regular files: no links, no
modes, no owners, no times. Each file is put in place whole, so that a stop leaves none cut short.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import IO

from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Archive, Watch
from gvr_bench.data.download import opened, writing

CHUNK = 2**20  # bytes
MOST_AT_ONCE = 2**22  # bytes of one header, which is read into memory whole
FOLDERS = 100  # members of an archive, at most, that are no files


class Bounded:
    """A stream that ends with an error when more is read from it than was announced."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self.stream = stream
        self.most = most

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes. Raises `tarfile.ReadError` where that is too much."""
        if size < 0 or size > MOST_AT_ONCE or self.stream.tell() > self.most:
            raise tarfile.ReadError("it holds more than was announced")
        return self.stream.read(size)

    def seek(self, offset: int) -> int:
        """Go to a byte. Raises `tarfile.ReadError` where that is too far."""
        if offset > self.most:
            raise tarfile.ReadError("it holds more than was announced")
        return self.stream.seek(offset)

    def tell(self) -> int:
        """Return the byte that is read next."""
        return self.stream.tell()


def unpack(path: Path, holds: Archive, folder: Path, watch: Watch) -> dict[str, int]:
    """Unpack a gzipped tar file into a folder; return name and size in bytes of each file in it.

    Files that are there with the right size are left alone. Raises `DataError` that names the
    archive, and the member where one is refused.
    """
    try:
        with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
            sizes = _unpack(packed, stream, path, holds, folder, watch)
            while stream.read(CHUNK):  # to its end, where the checksum is
                if stream.tell() > holds.most:
                    raise tarfile.ReadError("it holds more than was announced")
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, RecursionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be unpacked: {said}; remove it, and the same command downloads it again"
        ) from error
    if len(sizes) != holds.count:
        raise DataError(
            f"{path} holds {len(sizes):,} files, {holds.count:,} expected; remove it, and the "
            "same command downloads it again"
        )
    return sizes


def _unpack(
    packed: IO[bytes], stream: gzip.GzipFile, path: Path, holds: Archive, folder: Path, watch: Watch
) -> dict[str, int]:
    total = path.stat().st_size
    sizes: dict[str, int] = {}
    parents: set[Path] = set()
    bounded = Bounded(stream, holds.most)
    with tarfile.open(fileobj=bounded, mode="r:") as archive:  # type: ignore[call-overload]
        for number, member in enumerate(archive):
            if number > holds.count + FOLDERS:
                raise tarfile.ReadError(f"it holds more than {holds.count:,} files")
            if _is_folder(member):
                continue
            _check(member, holds, sizes, path)
            target = folder / member.name
            if target.parent not in parents:
                _make_inside(target.parent, folder)
                parents.add(target.parent)
            if not _is_there(target, member.size):
                _copy(archive.extractfile(member), target)
            sizes[member.name] = member.size
            watch.show(f"unpacking {path.name}", packed.tell(), total)
    return sizes


def _is_folder(member: tarfile.TarInfo) -> bool:
    return member.isdir() and ".." not in member.name.split("/") and member.name[:1] != "/"


def _check(member: tarfile.TarInfo, holds: Archive, sizes: dict[str, int], path: Path) -> None:
    """Raise `DataError` for a member that is not what was announced."""
    reason = ""
    if not member.isreg() or member.issparse():
        reason = "is no ordinary file"
    elif not re.fullmatch(holds.members, member.name, re.ASCII):
        reason = "is not among the names expected"
    elif member.size > holds.largest:
        reason = f"has {member.size:,} bytes, at most {holds.largest:,} expected"
    elif member.name in sizes:
        reason = "is there twice"
    if reason:
        raise DataError(
            f"{path} is refused, for its member {member.name[:200]!r} {reason}; nothing was "
            f"written outside of the folder. Get the archive from its publisher"
        )


def _make_inside(parent: Path, folder: Path) -> None:
    """Make a folder inside another, links followed. Raises `DataError` where it leads out."""
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
    if not Path(os.path.realpath(parent)).is_relative_to(os.path.realpath(folder)):
        raise DataError(
            f"{parent} is a link out of {folder}; put the folder itself there, or give the folder "
            "that holds everything with --data-root DIR"
        )


def _is_there(target: Path, size: int) -> bool:
    return not target.is_symlink() and target.is_file() and target.stat().st_size == size


def _copy(source: IO[bytes] | None, target: Path) -> None:
    """Write a file under another name, then give it its own."""
    assert source is not None
    partial = target.with_name(f".{target.name}.partial")
    try:
        with opened(partial) as file:
            while chunk := source.read(CHUNK):
                with writing(target):
                    file.write(chunk)
                    file.flush()
        with writing(target):
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
