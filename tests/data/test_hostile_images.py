"""Files that are no picture of a patient, or not one that can be trusted: read, or named."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.radiographs import Radiographs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.core.types import ImageSpec
from gvr_bench.data.image_io import read_extent, read_picture, read_pictures

GREY = np.random.default_rng(3).integers(0, 256, (24, 24), np.uint8)
FUZZ = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fault(path: Path) -> str:
    """The one line that a user reads."""
    with pytest.raises(gvr.DataError) as caught:
        read_picture(path, 1)
    line = str(caught.value)
    assert line.startswith(f"cannot read the image {path}: ")
    assert line.endswith("; replace the file")
    assert line.isprintable()
    assert str(path) not in caught.value.unreadable[0]  # it is kept in the cache
    return line


def outcome(path: Path) -> str:
    """What a user reads, or how large the picture is."""
    try:
        return str(read_picture(path, 1)[0].shape)
    except gvr.DataError as error:
        return str(error)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    """A grey PNG that says what it likes about itself."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", data) + end


# Bombs


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("edge", [8193, 10_000, 40_000, 2**31 - 1])
def test_huge_picture_header_is_refused(tmp_path: Path, edge: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(edge, edge, zlib.compress(bytes(1000))))
    assert "pixels" in fault(path)
    with pytest.raises(gvr.DataError):
        read_extent(path)


def test_png_text_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    text = b"Comment\0\0" + zlib.compress(bytes(80_000_000))
    path.write_bytes(png(2, 2, zlib.compress(bytes(6)), chunk(b"zTXt", text)))
    fault(path)


def test_excess_pixels_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(png(2, 2, zlib.compress(bytes(50_000_000))))
    assert read_picture(path, 1)[0].shape == (2, 2)


# Files that are something else


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF"])
def test_unknown_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(content)
    fault(path)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "EPS", "PDF", "WEBP", "ICO", "PPM"])
def test_disguised_format_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scan.png"
    Image.fromarray(GREY).save(path, format=kind)
    assert "PNG, JPEG, TIFF or DICOM" in fault(path)


def test_animation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert "animated" in fault(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "Is a directory" in fault(tmp_path)
    assert "No such file" in fault(tmp_path / "gone.png")


def test_forbidden_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    Image.fromarray(GREY).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in fault(path)


# Files that are read


@pytest.mark.parametrize(("called", "kind"), [("a.jpg", "PNG"), ("a.png", "JPEG"), ("a", "PNG")])
def test_the_content_decides_not_the_name(tmp_path: Path, called: str, kind: str) -> None:
    Image.fromarray(GREY).save(tmp_path / called, format=kind, quality=100)
    actual = read_picture(tmp_path / called, 1)[0].astype(int)
    assert np.abs(actual - GREY).max() <= (0 if kind == "PNG" else 12)


MODES: dict[str, Callable[[], Image.Image]] = {
    "1": lambda: Image.fromarray(GREY > 127),
    "LA": lambda: Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (24, 24), 255)]),
    "P": lambda: Image.fromarray(GREY).convert("RGB").quantize(256),
    "I;16": lambda: Image.fromarray(GREY.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("mode", MODES)
def test_png_modes_show_same_picture(tmp_path: Path, mode: str) -> None:
    MODES[mode]().save(tmp_path / "a.png")
    expected = np.where(GREY > 127, 255, 0) if mode == "1" else GREY
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1)[0], expected)


def test_cmyk_jpeg_keeps_brightness(tmp_path: Path) -> None:
    ink = Image.merge("CMYK", [Image.new("L", (24, 24))] * 3 + [Image.fromarray(255 - GREY)])
    ink.save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_picture(tmp_path / "a.jpg", 1)[0].astype(int) - GREY).max() <= 12


def test_sixteen_bits_keep_all_levels(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    expected = np.clip((ramp.astype(np.int64) + 128) // 257, 0, 255)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1)[0], expected)


# What is told of several


def test_all_unreadable_files_are_listed(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.png" for n in range(6)]
    for n, path in enumerate(files):
        Image.fromarray(GREY).save(path)
        if n in (1, 4):
            path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(gvr.DataError, match=r"cannot read the image .*1\.png") as caught:
        read_pictures(files, ImageSpec(1, 8))
    assert sorted(caught.value.unreadable) == [1, 4]


# Anything at all


@FUZZ
@given(data=st.data())
def test_fuzzed_picture_reads_or_fails(tmp_path: Path, data) -> None:
    path = tmp_path / "fuzzed.png"
    Image.fromarray(GREY).save(path, format=data.draw(st.sampled_from(["PNG", "JPEG"])))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert outcome(path).isprintable()


# Links


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of six radiographs, and a secret beside it."""
    root = tmp_path / "own"
    (root / "images").mkdir(parents=True)
    rows = [f"images/{n}.png,p{n},{20 * n}" for n in range(1, 7)]
    (root / "table.csv").write_text("\n".join(["file,patient,bnp", *rows]))
    for n in range(1, 7):
        Image.fromarray(GREY).save(root / f"images/{n}.png")
    (tmp_path / "secret").mkdir()
    for n in range(1, 7):
        Image.fromarray(GREY).save(tmp_path / f"secret/{n}.png")
    (tmp_path / "secret/table.csv").write_text((root / "table.csv").read_text())
    return root


def replace_by_link(path: Path, target: Path) -> None:
    path.rename(path.with_name(f"old-{path.name}"))
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["images/3.png", "images", "table.csv"])
def test_outward_link_is_refused(own: Path, name: str) -> None:
    replace_by_link(
        own / name, own.parent / "secret" / ("" if name == "images" else Path(name).name)
    )
    with pytest.raises(gvr.DataError, match=r"is a link out of .*own, to .*secret.*--data-root"):
        Radiographs(Radiographs.Settings(), own).fingerprint()


def test_inner_link_is_followed(own: Path) -> None:
    replace_by_link(own / "images/3.png", own / "images/4.png")
    assert Radiographs(Radiographs.Settings(), own).fingerprint()


def test_folder_may_be_a_link(own: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(own)
    plain, linked = (
        Radiographs(Radiographs.Settings(), root) for root in (own, tmp_path / "shortcut")
    )
    assert plain.fingerprint() == linked.fingerprint()


@pytest.mark.parametrize("name", ["images/3.png", "images", "table.csv"])
def test_link_loop_ends_in_line(own: Path, name: str) -> None:
    replace_by_link(own / name, own / name)
    with pytest.raises(gvr.DataError) as caught:
        Radiographs(Radiographs.Settings(), own).fingerprint()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["images/00000003_000.png", "images", "Data_Entry_2017.csv",
                                  "BBox_List_2017.csv", "test_list.txt"])  # fmt: skip
def test_nih_links_stay_inside(nih, patients, name: str) -> None:
    nih.fill(patients(5))
    nih.boxes("00000003_000.png,Mass,1,2,3,4")
    nih.lists([f"{n:08d}_000.png" for n in (1, 2, 3)], [f"{n:08d}_000.png" for n in (4, 5)])
    away = nih.root.parent / "away"
    (nih.root / name).rename(away)
    (nih.root / name).symlink_to(away)
    assert "is a link out of" in nih.fault()


def test_pipe_is_not_waited_for(nih, patients) -> None:
    nih.fill(patients(5))
    (nih.root / "images/00000003_000.png").unlink()
    os.mkfifo(nih.root / "images/00000003_000.png")
    assert "1 of the 5 images" in nih.fault()
