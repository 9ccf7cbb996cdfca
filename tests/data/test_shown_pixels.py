"""Pictures are read as a viewer shows them: turned, composed, with the bits that are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import gvr_bench.api as gvr
from gvr_bench.data.image_io import read_extent, read_picture, read_pictures
from gvr_bench.data.mask_io import read_mask

STEPS = np.kron(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10, np.ones((8, 8), np.uint8))
UNTURNED = {  # how the pixels of an upright picture are stored under an EXIF orientation
    1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: np.transpose,
    6: np.rot90, 7: lambda p: np.rot90(p, 2).T, 8: lambda p: np.rot90(p, -1),
}  # fmt: skip


def save(path: Path, shown: np.ndarray, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(UNTURNED[orientation](shown))
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", UNTURNED)
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = save(tmp_path / f"a.{suffix}", STEPS, orientation)
    with path.open("rb") as file, Image.open(file) as image:
        image.load()  # which turns a TIFF, but rightly only where it is no mapped memory
        assert np.abs(np.asarray(ImageOps.exif_transpose(image)).astype(int) - STEPS).max() < 20
    assert np.abs(read_picture(path, 1)[0].astype(int) - STEPS).max() < 20
    assert read_extent(path) == (48, 32)


@pytest.mark.parametrize("orientation", [3, 6])
def test_coloured_picture_is_turned(tmp_path: Path, orientation: int) -> None:
    shown = np.dstack([STEPS, 255 - STEPS, STEPS // 2])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(shown, 1 if orientation == 6 else 2)
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 3), shown.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(32, 48), (48, 48)])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_mask_of_shown_picture_fits(
    tmp_path: Path, shape: tuple[int, int], orientation: int
) -> None:
    shown = np.full(shape, 40, np.uint8)
    shown[4:12, 6:14] = 220
    picture = save(tmp_path / "a.jpg", shown, orientation)
    Image.fromarray(shown > 99).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", picture, 48)
    (pixels,) = read_pictures([picture], gvr.ImageSpec(1, 48))
    assert pixels[0][mask].min() > 150 > pixels[0][~mask].max()


def test_turned_mask_is_turned_as_well(tmp_path: Path) -> None:
    marked = np.zeros((32, 48), np.uint8)
    marked[4:12, 6:14] = 255
    Image.fromarray(STEPS).save(tmp_path / "a.png")
    mask = read_mask(save(tmp_path / "m.png", marked, 6), tmp_path / "a.png", 48)
    np.testing.assert_array_equal(mask[8:40], marked > 0)


def test_damaged_exif_leaves_picture_as_stored(tmp_path: Path) -> None:
    image = Image.fromarray(STEPS)
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=95)
    assert np.abs(read_picture(tmp_path / "a.jpg", 1)[0].astype(int) - STEPS).max() < 20


# Transparency


ALPHA = np.where(np.arange(48) < 24, 255, 0).astype(np.uint8) * np.ones((32, 1), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_are_black(tmp_path: Path, channels: int) -> None:
    grey = [Image.fromarray(STEPS)] * 3
    Image.merge("RGBA", [*grey, Image.fromarray(ALPHA)]).save(tmp_path / "rgba.png")
    Image.merge("LA", [grey[0], Image.fromarray(ALPHA)]).save(tmp_path / "la.png")
    expected = np.where(ALPHA > 0, STEPS, 0)
    for name in ("rgba.png", "la.png"):
        pixels = read_picture(tmp_path / name, channels)
        np.testing.assert_array_equal(pixels, np.repeat(expected[None], channels, 0))


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_transparent_value_is_black(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(STEPS.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(STEPS).convert(mode)
    image.save(tmp_path / "a.png", transparency=200 * (257 if mode == "I;16" else 1))
    expected = np.where(STEPS == 200, 0, STEPS)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1)[0], expected)


def test_half_transparent_pixels_are_darker(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 4), (200, 200, 200, 128), np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1)[0], np.full((8, 8), 100))


def test_opaque_pixels_stay_exact(tmp_path: Path) -> None:
    solid = Image.new("L", (48, 32), 255)
    Image.merge("RGBA", [Image.fromarray(STEPS)] * 3 + [solid]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1)[0], STEPS)


# Bits that are used


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_fewer_bits_use_full_range(tmp_path: Path, bits: int, suffix: str) -> None:
    ramp = np.arange(2**bits, dtype=np.uint16).reshape(-1, 32)
    Image.fromarray(ramp).save(tmp_path / f"a.{suffix}")
    pixels = read_picture(tmp_path / f"a.{suffix}", 1, bits=bits)[0]
    np.testing.assert_array_equal(pixels, np.floor(ramp / (2**bits - 1) * 255 + 0.5))


def test_value_beyond_bits_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4096, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(gvr.DataError, match=r"it holds 4,096, which the setting bits=12"):
        read_picture(tmp_path / "a.png", 1, bits=12)


def test_bits_leave_bytes_alone(tmp_path: Path) -> None:
    Image.fromarray(STEPS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 1, bits=12)[0], STEPS)
