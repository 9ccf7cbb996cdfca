from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gvr_bench.report.cases import map_colours


def pixels(picture: Image.Image | str, mode: str = "RGB") -> np.ndarray:
    """The pixels of a picture or of a data URI."""
    if isinstance(picture, str):
        picture = Image.open(io.BytesIO(base64.b64decode(picture.partition("base64,")[2])))
    return np.asarray(picture.convert(mode)).astype(int)


GREY = np.full((1, 4, 4), 128, np.uint8)


def test_colours_follow_the_sign() -> None:
    attribution = np.zeros((4, 4), np.float32)
    attribution[0, 0], attribution[3, 3] = 2.0, -2.0
    shown = pixels(map_colours.overlay(GREY, attribution, 2.0, 192))
    r, g, b = shown[0, 0]
    assert b > r > g
    r, g, b = shown[3, 3]
    assert r > g > b
    assert shown[1, 1].tolist() == [128, 128, 128]


def test_stronger_values_are_more_opaque() -> None:
    attribution = np.array([[0, 0.25, 0.5, 1.0]] * 4, np.float32)
    shown = pixels(map_colours.overlay(GREY, attribution, 1.0, 192))
    blue = shown[0, :, 2]
    assert (np.diff(blue) > 0).all()


def test_colour_saturates_beyond_the_scale() -> None:
    change = np.array([[1.0, 5.0], [-1.0, -5.0]], np.float32)
    shown = pixels(map_colours.difference(change, 1.0, 192), "RGBA")
    assert shown[0, 0].tolist() == shown[0, 1].tolist()
    assert shown[1, 0].tolist() == shown[1, 1].tolist()
    assert shown[0, 0, 3] == shown[1, 0, 3] == 255


def test_unchanged_pixels_are_transparent() -> None:
    change = np.array([[0.0, 1.0], [0.0, -0.5]], np.float32)
    shown = pixels(map_colours.difference(change, 1.0, 192), "RGBA")
    assert shown[..., 3].tolist() == [[0, 255], [0, pytest.approx(255 * 0.5**0.8, abs=1)]]


def test_outline_follows_the_mask_border() -> None:
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    opaque = pixels(map_colours.contour(mask, 192), "RGBA")[..., 3] > 0
    assert not opaque[40:152, 40:152].any()
    assert opaque[96, 30:34].any()
    assert opaque[30:34, 96].any()
    assert not opaque[:24].any()


def test_outliers_do_not_set_the_scale() -> None:
    attribution = np.linspace(-1, 1, 10_000, dtype=np.float32)
    attribution[0] = 1000
    assert map_colours.symmetric_scale(attribution) == pytest.approx(0.995, abs=0.001)


@pytest.mark.parametrize("empty", [np.zeros(4), np.full(4, np.nan), np.zeros(0)])
def test_empty_map_has_a_scale(empty: np.ndarray) -> None:
    assert map_colours.symmetric_scale(empty.astype(np.float32)) == 1.0


def test_only_larger_images_shrink() -> None:
    small = np.arange(28 * 28, dtype=np.uint8).reshape(1, 28, 28)
    assert (pixels(map_colours.plain(small, 192), "L") == small[0]).all()
    assert map_colours.plain(np.zeros((1, 256, 256), np.uint8), 192).size == (192, 192)


def test_uri_keeps_transparency() -> None:
    clear = map_colours.uri(map_colours.difference(np.zeros((4, 4), np.float32), 1.0, 4))
    assert clear.startswith("data:image/png;base64,")
    assert (pixels(clear, "RGBA")[..., 3] == 0).all()
    assert map_colours.uri(map_colours.plain(GREY, 4)).startswith("data:image/webp;base64,")
