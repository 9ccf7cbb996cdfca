"""The chest and how disease deforms it: silhouettes, lungs, bones, vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gvr_datasets.phantom.counter_rng import Draws, Floats
from gvr_datasets.phantom.patients import (
    ATELECTASIS,
    EFFUSION,
    FLUID_LEFT,
    FLUID_RIGHT,
    VESSELS,
    State,
    Study,
)
from gvr_datasets.phantom.soft_shapes import SIDES, Grid, bell, blobs, gauss, smooth_max, step

LUNG_BASE = 0.58  # where the costophrenic angle lies
HILUM = (0.165, -0.06)


@dataclass(frozen=True)
class Shape:
    """What disease changes in the form of the lungs: pairs of (n, 1, 1) for the two sides.

    `dome` is the height of each half of the diaphragm, `fluid` the depth of pleural effusion.
    """

    dome: tuple[Floats, Floats]
    fluid: tuple[Floats, Floats]


def shape_of(study: Study, state: State) -> Shape:
    """The form that the state gives to the patient's lungs."""
    visit = Draws(study.visits)
    side = visit.uniform("atelectasis.side") < 0.5
    lift = visit.between("atelectasis.lift", 0.06, 0.13) * state.findings[:, [ATELECTASIS]]
    where = visit.uniform("effusion.side")
    depth = visit.between("effusion.depth", 0.26, 0.58) * state.findings[:, [EFFUSION]]
    leak = 0.85 * state.components
    right = np.maximum(depth * (where < 0.6), leak[:, [FLUID_RIGHT]])
    left = np.maximum(depth * (where > 0.4), leak[:, [FLUID_LEFT]])
    breath = study.pose["breath"]
    domes = (
        study.body["dome_right"] + breath - (lift * ~side)[:, :, None],
        study.body["dome_left"] + breath - (lift * side)[:, :, None],
    )
    return Shape(domes, (right[:, :, None], left[:, :, None]))


def lung_edges(study: Study, y: Floats) -> tuple[Floats, Floats]:
    """Centre and half-width of a lung at heights `y` (n, k, 1), as distances from the midline."""
    body = study.body
    t = np.clip((y - body["apex"]) / (LUNG_BASE - body["apex"]), 0.0, 1.2)
    reach = 1.0 - np.clip(1.0 - t, 0.0, 1.0) ** 1.9
    lateral = body["lung_top"] + (body["lung_width"] - body["lung_top"]) * reach
    medial = np.float32(0.115)
    cap = np.sqrt(np.clip(1.0 - (1.0 - np.minimum(t / 0.24, 1.0)) ** 2, 0.0, 1.0))
    above = np.maximum(body["apex"] + 0.01 - y, 0.0)
    return 0.5 * (lateral + medial), 0.5 * (lateral - medial) * cap - above


def lung_floor(study: Study, shape: Shape, column: Floats) -> tuple[Floats, Floats]:
    """Height of the lungs' lower border over columns (n, 1, w): above and without fluid."""
    on_left = column > 0
    dome = np.where(on_left, shape.dome[1], shape.dome[0])
    fluid = np.where(on_left, shape.fluid[1], shape.fluid[0])
    p = (np.abs(column) - 0.30) / 0.44
    p *= p
    dry = dome + study.body["dome_depth"] * p * (0.75 + 0.25 * p)
    q = np.clip(np.abs(column) / study.body["lung_width"], 0.0, 1.1)
    level = dome + 0.25 - fluid * (0.55 + 0.65 * q**5)
    wet = np.where(fluid > 0.02, -smooth_max(-dry, -level, 0.02), dry)
    return wet, dry


@dataclass(frozen=True)
class Lungs:
    """`mask` (n, h, w) is the share of a lung in a pixel, `fluid` that of an effusion."""

    mask: Floats
    fluid: Floats


def draw_lungs(study: Study, shape: Shape, grid: Grid) -> Lungs:
    """Both lungs: apex, tapering sides, and the floor of diaphragm or fluid."""
    centre, half = lung_edges(study, grid.row)
    x = np.abs(grid.x - study.pose["turn"] * 0.5)
    x -= centre
    np.abs(x, out=x)
    depth = np.subtract(half, x, out=x)
    wet, dry = lung_floor(study, shape, grid.column)
    soft = grid.soft + 0.012
    mask = step(np.minimum(depth, wet - grid.y), soft)
    fluid = np.zeros_like(mask)
    rows = np.flatnonzero((wet != dry).any(axis=(1, 2)))
    if len(rows):
        dry_mask = step(np.minimum(depth[rows], (dry - grid.y)[rows]), soft[rows])
        fluid[rows] = dry_mask - mask[rows]
    return Lungs(mask, fluid)


def draw_body(study: Study, grid: Grid) -> tuple[Floats, Floats]:
    """The silhouette of neck, shoulders, trunk and arms, and its thickness in [0, 1]."""
    body = study.body
    row, size = grid.row, np.abs(grid.x)
    shoulder = step(row - body["slope"] - 0.03, 0.17)
    half = body["neck"] + (body["shoulder"] - body["neck"]) * shoulder
    half = half + (body["torso"] - body["shoulder"]) * step(row - 0.05, 0.35)
    half = half + 0.30 * step(-0.05 - row, 0.42) * shoulder
    inside = half - size
    mask = step(inside, grid.soft + 0.012)
    round_ = np.clip(inside * (1.0 / (0.42 * half)), 0.0, 1.0)
    thick = mask * (0.45 + 0.55 * round_ * (2.0 - round_))
    arm = bell(size - body["arm"] - 0.04 * row, 0.17) * step(row + 0.2, 0.3)
    np.maximum(thick, 0.75 * arm, out=thick)
    return mask, thick


def draw_ribs(study: Study, grid: Grid) -> Floats:
    """Ribs seen from behind (strong, arching down) and from the front (faint, rising outwards)."""
    body = study.body
    size = np.abs(grid.x)
    t = np.clip((grid.row - body["apex"]) / 1.2, 0.0, 1.3)
    cage = 0.44 + (body["lung_width"] + 0.03 - 0.44) * (1.0 - np.clip(1 - t, 0, 1) ** 1.9)
    across = size * (1.0 / cage)
    # Upper ribs lie in tight arches, lower ones run flatter and slope more.
    arch = across * across
    arch *= body["rib_arch"] * (1.0 - 0.15 * t)
    arch -= (0.10 + 0.05 * t) * across
    wave = grid.y - arch
    wave -= body["apex"] + 0.02 + 0.1 * body["rib_phase"]
    wave *= 1.0 / body["rib_gap"]
    wave -= np.rint(wave)
    np.abs(wave, out=wave)
    soft = grid.soft / body["rib_gap"] + 0.04
    rib = step(body["rib_width"] - wave, soft)
    wave *= 1.0 / body["rib_width"]
    rib *= 0.62 + 0.38 * wave * wave
    inside = step(1.03 - across, 0.04 + grid.soft)
    inside *= step(grid.row - body["apex"] + 0.08, 0.06) * (
        0.25 + 0.75 * step(0.42 - grid.row, 0.2)
    )
    rib *= inside
    front = grid.y + body["front_slope"] * (across - 0.9) ** 2 - 0.12 * across
    front *= 1.0 / body["front_gap"]
    front += body["front_phase"]
    front -= np.rint(front)
    faint = step(0.22 - np.abs(front), 0.12 + grid.soft / body["front_gap"])
    faint *= inside
    faint *= np.clip(across * 2.5 - 0.9, 0.0, 1.0)
    rib += 0.45 * faint
    return rib * body["rib_density"]


def draw_shoulders(study: Study, grid: Grid) -> Floats:
    """Clavicles, shoulder blades and the heads of the humerus."""
    body = study.body
    size = np.abs(grid.column - study.pose["turn"])
    curve = body["clavicle_y"] + body["clavicle_slope"] * (size - 0.1)
    curve = curve - 0.045 * np.sin((size - 0.1) * 7.0)
    there = step(size - 0.09, 0.02) * step(0.80 - size, 0.05)
    width = 0.030 + 0.014 * (1.0 - there * np.clip(1 - np.abs(size - 0.45) * 2, 0, 1))
    off = np.abs(grid.y - curve)
    bone = step(width - off, grid.soft + 0.008)
    bone *= (0.12 + 0.05 * np.minimum(off * 40, 1.0)) * there
    wide = np.abs(grid.x)
    blade = step(wide - body["scapula"] - 0.12 * grid.row, grid.soft + 0.015)
    blade *= 0.05 * step(grid.row + 0.62, 0.08) * step(0.12 - grid.row, 0.15)
    bone += blade
    wide -= 0.98
    wide *= wide
    wide += (grid.row + 0.52) ** 2
    bone += 0.05 * step(0.0225 - wide, 0.012 + 0.2 * grid.soft)
    return bone


def draw_spine(study: Study, grid: Grid) -> Floats:
    """Vertebrae with discs, and the dark column of the trachea in front of them."""
    body = study.body
    off = grid.x - body["spine_bend"] * np.sin(2.5 * grid.row)
    across = np.abs(off)
    phase = grid.row / body["vertebra"] + body["vertebra_phase"]
    gap = np.abs(phase - np.rint(phase))
    disc = step(gap - 0.40, 0.08 + 0.5 * grid.soft / body["vertebra"])
    waist = body["spine"] * (1.0 - 0.10 * bell(gap, 0.35))
    column = step(waist - across, grid.soft + 0.032)
    bright = 0.055 + 0.03 * step(grid.row - 0.1, 0.5)
    column *= bright * (1.0 - 0.55 * disc)
    column += 0.05 * bell(across - 0.6 * body["spine"], 0.025) * bell(gap, 0.22)
    low = step(-0.24 - grid.row, 0.03)
    shift = study.pose["turn"] * 0.6 + 0.015 * step(grid.row + 0.5, 0.2)
    column -= 0.13 * low * bell(off - shift, body["trachea"] * 1.5 + grid.soft)
    return column


def vessel_points(study: Study, state: State, detail: int) -> tuple[Floats, ...]:
    """Trees of vessels as points: x, y, radius and weight, each (n, k).

    Each lung has branches that leave the hilum and fork twice. Heart failure swells those of a
    zone that is the patient's own. `detail` sets the number of points, not the number of vessels.
    """
    person = Draws(study.patients)
    n, branches = len(study.patients), 6
    zone = person.between("swell.zone", -0.55, 0.40)[:, :, None]
    radii, forks = _tree(detail)
    k = len(radii)
    spread = np.linspace(-1.25, 1.45, branches, dtype=np.float32)
    parts = []
    for side in SIDES:
        angle = spread + 0.10 * person.normal(f"vessel.angle{side}", branches)
        split = 0.55 + 0.12 * person.normal(f"vessel.split{side}", branches)
        again = 0.45 + 0.12 * person.normal(f"vessel.again{side}", branches)
        bend = 0.18 * person.normal(f"vessel.bend{side}", branches)
        length = 0.52 + 0.05 * person.normal(f"vessel.length{side}", branches)
        turn = angle[:, :, None] + bend[:, :, None] * radii
        turn = turn + split[:, :, None] * forks[0] + again[:, :, None] * forks[1]
        reach = length[:, :, None] * radii * (1.0 + 0.30 * np.sin(angle[:, :, None]) ** 2)
        x = side * (HILUM[0] + reach * np.cos(turn))
        y = HILUM[1] + 0.03 * (side < 0) + 0.055 * spread[:, None] + reach * np.sin(turn)
        there = gauss(y - zone, 0.17) * swollen(study, state, side)[:, :, None]
        swell = 1.0 + 11.0 * there
        radius = (0.015 - 0.0105 * radii) * swell**0.5
        weight = (0.155 - 0.115 * radii) * swell**0.5
        parts.append(
            [a.reshape(n, branches * k) for a in np.broadcast_arrays(x, y, radius, weight)]
        )
    x, y, radius, weight = (np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True))
    step_length = np.float32(0.52 / (9 * detail))
    return x, y, radius, weight * step_length / (radius * np.float32(2.507))


def swollen(study: Study, state: State, side: int) -> Floats:
    """Severity of the swelling of the vessels on one side, (n, 1): one side, or both."""
    where = Draws(study.patients).uniform("swell.side")
    return state.components[:, [VESSELS]] * ((where < 0.65) if side < 0 else (where > 0.35))


def _tree(detail: int) -> tuple[Floats, tuple[Floats, Floats]]:
    """Positions along one branch in 0..1 and how far each has turned at both forks, (k,)."""
    radii, first, second = [], [], []
    line = (np.arange(9 * detail, dtype=np.float32) + 0.5) / (9 * detail)
    for r in line:
        sides = [(0, 0)] if r < 0.3 else [(-1, 0), (1, 0)]
        if r >= 0.62:
            sides = [(a, b) for a in (-1, 1) for b in (-1, 1)]
        for a, b in sides:
            radii.append(r)
            first.append(a * (r - 0.3))
            second.append(b * (r - 0.62))
    r, a, b = np.array([radii, first, second], dtype=np.float32)
    return r, (a, b)


def draw_vessels(study: Study, state: State, grid: Grid) -> Floats:
    """Vessels and hila, visible against the lungs."""
    size = grid.row.shape[1]
    detail = 1 if size < 48 else 2 if size < 96 else 3 if size < 192 else 5
    x, y, radius, weight = vessel_points(study, state, detail)
    width = np.hypot(radius, 0.8 * grid.soft[:, :, 0])
    weight = weight * study.body["vessels"][:, :, 0] * (radius / width) ** 0.7
    side = np.array(SIDES, dtype=np.float32)[None, :]
    n = len(x)
    hila_x = np.concatenate([x, np.broadcast_to(0.17 * side, (n, 2))], axis=1)
    hila_y = np.concatenate([y, np.broadcast_to(HILUM[1] - 0.02 * side, (n, 2))], axis=1)
    wide = np.concatenate([width, np.full((n, 2), 0.055, np.float32)], axis=1)
    high = np.concatenate([width, np.full((n, 2), 0.11, np.float32)], axis=1)
    bulk = [0.12 + 0.20 * swollen(study, state, at) for at in SIDES]
    weight = np.concatenate([weight, *bulk], axis=1)
    return blobs(grid.row, grid.column, hila_x, hila_y, wide, high, weight)
