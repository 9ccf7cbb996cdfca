from __future__ import annotations

import io
import re
import unicodedata
from importlib import resources
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gvr_bench.report.exports import raster
from gvr_bench.report.exports.raster import png_of

CHART = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<svg class="chart" viewBox="0 0 400 100" xmlns="http://www.w3.org/2000/svg" width="400" '
    'height="100"><style>.chart { font-family: system-ui, "Segoe UI", serif; }</style>'
    '<rect width="400" height="100" fill="#ffffff"/><text x="9" y="60">%s</text></svg>\n'
)


def pixels(words: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png_of(CHART % words))).convert("L"))


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A machine without fonts; what was asked of it is noted."""
    import resvg_py

    draw, asked = resvg_py.svg_to_bytes, []

    def drawn(**options: Any) -> bytes:
        asked.append(options.pop("skip_system_fonts"))
        return bytes(draw(skip_system_fonts=True, **options))

    monkeypatch.setattr(resvg_py, "svg_to_bytes", drawn)
    return asked


@pytest.mark.parametrize("words", ["pixel AP ↑", "ρ ≥ 10⁻³", "Größe Ж", "שלום", "مرحبا", "−0.5"])
def test_text_is_drawn_without_fonts_on_the_machine(no_fonts: list[bool], words: str) -> None:
    drawn, boxes = pixels(words), pixels("\U00010fff" * len(words))
    assert (drawn < 128).sum() > 100 * len(words)
    assert not np.array_equal(drawn, boxes)
    assert no_fonts[0]


def test_letters_that_our_font_lacks_are_looked_for_on_the_machine(no_fonts: list[bool]) -> None:
    pixels("模型")
    pixels("😀")
    assert no_fonts == [False, False]


def test_our_font_has_every_letter_that_it_is_said_to_have() -> None:
    fonts = pytest.importorskip("fontTools.ttLib")
    with resources.as_file(resources.files("gvr_bench.report") / "assets/fonts/figures.ttf") as at:
        there = fonts.TTFont(at).getBestCmap()
        assert at.stat().st_size < 400_000
    said = [chr(code) for code in range(32, 0x11000) if raster._DRAWN.fullmatch(chr(code))]
    missing = [c for c in said if ord(c) not in there and unicodedata.category(c) != "Cn"]
    assert len(said) > 1500
    assert missing == []


def test_a_picture_is_wide_enough_for_print_and_drawn_alike_each_time() -> None:
    assert pixels("a").shape == (400, 1600)
    assert png_of(CHART % "a") == png_of(CHART % "a")
    wide = re.sub("400", "1601", CHART % "a")
    assert Image.open(io.BytesIO(png_of(wide))).width == 1601
