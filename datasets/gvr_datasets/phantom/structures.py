"""What can be rendered away of a study, one thing at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr
from gvr_datasets.phantom import render
from gvr_datasets.phantom.counter_rng import Floats
from gvr_datasets.phantom.patients import COMPONENTS, DEVICES, FINDINGS, State, Study

TABLES = {"components": COMPONENTS, "findings": FINDINGS, "devices": DEVICES}
VISIBLE = 0.05  # smallest change of intensity in [0, 1] that counts; 0.1 on the models' scale


def change_mask(image: Floats, without: Floats) -> NDArray[np.bool_]:
    """Pixels (n, h, w) that differ by 0.1 on the models' scale.

    Of structures so subtle that none would, those with half the largest change.
    """
    change = np.abs(image - without)
    largest = change.max(axis=(1, 2), keepdims=True)
    limit = np.where(largest > VISIBLE, VISIBLE, 0.5 * largest)
    return np.asarray((change > limit) & (largest > 1e-4))


def empty_structures(n: int, size: int) -> gvr.Structures:
    """Room for the structures of n images, none of them present."""
    names = tuple(name for table in TABLES.values() for name in table)
    k = len(names)
    flags = (np.zeros((n, k), bool) for _ in range(3))
    mask = np.zeros((n, k, size, size), bool)
    return gvr.Structures(names, *flags, mask, np.zeros((n, k, 1, size, size), np.uint8))


def render_away(
    room: gvr.Structures,
    part: slice,
    study: Study,
    state: State,
    output: NDArray[np.int64] | None,
    light: Floats,
) -> None:
    """Fill a part of the room; `output` (n,) are findings, None is heart failure.

    `light` (n, h, w) are the images before noise.
    """
    size = light.shape[1]
    grain = render.noise(study, size)
    image = render.expose(light, grain)
    first = 0
    for table, names in TABLES.items():
        for column in range(len(names)):
            has = getattr(state, table)
            rows = np.flatnonzero(has[:, column])
            if len(rows):
                rest = has[rows].copy()
                rest[:, column] = 0
                changed = replace(state.rows(rows), **{table: rest})
                without = render.clean(study.rows(rows), changed, size)
                at, k = part.start + rows, first + column
                removed = render.expose(without, grain[rows])
                room.mask[at, k] = change_mask(light[rows], without)
                room.removed[at, k] = removed
                room.present[at, k] = (removed != image[rows]).any(axis=(1, 2, 3))
        first += len(names)
    _roles(room, part, output)


def _roles(room: gvr.Structures, part: slice, output: NDArray[np.int64] | None) -> None:
    """Say which structures are the disease, and which only go along with it."""
    kinds = np.repeat(list(TABLES), [len(names) for names in TABLES.values()])
    if output is None:
        room.cause[part], room.distractor[part] = kinds == "components", kinds == "devices"
        return
    own = np.concatenate([np.arange(len(names)) for names in TABLES.values()]) == output[:, None]
    room.cause[part], room.distractor[part] = (
        own & (kinds == "findings"),
        own & (kinds == "devices"),
    )
