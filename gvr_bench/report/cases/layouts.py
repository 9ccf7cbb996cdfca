"""How the arrays of `cases.h5` fit each other: axes of equal names have equal lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
from numpy.typing import NDArray

ANY = -1
"""A length that nothing else has to match."""

BYTES, FLAGS, INTEGERS, NUMBERS = "u", "b", "iu", "fiu"
Layout = Mapping[str, tuple[str, str, str]]
"""Field -> its name in the file, its axes, and the kinds of number that it may hold."""

OF_MODEL: Layout = {
    "input": ("input", "kchw", BYTES),
    "reconstruction": ("reconstruction", "kchw", BYTES),
    "samples": ("samples", "*chw", BYTES),
    "mask": ("mask", "khw", FLAGS),
    "true_change": ("true_change", "khw", NUMBERS),
    "source": ("source_class", "k", INTEGERS),
    "target": ("target_class", "k", INTEGERS),
    "label": ("label", "k", NUMBERS),
    "prediction": ("prediction", "k", NUMBERS),
    "predicts_source": ("predicts_source", "k", FLAGS),
    "oracle": ("oracle", "k", NUMBERS),
    "oracle_target": ("oracle_target", "k", NUMBERS),
}
OF_EXPLAINER: Layout = {
    "attribution": ("attribution", "khw", NUMBERS),
    "counterfactual": ("counterfactual", "kchw", BYTES),
    "success": ("success", "k", FLAGS),
    "steps": ("steps", "k", INTEGERS),
    "after": ("prediction_after", "k", NUMBERS),
    "reencoded": ("prediction_reencoded", "k", NUMBERS),
    "oracle_after": ("oracle_after", "k", NUMBERS),
    "oracle_target_after": ("oracle_target_after", "k", NUMBERS),
    "deletion": ("deletion", "ks", NUMBERS),
    "insertion": ("insertion", "ks", NUMBERS),
    "trajectory": ("trajectory", "ktchw", BYTES),
    "trajectory_prediction": ("trajectory_prediction", "kt", NUMBERS),
}


def read_arrays(group: h5py.Group, layout: Layout, sizes: dict[str, int]) -> dict[str, Any]:
    """The arrays of a layout, None where one does not exist. Raises `ValueError`."""
    read: dict[str, Any] = {}
    for field, (name, axes, kinds) in layout.items():
        array = group[name][:] if name in group else None
        read[field] = array
        if array is not None:
            expect(f"{group.name}/{name}", array, [sizes.get(axis, ANY) for axis in axes], kinds)
    return read


def expect(name: str, array: NDArray[Any], shape: Sequence[int], kinds: str) -> None:
    """Raise `ValueError` unless an array has a shape and a kind of number."""
    lengths = zip(array.shape, shape, strict=False)
    if array.ndim != len(shape) or any(here != there != ANY for here, there in lengths):
        expected = " x ".join("any" if length == ANY else str(length) for length in shape)
        raise ValueError(f"{name} has shape {array.shape}, not {expected}")
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} holds {array.dtype}")
