"""From parameters to pixels: densities add up, a film curve and noise make the picture."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gvr_datasets.phantom import anatomy, findings, heart
from gvr_datasets.phantom.counter_rng import Draws, Floats
from gvr_datasets.phantom.medical_devices import draw_devices
from gvr_datasets.phantom.patients import State, Study
from gvr_datasets.phantom.soft_shapes import Grid, blobs, make_grid, step

RENDERER = "2"
TILE = 1024  # side of the noise that all images are cut from


def density(study: Study, state: State, grid: Grid) -> Floats:
    """Share of the beam that each pixel stops, (n, h, w): about 0 in air, 1 in bone over heart."""
    body = study.body
    shape = anatomy.shape_of(study, state)
    inside, total = anatomy.draw_body(study, grid)
    lungs = anatomy.draw_lungs(study, shape, grid)
    silhouette, thick = heart.draw_heart(study, state, grid)
    # The abdomen is denser than the chest wall.
    belly = step(grid.row - 0.42, 0.30)
    total *= body["bulk"] * (0.60 + 0.20 * belly)
    lung_air = body["lung_air"] * (1.0 - 0.12 * step(grid.row + 0.1, 0.6))

    lung = lungs.mask * (1.0 - silhouette)
    structures = anatomy.draw_vessels(study, state, grid)
    structures += findings.draw_opacity(study, state, grid)
    rows, air, pleura = findings.collapse(study, state, lungs, grid)
    if len(rows):
        structures[rows] *= 1.0 - air
        structures[rows] += 0.28 * pleura - 0.10 * air + 0.03
    structures += findings.draw_dense(study, state, grid)
    clear = lung * (0.55 * lung_air) - lung * structures
    total -= np.minimum(clear, 0.48)
    total += 0.16 * lungs.fluid
    # There is lung behind the heart, so only part of its thickness is added.
    total += 0.30 * thick * step(0.62 - grid.row, 0.35)
    total += anatomy.draw_ribs(study, grid) * (inside - 0.5 * silhouette)
    total += anatomy.draw_shoulders(study, grid) * inside
    total += anatomy.draw_spine(study, grid) * inside
    total += _soft_tissue(study, grid)
    return total


def _soft_tissue(study: Study, grid: Grid) -> Floats:
    """Breasts, and the gas in the stomach below the left half of the diaphragm."""
    body = {name: study.body[name][:, :, 0] for name in ("breast", "breast_y", "gas", "gas_x")}
    dome = study.body["dome_left"][:, :, 0]
    x = np.concatenate([np.full_like(dome, -0.43), np.full_like(dome, 0.43), body["gas_x"]], 1)
    y = np.concatenate([body["breast_y"], body["breast_y"], dome + 0.20], 1)
    wide = np.broadcast_to(np.array([0.19, 0.19, 0.10], np.float32), x.shape)
    high = np.broadcast_to(np.array([0.15, 0.15, 0.06], np.float32), x.shape)
    weight = np.concatenate([body["breast"], body["breast"], -0.6 * body["gas"]], 1)
    return blobs(grid.row, grid.column, x, y, wide, high, weight)


def develop(study: Study, exposed: Floats) -> Floats:
    """The film curve: density -> intensity in [0, 1], with gain, gamma and offset."""
    film = study.exposure
    light = exposed * (film["gain"] * 1.70)
    np.maximum(light, 0.0, out=light)
    light *= light
    light /= 1.0 + light
    # Between a square and a plain curve: a cheap gamma that keeps 0 and 1.
    light += film["gamma"] * light * (1.0 - light)
    light *= 1.06 - film["offset"]
    light += film["offset"]
    return light


@functools.cache
def _tile() -> Floats:
    """Grain and detector noise of standard deviation 1: (TILE, TILE)."""
    white = np.random.default_rng(20200519).standard_normal((TILE, TILE), dtype=np.float32)
    grain: Floats = gaussian_filter(white, 0.55, mode="wrap")
    grain /= grain.std()
    grain.flags.writeable = False
    return grain


def noise(study: Study, size: int) -> Floats:
    """The noise of each image, (n, size, size); finer pixels get fewer photons each."""
    offset = Draws(study.visits).uniform("noise", 2) * (TILE - size)
    at = offset.astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(_tile(), (size, size))
    strength = study.exposure["noise"] * np.float32(min((size / 64) ** 0.3, 1.6))
    return windows[at[:, 0], at[:, 1]] * strength


def clean(study: Study, state: State, size: int) -> Floats:
    """Noise-free intensities in [0, 1], (n, size, size)."""
    grid = make_grid(study, size)
    light = develop(study, density(study, state, grid))
    alpha = draw_devices(study, state.devices, state.institution_b, grid)
    light += alpha * (1.0 - light)
    return np.clip(light, 0.0, 1.0, out=light)


def device_mask(study: Study, state: State, size: int) -> NDArray[np.bool_]:
    """Pixels that devices cover by more than a fifth, (n, size, size)."""
    return draw_devices(study, state.devices, state.institution_b, make_grid(study, size)) > 0.2


def expose(light: Floats, grain: Floats) -> NDArray[np.uint8]:
    """Clean intensities and noise -> pixels (n, 1, h, w)."""
    value = (light + grain) * 255.0
    value += 0.5
    return np.clip(value, 0.0, 255.0, out=value).astype(np.uint8)[:, None]
