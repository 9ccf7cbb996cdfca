"""SVG -> PNG, with letters of its own: a machine without fonts draws the same."""

from __future__ import annotations

import re
from importlib import resources

_FAMILY = "GVR Figures"
_WIDTH = 1600  # pixels at least: a column of a journal at 400 dpi
_DRAWN = re.compile(
    "[\n\u0020-\u007e\u00a0-\u024f\u0384-\u0525\u05d0-\u05ea\u0621-\u063a\u0640-\u0655"
    "\u2000-\u2064\u2070\u2074-\u208e\u2100-\u2109\u2190-\u22ff\u25a0-\u269c]*"
)
"""Letters that our font is sure to have; others are looked for among those of the machine."""


def png_of(svg: str) -> bytes:
    """Draw an SVG file, enlarged by a whole number to at least 1600 pixels across."""
    import resvg_py

    found = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    zoom = max(1, -(-_WIDTH // max(1, round(float(found[1]))))) if found else 1
    with resources.as_file(
        resources.files("gvr_bench.report") / "assets/fonts/figures.ttf"
    ) as font:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=svg,
                style_sheet=f'* {{ font-family: "{_FAMILY}", sans-serif; }}',
                font_files=[str(font)],
                font_family=_FAMILY,
                sans_serif_family=_FAMILY,
                skip_system_fonts=_DRAWN.fullmatch(svg) is not None,
                zoom=zoom,
            )
        )
