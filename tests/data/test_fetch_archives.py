"""Data sets in archives: whole, stopped half-way, damaged, and hostile."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fetch_server import RecordedProgress, Server, drop, serving, status
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.data.fetch import space_needed, survey

NAMES = r"images/\d{8}_\d{3}\.png"


def png(shade: int = 99) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((16, 16), shade, np.uint8)).save(out, "PNG")
    return out.getvalue()


def packed(*members: tarfile.TarInfo | str) -> bytes:
    """An archive of small PNGs; members other than names are put in as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            data = png() if info.isreg() else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def folder_named(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as running:
        yield running


def archive(server: Server, name: str, data: bytes, count: int = 2, **facts: object) -> gvr.Remote:
    return server.add(name, data, archive=gvr.Archive(NAMES, count, 4_000), **facts)


def fault(remotes: list[gvr.Remote], folder: Path) -> str:
    with pytest.raises((gvr.DataError, gvr.UsageError)) as caught:
        gvr.fetch(remotes, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").glob("*"))


TWO = ("images/00000001_000.png", "images/00000001_001.png")


def test_archive_is_downloaded_and_unpacked(server, tmp_path) -> None:
    remote = archive(server, "one.tar.gz", packed(folder_named("images"), *TWO))
    gvr.fetch([remote], tmp_path)
    assert images(tmp_path) == ["00000001_000.png", "00000001_001.png"]
    assert (tmp_path / TWO[0]).read_bytes() == png()
    assert (tmp_path / "one.tar.gz").is_file()
    server.requests.clear()
    gvr.fetch([remote], tmp_path)
    assert server.requests == []


def test_archives_are_deleted_on_request(server, tmp_path) -> None:
    remote = archive(server, "one.tar.gz", packed(*TWO))
    gvr.fetch([remote], tmp_path, remove=True)
    assert not (tmp_path / "one.tar.gz").exists()
    assert survey([remote], tmp_path)[0].kind == "unpacked"
    gvr.fetch([remote], tmp_path)
    assert len(server.requests) == 1


def test_a_lost_image_is_unpacked_again(server, tmp_path) -> None:
    remote = archive(server, "one.tar.gz", packed(*TWO))
    gvr.fetch([remote], tmp_path)
    (tmp_path / TWO[1]).unlink()
    (tmp_path / TWO[0]).write_bytes(b"cut")
    gvr.fetch([remote], tmp_path)
    assert (tmp_path / TWO[0]).read_bytes() == (tmp_path / TWO[1]).read_bytes() == png()
    assert len(server.requests) == 1


def test_unpacking_goes_on_where_it_stopped(server, tmp_path) -> None:
    remote = archive(server, "one.tar.gz", packed(*TWO))

    class Impatient(RecordedProgress):
        def update(self, label: str, done: int, total: int) -> None:
            if label.startswith("unpacking"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gvr.fetch([remote], tmp_path, progress=Impatient())
    assert images(tmp_path) == ["00000001_000.png"]
    assert survey([remote], tmp_path)[0].kind == "have"
    before = (tmp_path / TWO[0]).stat().st_mtime_ns
    gvr.fetch([remote], tmp_path)
    assert images(tmp_path) == ["00000001_000.png", "00000001_001.png"]
    assert (tmp_path / TWO[0]).stat().st_mtime_ns == before


HOSTILE = {
    "up": ("images/../../00000001_000.png", "is not among the names expected"),
    "absolute": ("/tmp/00000001_000.png", "is not among the names expected"),
    "another name": ("images/evil.py", "is not among the names expected"),
    "a name with a line break": ("images/00000001_000.png\n", "is not among the names expected"),
    "a link": (link(TWO[1], "/etc/passwd"), "is no ordinary file"),
    "a hard link": (link(TWO[1], "../../x", tarfile.LNKTYPE), "is no ordinary file"),
    "a device": (link(TWO[1], "", tarfile.CHRTYPE), "is no ordinary file"),
    "a pipe": (link(TWO[1], "", tarfile.FIFOTYPE), "is no ordinary file"),
    "a folder above": (folder_named("../outside"), "holds 1 files"),
    "an absolute folder": (folder_named("/outside"), "holds 1 files"),
    "a name twice": (TWO[0], "is there twice"),
}


@pytest.mark.parametrize(("member", "why"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_member_is_refused(server, tmp_path, member, why) -> None:
    inside = tmp_path / "data"
    remote = archive(server, "bad.tar.gz", packed(TWO[0], member))
    message = fault([remote], inside)
    assert why in message
    assert str(inside / "bad.tar.gz") in message
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert images(inside) == ["00000001_000.png"]
    assert survey([remote], inside)[0].kind == "have"


def test_image_folder_link_is_refused(server, tmp_path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "images").symlink_to(outside)
    message = fault([archive(server, "one.tar.gz", packed(*TWO))], inside)
    assert "outside the destination" in message
    assert list(outside.iterdir()) == []


def huge(size: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as writer:
        info = tarfile.TarInfo(TWO[0])
        info.size = size
        writer.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


def test_oversized_member_is_refused(server, tmp_path) -> None:
    facts = gvr.Archive(NAMES, 1, 4_000, largest=1_000)
    remote = server.add("big.tar.gz", huge(1_001), archive=facts)
    assert "has 1,001 bytes, at most 1,000 expected" in fault([remote], tmp_path)


def test_archive_bomb_is_refused(server, tmp_path) -> None:
    remote = archive(server, "bomb.tar.gz", huge(4_000_000), count=1)
    assert "larger than the 8,000 bytes expected" in fault([remote], tmp_path)
    assert images(tmp_path) == []


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_images_is_refused(server, tmp_path, count) -> None:
    message = fault([archive(server, "one.tar.gz", packed(*TWO), count=count)], tmp_path)
    assert f"holds 2 files, {count} expected" in message


def test_existing_archive_is_checked_first(server, tmp_path) -> None:
    remote = archive(server, "one.tar.gz", packed(*TWO))
    (tmp_path / "one.tar.gz").write_bytes(bytes(remote.size))
    assert "it is another file" in fault([remote], tmp_path)
    assert not (tmp_path / "images").exists()


def test_what_is_there_is_never_overwritten(server, tmp_path) -> None:
    remote = server.add("table.csv", b"a,b\n1,2\n")
    (tmp_path / "table.csv").write_text("mine")
    message = fault([remote], tmp_path)
    assert "4 bytes" in message
    assert "rename or remove it" in message
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_alternative_file_is_enough(server, tmp_path) -> None:
    remote = server.add("table.csv", b"a,b\n", instead={"older.csv": ""})
    (tmp_path / "older.csv").write_text("a\n")
    gvr.fetch([remote], tmp_path)
    assert server.requests == []


def test_low_space_stops_before_download(server, tmp_path, monkeypatch) -> None:
    remote = archive(server, "one.tar.gz", packed(*TWO))
    little = shutil._ntuple_diskusage(10**6, 10**6, 1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: little)
    message = fault([remote], tmp_path)
    assert str(tmp_path) in message
    assert "1.0 kB are free; make room" in message
    assert server.requests == []


def test_low_space_suggests_removing_archives(server, tmp_path, monkeypatch) -> None:
    remotes = [archive(server, f"{name}.tar.gz", packed(*TWO)) for name in ("one", "two")]
    little = shutil._ntuple_diskusage(10**6, 10**6, 1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: little)
    assert "add --remove-archives, which needs 8.2 kB, or make room" in fault(remotes, tmp_path)


def test_deleting_archives_needs_less_space(server, tmp_path) -> None:
    remotes = [archive(server, f"{name}.tar.gz", packed(*TWO)) for name in ("one", "two")]
    table = server.add("table.csv", bytes(50))
    states = survey([table, *remotes], tmp_path)
    size = remotes[0].size
    assert space_needed(states, remove=False) == 50 + 2 * size + 8_000
    assert space_needed(states, remove=True) == 50 + size + 8_000


def test_files_before_error_remain(server, tmp_path) -> None:
    first, second = (archive(server, f"{n}.tar.gz", packed(*TWO)) for n in ("one", "two"))
    server.misdeeds["/two.tar.gz"] = [drop(100), status(404)]
    assert "it answered 404" in fault([first, second], tmp_path)
    kinds = [(state.kind, state.done) for state in survey([first, second], tmp_path)]
    assert kinds == [("unpacked", first.size), ("partial", 100)]
