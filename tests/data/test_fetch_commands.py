"""`datasets fetch` and `datasets verify`, as they are typed, with a small fake release."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from fetch_server import Server, serving
from gvr_datasets import mnist as mnist_module
from gvr_datasets.chestxray8 import dataset as chestxray8_module
from gvr_datasets.chestxray8.downloads import RELEASE
from PIL import Image
from typer.testing import CliRunner

import gvr_bench.api as gvr
from gvr_bench.cli.main import app

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
PATIENTS = range(1, 31)
TABLE = "Data_Entry_2017_v2020.csv"
NAMES = [f"{patient:08d}_000.png" for patient in PATIENTS]


@dataclass(frozen=True)
class Typed:
    code: int
    out: str
    err: str


@pytest.fixture
def typed() -> Callable[..., Typed]:
    def type_in(*arguments: object) -> Typed:
        words = ["datasets", *map(str, arguments)]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        return Typed(result.exit_code, result.stdout, result.stderr)

    return type_in


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as running:
        yield running


def picture(patient: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((16, 16), patient, np.uint8)).save(out, "PNG")
    return out.getvalue()


def archive(patients: range, *, evil: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as writer:
        for patient in patients:
            data = picture(patient)
            info = tarfile.TarInfo(evil or f"images/{patient:08d}_000.png")
            info.size = len(data)
            writer.addfile(info, io.BytesIO(data))
    return out.getvalue()


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture
def release(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[gvr.Remote]:
    """Thirty images in three archives, with table, lists and boxes."""
    rows = [f"{name},No Finding,0,{n},60,M,PA,16,16,1,1" for n, name in enumerate(NAMES)]
    remotes = [
        server.add(TABLE, text(HEADER, *rows), instead={"Data_Entry_2017.csv": ""}),
        server.add("BBox_List_2017.csv", text("Image Index,Finding Label,Bbox [x,y,w,h],,,")),
        server.add("train_val_list.txt", text(*NAMES[:20])),
        server.add("test_list.txt", text(*NAMES[20:])),
    ]
    for number, first in enumerate((1, 11, 21), start=1):
        holds = gvr.Archive(r"images/\d{8}_\d{3}\.png", 10, 20_000)
        data = archive(range(first, first + 10))
        remotes.append(server.add(f"images_{number:03d}.tar.gz", data, archive=holds))
    monkeypatch.setattr(chestxray8_module, "RELEASE", tuple(remotes))
    return remotes


def test_fetched_data_verifies_and_opens(typed, release, tmp_path) -> None:
    done = typed("fetch", "chestxray8", "--data-root", tmp_path)
    assert (done.code, len(list((tmp_path / "images").iterdir()))) == (0, 30)
    assert f"gvr-bench datasets verify chestxray8 --data-root {tmp_path}" in done.out
    verified = typed("verify", "chestxray8", "--data-root", tmp_path)
    assert (verified.code, len(verified.out.splitlines())) == (0, 1)
    assert "chestxray8: no faults" in verified.out
    assert typed("info", "chestxray8", "--data-root", tmp_path).code == 0


def test_typed_again_it_asks_for_nothing(typed, release, server, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path, "--remove-archives")
    server.requests.clear()
    assert typed("fetch", "chestxray8", "--data-root", tmp_path).code == 0
    assert server.requests == []
    assert not list(tmp_path.glob("*.tar.gz"))
    assert typed("verify", "chestxray8", "--data-root", tmp_path, "--decode", "all").code == 0


def test_dry_run_lists_file_states(typed, release, server, tmp_path) -> None:
    (tmp_path / "test_list.txt").write_bytes(server.files["/test_list.txt"])
    (tmp_path / ".train_val_list.txt.partial").write_bytes(bytes(release[2].size // 2))
    done = typed("fetch", "chestxray8", "--data-root", tmp_path, "--dry-run")
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "missing" in lines["images_003.tar.gz"]
    assert "127.0.0.1" in lines["images_003.tar.gz"]
    assert "have" in lines["test_list.txt"]
    assert "partial 50%" in lines["train_val_list.txt"]
    for part in ("to download", "to unpack", "space needed", "space free"):
        assert part in done.out
    assert server.requests == []
    assert not (tmp_path / ".fetch.lock").exists()


def test_refusal_comes_before_download(typed, release, server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gvr_bench.cli.datasets.CONFIRM_BYTES", 1_000)
    (tmp_path / "test_list.txt").write_text("mine")
    done = typed("fetch", "chestxray8", "--data-root", tmp_path, "--dry-run")
    assert done.code == 0
    assert "rename or remove it" in done.out.splitlines()[-1]
    assert "rename or remove it" in typed("fetch", "chestxray8", "--data-root", tmp_path).err
    assert server.requests == []


def test_existing_images_skip_archives(typed, release, server, tmp_path) -> None:
    (tmp_path / "images_001" / "images").mkdir(parents=True)
    for patient in PATIENTS:
        path = tmp_path / "images_001" / "images" / f"{patient:08d}_000.png"
        path.write_bytes(picture(patient))
    (tmp_path / "Data_Entry_2017.csv").write_bytes(server.files[f"/{TABLE}"])
    assert typed("fetch", "chestxray8", "--data-root", tmp_path).code == 0
    assert {path for path, _ in server.requests} == {
        "/BBox_List_2017.csv",
        "/train_val_list.txt",
        "/test_list.txt",
    }
    assert typed("verify", "chestxray8", "--data-root", tmp_path).code == 0


def test_hostile_archive_leaves_others(typed, release, server, tmp_path, monkeypatch) -> None:
    evil = archive(range(11, 12), evil="../../evil.png")
    remote = server.add("images_002.tar.gz", evil, archive=release[5].archive)
    monkeypatch.setattr(chestxray8_module, "RELEASE", (*release[:5], remote, *release[6:]))
    folder = tmp_path / "data"
    done = typed("fetch", "chestxray8", "--data-root", folder)
    assert done.code == 2
    assert "member '../../evil.png' is not among the names expected" in done.err
    assert len(list((folder / "images").iterdir())) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_large_download_needs_yes(typed, release, server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gvr_bench.cli.datasets.CONFIRM_BYTES", 1_000)
    done = typed("fetch", "chestxray8", "--data-root", tmp_path)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "--yes" in done.err
    assert server.requests == []
    assert typed("fetch", "chestxray8", "--data-root", tmp_path, "--yes").code == 0


def test_missing_folder_names_option(typed) -> None:
    for command in ("fetch", "verify"):
        done = typed(command, "chestxray8")
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "add --data-root DIR" in done.err


def test_fetch_without_files_is_explained(typed) -> None:
    done = typed("fetch", "phantom")
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert "phantom has no files to download" in done.out


def test_verify_without_files_reads_images(typed) -> None:
    done = typed("verify", "digits")
    assert done.code == 0
    assert "digits: no faults" in done.out


def damage(folder: Path) -> dict[str, str]:
    """Do a little of everything; return what should be said of which file."""
    (folder / "test_list.txt").write_bytes(b"\n" * (folder / "test_list.txt").stat().st_size)
    with (folder / "images_001.tar.gz").open("ab") as file:
        file.write(b"!")
    (folder / "BBox_List_2017.csv").unlink()
    (folder / "images" / NAMES[3]).unlink()
    size = (folder / "images" / NAMES[4]).stat().st_size
    (folder / "images" / NAMES[4]).write_bytes(b"#" * size)
    return {
        "test_list.txt": "it is another file",
        "images_001.tar.gz": "bytes,",
        "BBox_List_2017.csv": "missing",
        NAMES[3]: "missing, or not of the size it had in images_001.tar.gz",
        NAMES[4]: "PNG",
    }


def test_each_fault_is_a_line(typed, release, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path)
    expected = damage(tmp_path)
    done = typed("verify", "chestxray8", "--data-root", tmp_path)
    assert done.code == 1
    for name, why in expected.items():
        assert any(name in line and why in line for line in done.out.splitlines()), name
    assert f"1 of the 30 images named in {tmp_path / TABLE} are not on disk" in done.out
    count, hint = done.out.splitlines()[-2:]
    assert count == "chestxray8: 6 faults"
    assert f"gvr-bench datasets fetch chestxray8 --data-root {tmp_path}" in hint


def test_unreadable_images_are_named(typed, release, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path)
    path = tmp_path / "images" / NAMES[7]
    data = bytearray(path.read_bytes())
    data[45] ^= 0xFF
    path.write_bytes(bytes(data))
    done = typed("verify", "chestxray8", "--data-root", tmp_path)
    assert done.code == 1
    assert done.out.startswith(f"{NAMES[7]}: ")
    assert done.out.splitlines()[1] == "chestxray8: 1 fault"


def test_emptied_image_is_unpacked_again(typed, release, server, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path)
    path = tmp_path / "images" / NAMES[7]
    path.write_bytes(b"")
    server.requests.clear()
    assert typed("fetch", "chestxray8", "--data-root", tmp_path).code == 0
    assert path.read_bytes() == picture(8)
    assert server.requests == []  # the archive is still there


def test_long_fault_list_is_cut(typed, release, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path)
    for name in NAMES:
        (tmp_path / "images" / name).unlink()
    lines = typed("verify", "chestxray8", "--data-root", tmp_path).out.splitlines()
    assert len(lines) == 23
    assert lines[20:22] == ["... and 11 more", "chestxray8: 31 faults"]


def test_a_download_that_stopped_is_named(typed, release, tmp_path) -> None:
    typed("fetch", "chestxray8", "--data-root", tmp_path)
    (tmp_path / "test_list.txt").rename(tmp_path / ".test_list.txt.partial")
    done = typed("verify", "chestxray8", "--data-root", tmp_path)
    assert "170 of 170 bytes were downloaded" in done.out


def test_mnist_verifies_gzipped_or_plain(
    typed, tmp_path, write_mnist, mnist_files, monkeypatch
) -> None:
    known = {name: (1, hashlib.sha256(data).hexdigest()) for name, data in mnist_files.items()}
    monkeypatch.setattr(mnist_module, "_PACKED", known)
    for zipped in (True, False):
        folder = tmp_path / str(zipped) / "MNIST" / "raw"
        write_mnist(folder, zipped=zipped)
        assert typed("verify", "mnist", "--data-root", tmp_path / str(zipped)).code == 0
    labels = folder / "train-labels-idx1-ubyte"
    data = bytearray(labels.read_bytes())
    data[-1] = 1
    labels.write_bytes(bytes(data))
    done = typed("verify", "mnist", "--data-root", tmp_path / "False")
    assert done.out.startswith(f"{labels}: it is another file than the published one")


def test_verifying_downloads_nothing(typed, server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mnist_module, "_MIRRORS", (f"{server.address}/",))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    done = typed("verify", "mnist")
    assert (done.code, done.out.splitlines()[4]) == (1, "mnist: 4 faults")
    assert server.requests == []


def test_nih_release_table_is_consistent() -> None:
    archives = [remote.archive for remote in RELEASE if remote.archive]
    assert (len(archives), sum(archive.count for archive in archives)) == (12, 112_120)
    assert len({remote.digest for remote in RELEASE}) == len(RELEASE) == 16
    assert len({url for remote in RELEASE for url in remote.urls}) == 16
    assert all(url.startswith("https://") for remote in RELEASE for url in remote.urls)
    assert 45_000_000_000 < sum(remote.size for remote in RELEASE) < 45_200_000_000


def test_command_line_imports_no_requests() -> None:
    code = "import sys, gvr_bench.cli.main, gvr_bench.api; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
