"""One rationale as one picture: the image, the map over it, the counterfactual, and a legend."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gvr_bench.report import formatting as text
from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.pictures import Bytes, Float
from gvr_bench.report.exports.raster import png_of
from gvr_bench.report.page import environment
from gvr_bench.results.explained_images import NOT_PREDICTED

EDGE = 512  # pixels that each image is wide
_MARGIN, _GAP = 24, 16
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TITLE, _LINE, _CAPTION = 120, 160, 46  # characters over all images, and beneath one


@dataclass(frozen=True)
class Line:
    """A line of text, and whether it warns."""

    text: str
    bad: bool = False


@dataclass(frozen=True)
class Plate:
    """What is drawn: `image` and `counterfactual` (C, H, W) uint8, and `attribution` (H, W).

    Full colour is `scale`, None for the 99.5th percentile of the attribution's own absolute values.
    """

    title: str
    lines: tuple[Line, ...]
    before: str
    after: str
    image: Bytes
    attribution: Float
    counterfactual: Bytes | None
    scale: float | None = None


def lines_about(
    explainer: str,
    output: str,
    target_class: str | None,
    *,
    predicted: bool,
    success: bool | None,
    reason: str,
    warning: str,
) -> tuple[Line, ...]:
    """Say what is explained, and why not to rely on it."""
    change = f"what turns {output} into {target_class}" if target_class else output
    lines = [Line(f"{explainer}: {change}")]
    if not predicted:
        lines.append(Line(NOT_PREDICTED))
    elif success is False:
        lines.append(Line(f"not found: {reason or 'no reason given'}", bad=True))
    if warning:
        lines.append(Line(warning, bad=True))
    return tuple(lines)


def draw_plate(plate: Plate) -> bytes:
    """Draw a PNG: three images side by side, 512 pixels each, on white."""
    tiles = _tiles(plate)
    places = [_MARGIN + number * (EDGE + _GAP) for number in range(len(tiles))]
    top = 68 + 30 * len(plate.lines)
    foot = top + EDGE + 52
    moved = plate.counterfactual is not None
    scale, colours = _scale(plate), pictures.palette()
    svg = (
        environment()
        .get_template("plate.svg.j2")
        .render(
            width=places[-1] + EDGE + _MARGIN,
            height=foot + 60,
            edge=EDGE,
            top=top,
            foot=foot,
            title=_short(plate.title, _TITLE),
            lines=[Line(_short(line.text, _LINE), line.bad) for line in plate.lines],
            captions=[
                (x, _short(caption, _CAPTION))
                for x, (_, caption) in zip(places, tiles, strict=True)
            ],
            more=_rgb(colours["more"]),
            less=_rgb(colours["less"]),
            legend={
                "less": f"−{scale:.2g} {'density removed' if moved else 'speaks against'}",
                "middle": "unchanged" if moved else "",
                "more": f"{'density added' if moved else 'speaks for'} +{scale:.2g}",
            },
        )
    )
    # Pillow is many times faster at large pictures, and the other knows how to write.
    picture = Image.open(io.BytesIO(png_of(svg))).convert("RGB")
    for x, (uri, _) in zip(places, tiles, strict=True):
        tile = _tile(uri)
        picture.paste(tile, (x, top), tile)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _tiles(plate: Plate) -> list[tuple[str, str]]:
    """Pictures with their captions."""
    scale = _scale(plate)
    found = [
        (pictures.plain(plate.image, EDGE), f"image: {plate.before}"),
        (pictures.overlay(plate.image, plate.attribution, scale, EDGE), "map over the image"),
    ]
    if plate.counterfactual is None:
        return [*found, (pictures.difference(plate.attribution, scale, EDGE), "map alone")]
    after = pictures.plain(plate.counterfactual, EDGE)
    return [*found, (after, f"counterfactual: {plate.after}")]


def _tile(uri: str) -> Image.Image:
    """A picture of a data URI, `EDGE` pixels wide."""
    data = base64.b64decode(uri.partition(",")[2])
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    return picture.resize((EDGE, EDGE), Image.Resampling.NEAREST)


def _scale(plate: Plate) -> float:
    return pictures.symmetric_scale(plate.attribution) if plate.scale is None else plate.scale


def _short(words: str, most: int) -> str:
    """One line that fits, without what XML cannot hold."""
    line = _NOT_XML.sub("", text.clean(words))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _rgb(colour: object) -> str:
    red, green, blue = np.asarray(colour, int).tolist()
    return f"rgb({red},{green},{blue})"
