"""One rationale as one picture: the image, the map over it, the counterfactual, and a legend."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.map_colours import Bytes, Float
from gvr_bench.report.figures.style import INK, MUTED
from gvr_bench.report.file_names import printable
from gvr_bench.results.explained_images import NOT_PREDICTED, format_prediction

EDGE = 512  # pixels of each image
MARGIN, GAP = 24, 16
WARNING = "#a3321f"


@dataclass(frozen=True)
class Line:
    text: str
    bad: bool = False


@dataclass(frozen=True)
class RationalePicture:
    """What is drawn: `image` and `counterfactual` (C, H, W) uint8, and `attribution` (H, W).

    Full colour is `scale`, None for the 99.5th percentile of the attribution's own absolute values.
    """

    name: str
    explainer: str
    output: str
    target_class: str | None
    unit: str
    image: Bytes
    attribution: Float
    counterfactual: Bytes | None
    prediction: float | None
    prediction_after: float | None
    predicted: bool
    success: bool | None
    reason: str
    warning: str
    scale: float | None = None

    @property
    def lines(self) -> list[Line]:
        """What is explained, and why not to rely on it."""
        change = f"what turns {self.output} into {self.target_class}"
        lines = [Line(f"{self.explainer}: {change if self.target_class else self.output}")]
        if not self.predicted:
            lines.append(Line(NOT_PREDICTED))
        elif self.success is False:
            why = self.reason or "no reason given"
            lines.append(Line(f"decision not changed: {why}", bad=True))
        return [*lines, Line(self.warning, bad=True)] if self.warning else lines

    def png(self) -> bytes:
        """Draw three images side by side, 512 pixels each, on white."""
        scale = self.scale or map_colours.symmetric_scale(self.attribution)
        tiles, lines = _tiles(self, scale), self.lines
        top = 68 + 30 * len(lines)
        foot = top + EDGE + 52
        width = 2 * MARGIN + len(tiles) * (EDGE + GAP) - GAP
        canvas = Image.new("RGB", (width, foot + 60), "white")
        _write(canvas, MARGIN, 46, self.name, 26, INK)
        for number, line in enumerate(lines):
            _write(canvas, MARGIN, 80 + 30 * number, line.text, 20, WARNING if line.bad else MUTED)
        for number, (drawn, caption) in enumerate(tiles):
            left = MARGIN + number * (EDGE + GAP)
            tile = drawn.convert("RGBA").resize((EDGE, EDGE), Image.Resampling.BICUBIC)
            canvas.paste(tile, (left, top), tile)
            _write(canvas, left, top + EDGE + 28, caption, 20, INK, EDGE)
        canvas.paste(_colour_bar(width - 2 * MARGIN), (MARGIN, foot))
        moved = self.counterfactual is not None
        less, more = ("removed", "added") if moved else ("against", "for")
        noun, y = "density " if moved else "speaks ", foot + 36
        _write(canvas, MARGIN, y, f"−{scale:.2g} {noun}{less}", 18, MUTED)
        _write(canvas, width - MARGIN, y, f"{noun}{more} +{scale:.2g}", 18, MUTED, anchor="rs")
        if moved:
            _write(canvas, width // 2, y, "unchanged", 18, MUTED, anchor="ms")
        buffer = io.BytesIO()
        canvas.save(buffer, "PNG", compress_level=4)
        return buffer.getvalue()


def _tiles(picture: RationalePicture, scale: float) -> list[tuple[Image.Image, str]]:
    image, attribution = picture.image, picture.attribution
    tiles = [
        (
            map_colours.plain(image, EDGE),
            f"image: {picture.output} {format_prediction(picture.prediction, picture.unit)}",
        ),
        (map_colours.overlay(image, attribution, scale, EDGE), "map over the image"),
    ]
    if picture.counterfactual is None:
        return [*tiles, (map_colours.difference(attribution, scale, EDGE), "map alone")]
    after = format_prediction(picture.prediction_after, picture.unit)
    counterfactual = map_colours.plain(picture.counterfactual, EDGE)
    return [*tiles, (counterfactual, f"counterfactual: {after}")]


def _colour_bar(width: int) -> Image.Image:
    ends = np.array([map_colours.LESS, (138, 138, 138), map_colours.MORE], float)
    places = np.linspace(0, 2, width)
    row = np.stack([np.interp(places, range(3), channel) for channel in ends.T], axis=1)
    return Image.fromarray(row.round().astype(np.uint8)[None].repeat(12, axis=0))


def _write(canvas: Image.Image, x: int, y: int, text: str, size: int, colour: str,
           width: int | None = None, anchor: str = "ls") -> None:  # fmt: skip
    """Write one line, shortened to `width` pixels or to the right margin."""
    room, font, line = width or canvas.width - x - MARGIN, _font(size), printable(text)
    if anchor == "ls" and font.getlength(line) > room:
        while line and font.getlength(f"{line}…") > room:
            line = line[: min(len(line) - 1, 200)]
        line += "…"
    ImageDraw.Draw(canvas).text((x, y), line, colour, font, anchor)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings along, so that machines without fonts draw the same."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)
