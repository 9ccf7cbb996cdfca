"""The colours of figures in the light theme; `assets/colours.css` has both themes."""

from __future__ import annotations

COLOURS = {
    "paper": "#fcfbf8", "ink": "#1f1e1b", "muted": "#67635b", "rule": "#e2dfd6",
    "purple": "#6d3fc4", "held-out": "#b35c00",
    "class-0": "#6141b9", "class-1": "#296f16", "class-2": "#c0727e", "class-3": "#05454e",
    "class-4": "#4097bd", "class-5": "#67260c", "class-6": "#768b09", "class-7": "#7a7af5",
    "class-8": "#7d5c7a", "class-9": "#332d83",
}  # fmt: skip
"""Colours by the CSS variables that replace them in a page."""

PAPER, INK, MUTED, RULE, ACCENT, SECOND = list(COLOURS.values())[:6]
