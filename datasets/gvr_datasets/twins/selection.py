"""Which images of a data set get a twin, and which half of them has the finding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr

ALL = "all"
LEAST = 2  # images of a split: one with the finding and one without


@dataclass(frozen=True)
class Selection:
    """The images of one split: rows (N,) of the other data set's split, each maybe several times.

    `names` (N,) are unique, `positive` (N,) says which have the finding.
    """

    split: gvr.Split
    rows: NDArray[np.int64]
    names: NDArray[np.str_]
    positive: NDArray[np.bool_]


def select(split: gvr.Split, chosen: NDArray[np.int64], seed: int, copies: int) -> Selection:
    """Give the finding to exactly half of the chosen rows (n,), by a hash of their names.

    Of the copies of an image, every second one has it.
    """
    ids = split.sample_ids[chosen].tolist()
    order = sorted(range(len(ids)), key=lambda i: _digest(seed, ids[i]))
    first = np.zeros(len(ids), bool)
    first[order[: (len(ids) + 1) // 2]] = True
    names = [f"{name}#{copy}" if copy else name for name in ids for copy in range(copies)]
    turn = np.tile(np.arange(copies) % 2 == 1, len(ids))
    return Selection(
        split,
        np.repeat(chosen, copies),
        np.array(names, np.str_),
        np.repeat(first, copies) ^ turn,
    )


def choose(
    splits: dict[str, gvr.Split], task: gvr.Task, label: str, whose: str
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each split that have the label; all where no image is without finding.

    Raises `UsageError` for an unknown label, and `DataError` where a split has too few.
    """
    labelled = {name: with_label(split.targets, task, label) for name, split in splits.items()}
    if not label and not any(rows.any() for rows in labelled.values()):
        labelled = {name: np.ones(len(split), bool) for name, split in splits.items()}
    for name, rows in labelled.items():
        if rows.sum() < LEAST:
            what = f"are labelled '{label}'" if label else "are without a finding"
            raise gvr.DataError(
                f"{rows.sum()} of the {len(rows):,} images of the {name} split of '{whose}' {what},"
                f" and half of at least {LEAST} get one; choose others with label=all or "
                f"label=NAME (of {', '.join(task.outputs)})"
            )
    return {name: np.flatnonzero(rows) for name, rows in labelled.items()}


def with_label(targets: NDArray[np.float32], task: gvr.Task, label: str) -> NDArray[np.bool_]:
    """Which rows of the targets (N, columns) of a task have a label: (N,).

    Without a label, those without any finding; of a task with classes, those of its target.
    Raises `UsageError` for a label that is unknown.
    """
    positive = task.positives(targets)  # (N, K)
    if label == ALL:
        return np.ones(len(targets), bool)
    if label:
        if label not in task.outputs:
            hint = gvr.did_you_mean(label, (ALL, *task.outputs))
            raise gvr.UsageError(f"label={label} is none of what the images show{hint}")
        return np.asarray(positive[:, task.outputs.index(label)])
    if task.target is not None:
        return np.asarray(positive[:, task.target])
    known = ~np.isnan(targets).any(axis=1)
    return np.asarray(known & ~positive.any(axis=1))


def read_rows(split: gvr.Split, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read rows (n,) of a split, each image once. Raises `DataError`."""
    once, place = np.unique(rows, return_inverse=True)
    try:
        return split.images(once)[place]
    except gvr.DataError as error:
        reasons = error.unreadable
        where = {i: reasons[k] for i, k in enumerate(place.tolist()) if k in reasons}
        raise gvr.DataError(str(error), where) from error


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
