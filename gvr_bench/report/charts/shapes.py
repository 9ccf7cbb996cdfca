"""Many points as one SVG path, so that a chart of thousands stays small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 2000
"""How many points a chart draws at most."""


@dataclass(frozen=True)
class Shape:
    """A mark around a point, as relative path commands that end anywhere."""

    name: str
    commands: str


DOT = Shape("dot", "h0")
RING = Shape("ring", "m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z")
SHAPES = (
    DOT,
    Shape("cross", "m-2-2l4 4m0-4l-4 4"),
    Shape("triangle", "m0-3l2.8 4.8h-5.6z"),
    Shape("plus", "m-2.8 0h5.6m-2.8-2.8v5.6"),
    Shape("square", "m-2.2-2.2h4.4v4.4h-4.4z"),
    Shape("bar", "m-3 0h6"),
    Shape("diamond", "m0-3.2l3.2 3.2-3.2 3.2-3.2-3.2z"),
    Shape("post", "m0-3v6"),
    Shape("wedge", "m-2.8-2l2.8 4.6 2.8-4.6z"),
    RING,
)
"""Told apart without colour: one per class."""


def path_of(x: NDArray[np.floating], y: NDArray[np.floating], shape: Shape = DOT) -> str:
    """The marks at (n,) places, to half a unit; marks that would cover each other are one."""
    at = np.unique(np.round(np.column_stack([x, y]) * 2) / 2, axis=0)
    return "".join(f"M{a:g},{b:g}{shape.commands}" for a, b in at.tolist())


def evenly(n: int, most: int = MOST) -> NDArray[np.int64]:
    """At most `most` positions out of `n`, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
