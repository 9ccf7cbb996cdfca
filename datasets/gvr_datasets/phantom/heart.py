"""Heart and mediastinum: their silhouette, and where disease makes it bulge."""

from __future__ import annotations

import numpy as np

from gvr_datasets.phantom.counter_rng import Draws, Floats
from gvr_datasets.phantom.patients import CARDIOMEGALY, HEART_LEFT, HEART_RIGHT, State, Study
from gvr_datasets.phantom.soft_shapes import Grid, gauss, smooth_max, step


def bulge(study: Study, state: State, side: int, row: Floats) -> Floats:
    """How far disease moves a border outwards at heights `row`, (n, h, 1); side -1 is the right.

    Heart failure and cardiomegaly each have their own height and length; the larger one shows.
    """
    person, visit = Draws(study.patients), Draws(study.visits)
    name, component = ("right", HEART_RIGHT) if side < 0 else ("left", HEART_LEFT)
    where = visit.uniform("cardiomegaly.side")
    present = where < 0.65 if side < 0 else where > 0.35
    large = visit.between(f"cardiomegaly.{name}", 0.15, 0.25) * state.findings[:, [CARDIOMEGALY]]
    most = 0.30 if side < 0 else 0.38
    out = np.zeros_like(row)
    for draws, cause, amount in (
        (person, "failure", most * state.components[:, [component]]),
        (visit, "cardiomegaly", large * present),
    ):
        height = study.body["heart_y"] + draws.between(f"{cause}.{name}.y", -0.20, 0.18)[:, :, None]
        length = draws.between(f"{cause}.{name}.length", 0.13, 0.24)[:, :, None]
        out = np.maximum(out, amount[:, :, None] * gauss(row - height, length))
    return out


def heart_edges(study: Study, state: State, row: Floats) -> tuple[Floats, Floats]:
    """Right and left border of heart and mediastinum at each height, (n, h, 1)."""
    body = study.body
    long, short, x, y = (body[f"heart_{part}"] for part in ("long", "short", "x", "y"))
    c, s = np.cos(body["heart_tilt"]), np.sin(body["heart_tilt"])
    # The ellipse (dx, dy) M (dx, dy) = 1, solved for dx in each row.
    xx = (c / long) ** 2 + (s / short) ** 2
    yy = (s / long) ** 2 + (c / short) ** 2
    xy = c * s * (1 / long**2 - 1 / short**2)
    top = 1.0 / np.sqrt(yy - xy * xy / xx)
    dy = np.clip(row - y, -top, top)
    root = np.sqrt(np.maximum((xy * dy) ** 2 - xx * (yy * dy * dy - 1.0), 0.0))
    # Above and below the ellipse its borders run back into the mediastinum.
    near = gauss(np.abs(row - y) - np.abs(dy), 0.07)
    right, left = near * (x - (xy * dy + root) / xx), near * (x - (xy * dy - root) / xx)
    wide = body["mediastinum"] + 0.05 * step(-0.45 - row, 0.25)
    trunk = 0.055 * gauss(row + 0.19, 0.07) + body["knob"] * gauss(row - body["knob_y"], 0.065)
    vein = 0.02 * gauss(row + 0.15, 0.12)
    turn = study.pose["turn"]
    return (
        turn - smooth_max(-right, wide + vein, 0.05) - bulge(study, state, -1, row),
        turn + smooth_max(left, wide - 0.015 + trunk, 0.05) + bulge(study, state, 1, row),
    )


def draw_heart(study: Study, state: State, grid: Grid) -> tuple[Floats, Floats]:
    """The silhouette of heart and mediastinum, and its thickness in [0, 1]."""
    right, left = heart_edges(study, state, grid.row)
    inside = np.minimum(grid.x - right, left - grid.x)
    mask = step(inside, grid.soft + 0.010)
    thick = np.clip(inside * 4.0, 0.0, 1.0)
    return mask, mask * (0.62 + 0.38 * thick)
