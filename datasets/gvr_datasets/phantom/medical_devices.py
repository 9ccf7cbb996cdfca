"""Electrodes, tubes, lines and side markers: they correlate with disease and do not cause it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gvr_datasets.phantom.counter_rng import Draws, Floats
from gvr_datasets.phantom.patients import DEVICES, SIDE_MARKER, Study
from gvr_datasets.phantom.soft_shapes import Grid, blobs, pixel_centres, step

ELECTRODES = {
    "electrode, left chest": (0.48, -0.42), "electrode, right chest": (-0.48, -0.42),
    "electrode, left flank": (0.62, 0.40), "electrode, right flank": (-0.62, 0.40),
}  # fmt: skip
# Corner points of each line, in the patient.
LINES = {
    "feeding tube": ((0.0, -1.1), (0.01, -0.5), (0.03, 0.1), (0.07, 0.45), (0.25, 0.62)),
    "central line": ((-0.42, -0.95), (-0.36, -0.62), (-0.14, -0.5), (-0.1, -0.3), (-0.09, -0.05)),
    "chest drain": ((1.1, 0.30), (0.80, 0.22), (0.60, 0.02), (0.50, -0.30), (0.40, -0.55)),
}  # fmt: skip
GLYPHS = {
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}
POINTS = 72  # along one line


def _lines(study: Study, devices: Floats, grid: Grid) -> Floats:
    """Opacity of tubes and lines, (n, h, w)."""
    visit = Draws(study.visits)
    xs, ys, weights = [], [], []
    for name, corners in LINES.items():
        path = np.array(corners, dtype=np.float32)
        length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        t = np.linspace(0.0, length[-1], POINTS)
        bent = [
            gaussian_filter1d(np.interp(t, length, part), 4.0, mode="nearest") for part in path.T
        ]
        bend_x, bend_y = np.array(bent, dtype=np.float32)
        off = 0.025 * visit.normal(name, 4)
        wave = np.sin(t / length[-1] * np.pi).astype(np.float32)
        xs.append(bend_x + off[:, :1] + off[:, 1:2] * wave)
        ys.append(bend_y + off[:, 2:3] + off[:, 3:] * wave)
        weights.append(np.broadcast_to(devices[:, [DEVICES.index(name)]], (len(off), POINTS)))
    x, y, weight = (np.concatenate(part, axis=1) for part in (xs, ys, weights))
    width = np.hypot(0.007, 0.6 * grid.soft[:, :, 0])
    size = np.broadcast_to(width, x.shape)
    # Points lie about 0.024 apart: narrow lines keep an even height.
    weight = weight * 0.62 * (0.007 / width) ** 0.35 * 0.024 / (width * np.float32(2.507))
    return np.minimum(blobs(grid.row, grid.column, x, y, size, size, weight), 0.62)


def _electrodes(study: Study, devices: Floats, grid: Grid) -> Floats:
    """Opacity of the electrodes: discs with a dense centre, (n, h, w)."""
    visit = Draws(study.visits)
    n = len(devices)
    at = np.array(list(ELECTRODES.values()), dtype=np.float32)
    x = at[:, 0] + 0.05 * visit.normal("electrode.x", 4)
    y = at[:, 1] + 0.05 * visit.normal("electrode.y", 4)
    size = np.full((n, 4), 0.05, np.float32)
    shown = devices[:, [DEVICES.index(name) for name in ELECTRODES]]
    field = blobs(grid.row, grid.column, x, y, size, size, shown)
    soft = 0.10 + 4.0 * grid.soft
    return 0.42 * step(field - 0.60, soft) + 0.45 * step(field - 0.90, 0.5 * soft)


def _marker(study: Study, shown: Floats, institution_b: np.ndarray, size: int) -> Floats:
    """Opacity of the side marker, which lies on the detector: (n, h, w).

    Institution a writes R beside the patient's right shoulder, b a larger L low on the left.
    """
    visit = Draws(study.visits)
    alpha = np.zeros((len(shown), size, size), np.float32)
    jitter = 0.02 * visit.normal("marker", 2)
    for at_b, glyph, corner, cell in (
        (False, "R", (-0.92, -0.60), 0.026), (True, "L", (0.74, 0.62), 0.036)
    ):  # fmt: skip
        rows = np.flatnonzero((institution_b == at_b) & (shown > 0))
        if not len(rows):
            continue
        down, across = np.nonzero([[c == "#" for c in bits] for bits in GLYPHS[glyph]])
        x = (corner[0] + cell * across.astype(np.float32)) + jitter[rows, :1]
        y = (corner[1] + cell * down.astype(np.float32)) + jitter[rows, 1:]
        width = np.full(x.shape, np.hypot(0.5 * cell, 0.5 / size), np.float32)
        weight = np.full(x.shape, 0.95, np.float32)
        rule = np.broadcast_to(pixel_centres(size), (len(rows), size))
        spots = blobs(rule[:, :, None], rule[:, None, :], x, y, width, width, weight)
        alpha[rows] = np.minimum(spots, 0.95)
    return alpha


def draw_devices(study: Study, devices: np.ndarray, b: np.ndarray, grid: Grid) -> Floats:
    """Opacity in [0, 1] of all devices that are shown (n, 8) bool, (n, h, w)."""
    size = grid.row.shape[1]
    alpha = np.zeros((len(devices), size, size), np.float32)
    shown = devices.astype(np.float32)
    alpha += _marker(study, shown[:, SIDE_MARKER], b, size)
    for draw, names in ((_lines, LINES), (_electrodes, ELECTRODES)):
        rows = np.flatnonzero(devices[:, [DEVICES.index(name) for name in names]].any(axis=1))
        if len(rows):
            part = draw(study.rows(rows), shown[rows], grid.rows(rows))
            alpha[rows] = np.maximum(alpha[rows], part)
    return alpha
