"""Masks as programs write them mark the same pixels, however they are encoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.data.mask_io import read_mask

GREY = np.random.default_rng(3).integers(0, 256, (24, 20), np.uint8)


def test_mask_must_match_image_shape(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    Image.fromarray(GREY.T).save(tmp_path / "m.png")
    with pytest.raises(gvr.DataError, match=r"24 x 20 pixels and its image a\.png 20 x 24"):
        read_mask(tmp_path / "m.png", tmp_path / "a.png", 16)


def test_jpeg_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    with pytest.raises(gvr.DataError, match="a mask must be a PNG or TIFF"):
        read_mask(tmp_path / "a.jpg", tmp_path / "a.jpg", 16)


def in_palette(marked: np.ndarray) -> Image.Image:
    """Black on black: the values differ, their colours do not."""
    image = Image.fromarray(marked.astype(np.uint8))
    image = image.convert("P")
    image.putdata(marked.astype(int).ravel().tolist())
    image.putpalette([0] * 768)
    return image


def opaque(marked: np.ndarray) -> Image.Image:
    image = Image.fromarray(marked.astype(np.uint8) * 90)
    return Image.merge("RGBA", [image] * 3 + [Image.new("L", image.size, 255)])


MASKS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "single band": lambda marked: Image.fromarray(marked.astype(np.uint8)),
    "bits": Image.fromarray,
    "sixteen": lambda marked: Image.fromarray(marked.astype(np.uint16)),
    "palette": in_palette,
    "opaque": opaque,
}


@pytest.mark.parametrize("kind", MASKS)
def test_nonzero_pixels_mark_finding(tmp_path: Path, kind: str) -> None:
    marked = np.zeros((24, 20), np.bool_)
    marked[4:10, 3:9] = True
    Image.fromarray(GREY).save(tmp_path / "a.png")
    MASKS[kind](marked).save(tmp_path / "m.png")
    actual = read_mask(tmp_path / "m.png", tmp_path / "a.png", 24)
    np.testing.assert_array_equal(actual[:, 2:22], marked)
    assert not actual[:, :2].any()
    assert not actual[:, 22:].any()


def test_tiny_finding_keeps_one_pixel(tmp_path: Path) -> None:
    marked = np.zeros((240, 240), np.uint8)
    marked[121, 131] = 1
    Image.fromarray(marked).save(tmp_path / "m.png")
    actual = read_mask(tmp_path / "m.png", tmp_path / "m.png", 24)
    assert np.argwhere(actual).tolist() == [[12, 13]]


# Encodings that are easily read the wrong way round


def layer(marked: np.ndarray, ink: tuple[int, ...], beneath: tuple[int, ...]) -> Image.Image:
    """A layer of a drawing program: opaque ink over what is transparent."""
    return Image.fromarray(np.where(marked[..., None], ink, beneath).astype(np.uint8))


def indexed(marked: np.ndarray, background: int, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(np.where(marked, 1 - background, background).astype(np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    return image


def clear_palette(marked: np.ndarray) -> Image.Image:
    image = indexed(marked, 0, (255, 255, 255), (200, 0, 0))
    image.info["transparency"] = 0
    return image


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (200, 0, 0)
LAYERS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "red over clear white": lambda marked: layer(marked, (*RED, 255), (*WHITE, 0)),
    "red over clear black": lambda marked: layer(marked, (*RED, 255), (*BLACK, 0)),
    "black ink over nothing": lambda marked: layer(marked, (*BLACK, 255), (*BLACK, 0)),
    "half transparent red": lambda marked: layer(marked, (*RED, 40), (*WHITE, 0)),
    "white on opaque black": lambda marked: layer(marked, (*WHITE, 255), (*BLACK, 255)),
    "colour 1 on black": lambda marked: indexed(marked, 0, BLACK, RED),
    "colour 0 white on black": lambda marked: indexed(marked, 1, WHITE, BLACK),
    "colour 1 on white": lambda marked: indexed(marked, 0, WHITE, RED),
    "clear colour 0": clear_palette,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_opaque_colour_marks_finding(tmp_path: Path, kind: str) -> None:
    check(LAYERS[kind], tmp_path / "m.png")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "group3", "group4"])
def test_one_bit_tiff_of_pillow(tmp_path: Path, compression: str | None) -> None:
    marked = block()
    Image.fromarray(marked).save(tmp_path / "m.tif", compression=compression)
    np.testing.assert_array_equal(marks(tmp_path / "m.tif"), marked)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"photometric": "minisblack"}])
def test_boolean_tiff_of_tifffile(tmp_path: Path, options: dict[str, str]) -> None:
    marked = block()
    tifffile.imwrite(tmp_path / "m.tif", marked, **options)
    np.testing.assert_array_equal(marks(tmp_path / "m.tif"), marked)


def test_empty_layer_marks_nothing(tmp_path: Path) -> None:
    layer(np.zeros((20, 20), np.bool_), (*RED, 255), (*WHITE, 0)).save(tmp_path / "m.png")
    assert not marks(tmp_path / "m.png").any()


def block() -> np.ndarray:
    marked = np.zeros((20, 20), np.bool_)
    marked[4:10, 3:9] = True
    return marked


def marks(path: Path) -> np.ndarray:
    picture = path.with_name("picture.png")
    Image.fromarray(GREY[:20]).save(picture)
    return read_mask(path, picture, 20)


def check(draw: Callable[[np.ndarray], Image.Image], path: Path) -> None:
    draw(block()).save(path)
    np.testing.assert_array_equal(marks(path), block())
