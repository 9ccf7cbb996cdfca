"""Opacities inside the lungs; heart, diaphragm and fluid are in `anatomy`."""

from __future__ import annotations

import numpy as np

from gvr_datasets.phantom.anatomy import LUNG_BASE, Lungs, lung_edges
from gvr_datasets.phantom.counter_rng import Draws, Floats
from gvr_datasets.phantom.patients import (
    ATELECTASIS,
    HAZE_LEFT,
    HAZE_RIGHT,
    INFILTRATION,
    MASS,
    NODULE,
    PNEUMONIA,
    PNEUMOTHORAX,
    SEPTAL,
    State,
    Study,
)
from gvr_datasets.phantom.soft_shapes import SIDES, Grid, bell, blobs, smooth_max, step


def place(study: Study, side: Floats, across: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Points in the lungs, (n, k) each: side -1 or 1, `across` 0..1 outwards, `down` 0..1."""
    apex = study.body["apex"][:, :, 0]
    y = apex + (LUNG_BASE - apex) * down
    centre, half = lung_edges(study, y[:, :, None])
    return side * (centre + half * (2.0 * across[:, :, None] - 1.0))[:, :, 0], y


def _side(visit: Draws, name: str) -> Floats:
    """-1 or 1, (n, 1)."""
    return np.where(visit.uniform(name) < 0.5, -1.0, 1.0).astype(np.float32)


def _haze(study: Study, state: State, grid: Grid) -> Floats:
    """Haze of heart failure: a cloud in either lung, of the patient's own place and extent."""
    person = Draws(study.patients)
    k, parts = 7, []
    for side, component in zip(SIDES, (HAZE_RIGHT, HAZE_LEFT), strict=True):
        across, down = person.uniform(f"haze.across{side}"), person.uniform(f"haze.down{side}")
        extent = person.between(f"haze.extent{side}", 0.07, 0.17)
        x, y = place(study, np.float32(side), 0.15 + 0.7 * across, 0.1 + 0.8 * down)
        x = x + extent * person.normal(f"haze.x{side}", k)
        y = y + extent * person.normal(f"haze.y{side}", k)
        size = person.between(f"haze.size{side}", 0.08, 0.13, k)
        weight = 0.20 * state.components[:, [component]] * (0.6 + 4.0 * extent)
        parts.append([x, y, size, size, np.broadcast_to(weight, x.shape)])
    joint = (np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True))
    return blobs(grid.row, grid.column, *joint)


def _septal_lines(study: Study, state: State, grid: Grid) -> Floats:
    """Short horizontal lines at the edge of a lung: septa filled with fluid (Kerley B)."""
    person = Draws(study.patients)
    k = 7
    side = _side(person, "septal.side")
    down = person.between("septal.down", 0.45, 0.80)
    steps = np.arange(k, dtype=np.float32)[None, :] * person.between("septal.gap", 0.036, 0.048)
    x, y = place(study, side, person.between("septal.across", 0.80, 0.90, k), down + steps)
    thin = grid.soft[:, :, 0]
    wide = person.between("septal.length", 0.05, 0.085, k)
    high = np.broadcast_to(np.hypot(0.007, 0.6 * thin), x.shape)
    weight = 1.0 * state.components[:, [SEPTAL]] * (0.007 / high) ** 0.8
    return blobs(grid.row, grid.column, x, y, wide, high, weight)


def _infiltration(study: Study, grid: Grid) -> Floats:
    """Many small ill-defined patches over a zone, often on both sides."""
    visit = Draws(study.visits)
    k = 26
    main = _side(visit, "infiltration.side")
    other = visit.uniform("infiltration.other", k) < 0.3
    side = np.where(other, -main, main)
    down = visit.between("infiltration.down", 0.40, 0.72)
    across = visit.between("infiltration.across", 0.15, 0.9, k)
    x, y = place(study, side, across, down + 0.17 * visit.normal("infiltration.spread", k))
    size = visit.between("infiltration.size", 0.022, 0.05, k)
    weight = visit.between("infiltration.weight", 0.12, 0.26, k)
    return blobs(grid.row, grid.column, x, y, size, size, weight)


def draw_opacity(study: Study, state: State, grid: Grid) -> Floats:
    """Ill-defined opacity inside the lungs: haze and lines of heart failure, infiltration."""
    opacity = np.zeros_like(grid.x)
    hazy = state.components[:, [HAZE_RIGHT, HAZE_LEFT]].any(axis=1)
    for ill, draw in ((hazy, _haze), (state.components[:, SEPTAL] > 0, _septal_lines)):
        rows = np.flatnonzero(ill)
        if len(rows):
            opacity[rows] += draw(study.rows(rows), state.rows(rows), grid.rows(rows))
    rows = np.flatnonzero(state.findings[:, INFILTRATION])
    if len(rows):
        opacity[rows] += _infiltration(study.rows(rows), grid.rows(rows))
    return opacity


def _pneumonia(study: Study, grid: Grid) -> Floats:
    """A dense consolidated zone with a sharp fissure on one side."""
    visit = Draws(study.visits)
    side = _side(visit, "pneumonia.side")
    upper = visit.uniform("pneumonia.upper") < 0.35
    down = np.where(upper, 0.33, 0.66) + visit.between("pneumonia.down", -0.04, 0.04)
    k = 14
    across = visit.between("pneumonia.across", 0.25, 0.85, k)
    centre_x, centre_y = place(study, side, across, down + 0.09 * visit.normal("pneumonia.y", k))
    size = visit.between("pneumonia.size", 0.06, 0.10, k)
    weight = visit.between("pneumonia.weight", 0.07, 0.17, k)
    dense = blobs(grid.row, grid.column, centre_x, centre_y, size, size, weight)
    dense = dense / (1.0 + 1.1 * dense)
    apex = study.body["apex"]
    fissure = apex + (LUNG_BASE - apex) * 0.50
    slope = visit.between("pneumonia.slope", -0.12, 0.22)[:, :, None]
    over = fissure + slope * (np.abs(grid.x) - 0.4) - grid.y
    over *= np.where(upper, 1.0, -1.0)[:, :, None]
    return 1.25 * dense * step(over, grid.soft + 0.02) * step(grid.x * side[:, :, None], 0.05)


def _round(study: Study, name: str, sizes: tuple[float, float], grid: Grid) -> Floats:
    """A round opacity with a lobulated edge: 1 inside."""
    visit = Draws(study.visits)
    side = _side(visit, f"{name}.side")
    across = visit.between(f"{name}.across", 0.30, 0.72)
    x, y = place(study, side, across, visit.between(f"{name}.down", 0.25, 0.68))
    radius = visit.between(f"{name}.radius", *sizes)
    lobes = 4
    size = np.broadcast_to(0.62 * radius, (len(x), lobes))
    shift_x = 0.38 * radius * visit.normal(f"{name}.x", lobes)
    shift_y = 0.38 * radius * visit.normal(f"{name}.y", lobes)
    weight = np.full((len(x), lobes), 0.42, np.float32)
    field = blobs(grid.row, grid.column, x + shift_x, y + shift_y, size, size, weight)
    edge = 0.28 + 0.5 * grid.soft / radius[:, :, None]
    return step(field - 0.42, edge)


def _mass(study: Study, grid: Grid) -> Floats:
    """A large round opacity."""
    return 0.36 * _round(study, "mass", (0.10, 0.155), grid)


def _nodule(study: Study, grid: Grid) -> Floats:
    """A small round opacity."""
    return 0.34 * _round(study, "nodule", (0.036, 0.058), grid)


def _atelectasis(study: Study, grid: Grid) -> Floats:
    """Two oblique plates of collapsed lung above the raised diaphragm."""
    visit = Draws(study.visits)
    left = (visit.uniform("atelectasis.side") < 0.5)[:, :, None]
    side = np.where(left, 1.0, -1.0).astype(np.float32)
    dome = np.where(left, study.body["dome_left"], study.body["dome_right"])
    out = grid.x * side
    slope = visit.between("plate.slope", -0.45, 0.45)[:, :, None]
    high = visit.between("plate.high", 0.20, 0.42)[:, :, None]
    centre = visit.between("plate.centre", 0.34, 0.48)[:, :, None]
    off = grid.y - (dome - high) - slope * (out - centre)
    plate = bell(off, 0.034 + grid.soft) * step(0.21 - np.abs(out - centre), 0.06)
    second = bell(off - 0.11, 0.026 + grid.soft) * step(0.15 - np.abs(out - centre - 0.04), 0.06)
    return 0.34 * plate + 0.24 * second


def draw_dense(study: Study, state: State, grid: Grid) -> Floats:
    """Well-defined opacity inside the lungs; drawn only for images that have some."""
    dense = np.zeros_like(grid.x)
    for finding, draw in (
        (PNEUMONIA, _pneumonia),
        (MASS, _mass),
        (NODULE, _nodule),
        (ATELECTASIS, _atelectasis),
    ):
        rows = np.flatnonzero(state.findings[:, finding])
        if len(rows):
            dense[rows] += draw(study.rows(rows), grid.rows(rows))
    return dense


def collapse(study: Study, state: State, lungs: Lungs, grid: Grid) -> tuple[np.ndarray, ...]:
    """Pneumothorax: the images that have one, its free air in [0, 1] and the pleural line."""
    rows = np.flatnonzero(state.findings[:, PNEUMOTHORAX])
    affected = study.rows(rows)
    visit = Draws(affected.visits)
    side = _side(visit, "pneumothorax.side")[:, :, None]
    row = grid.row[rows]
    apex = affected.body["apex"]
    top = np.clip(1.0 - (row - apex) / (LUNG_BASE - apex), 0.0, 1.0)
    width = visit.between("pneumothorax.width", 0.09, 0.19)[:, :, None]
    centre, half = lung_edges(affected, row)
    out = grid.x[rows] * side
    # Distance from the chest wall; over the apex, the wall is above.
    wall = -smooth_max(out - centre - half, (apex - row) * 1.1, 0.16)
    line = wall - width * (0.55 + 0.75 * top)
    soft = grid.soft[rows]
    air = step(-line, soft + 0.012) * step(out - 0.10, 0.04) * lungs.mask[rows]
    pleura = bell(line - 0.008, 0.016 + soft) * step(out - 0.14, 0.04) * lungs.mask[rows]
    return rows, air, pleura
