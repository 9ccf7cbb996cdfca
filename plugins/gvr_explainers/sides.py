"""The training images on either side of what is explained, by their labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import gvr_bench.api as gvr


class Sides(NamedTuple):
    """Positions of training images that show the source class (P,), and the target side (Q,)."""

    source: Tensor
    target: Tensor


def sides_of(reference: gvr.Reference, target: gvr.ExplanationTarget) -> tuple[list[Sides], Tensor]:
    """Return the sides of each pair of classes that occurs, and which pair each image (N,) has.

    For tasks without classes the target side is all that is labelled and not positive. Raises
    `Unsupported` where no training image lies on a side.
    """
    classes = torch.stack([target.source_class, target.target_class], dim=1).cpu()
    pairs, pair = classes.unique(dim=0, return_inverse=True)
    sides = [labelled_sides(reference, source, to) for source, to in pairs.tolist()]
    return sides, pair.to(target.source_class.device)


def labelled_sides(reference: gvr.Reference, source: int, target: int) -> Sides:
    """Return the sides of one pair of classes. Raises `Unsupported` where one is empty."""
    task, targets = reference.task, reference.targets
    positive = task.positives(targets)  # (M, K)
    if task.kind == "multiclass":
        on_source, on_target = positive[:, source], positive[:, target]
        names = f"of class '{task.outputs[source]}'", f"of class '{task.outputs[target]}'"
    else:
        labelled = ~np.isnan(targets[:, source])
        on_source, on_target = positive[:, source], labelled & ~positive[:, source]
        names = f"with '{task.outputs[source]}'", f"without '{task.outputs[source]}'"
    for side, name in zip((on_source, on_target), names, strict=True):
        if not side.any():
            raise gvr.Unsupported(f"no training image is labelled as one {name}")
    return Sides(*(torch.from_numpy(np.flatnonzero(side)) for side in (on_source, on_target)))
