"""`values.h5`: the value of each case, and the recipes of the stages that they come from.

One group per combination with one per explainer: its `metrics` (M,) and their `values` (M, N).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import BAD_HDF5, SLASH, get_array, own_item, put_array, writing_arrays
from gvr_bench.core.errors import CacheError
from gvr_bench.core.interrupts import uninterrupted
from gvr_bench.results.records import Record

MODEL = ("dataset", "generator", "encoder", "head", "seed")
EXPLANATIONS = "explanations"  # the recipe of what an explainer's scores are of
T = TypeVar("T")


class Whose(NamedTuple):
    """Of which model and explainer something is; `explainer` is None for the model itself."""

    dataset: str
    generator: str
    encoder: str
    head: str
    seed: int
    explainer: str | None

    @classmethod
    def of(cls, record: Record) -> Whose:
        return cls(*(getattr(record, name) for name in cls._fields))


@dataclass(frozen=True)
class RunValues:
    """What `read_values` returns.

    `values` maps whose and metric to (N,) float32, NaN where a case has none. `recipes` maps whose
    and group of metrics to a recipe, `EXPLANATIONS` being that of what is scored; for the model
    itself it goes by kind of stage.
    """

    values: Mapping[tuple[Whose, str], NDArray[Any]] = field(default_factory=dict)
    recipes: Mapping[tuple[Whose, str], str] = field(default_factory=dict)


def write_values(path: Path, run: RunValues) -> None:
    """Write what `read_values` reads. Raises `CacheError`."""
    recipes, values = _by_whose(run.recipes), _by_whose(run.values)
    groups: dict[Whose, Any] = {}
    with uninterrupted(), writing_arrays(path) as file:
        for whose in dict.fromkeys((*recipes, *values)):
            model = whose._replace(explainer=None)
            if model not in groups:
                groups[model] = file.create_group(str(len(groups)), track_order=True)
                groups[model].attrs.update({name: getattr(model, name) for name in MODEL})
            part = groups[model]
            if whose.explainer is not None:
                part = part.create_group(whose.explainer.replace("/", SLASH))
            part.attrs["recipes"] = json.dumps(recipes.get(whose, {}))
            if whose in values:  # as one array: many small ones take several times the space
                names, arrays = zip(*values[whose].items(), strict=True)
                put_array(part, "metrics", np.array(names, np.str_))
                stacked = np.stack(arrays).astype(np.float32)
                part.create_dataset("values", data=stacked, compression="gzip", shuffle=True)


def _by_whose(flat: Mapping[tuple[Whose, str], T]) -> dict[Whose, dict[str, T]]:
    grouped: dict[Whose, dict[str, T]] = defaultdict(dict)
    for (whose, name), item in flat.items():
        grouped[whose][name] = item
    return dict(grouped)


def read_values(path: Path) -> RunValues:
    """Read what `write_values` wrote. Raises `CacheError`."""
    import h5py

    values: dict[tuple[Whose, str], NDArray[Any]] = {}
    recipes: dict[tuple[Whose, str], str] = {}
    try:
        with h5py.File(path, "r") as file:
            for group in (own_item(file, name) for name in file):
                about = group.attrs
                d, g, e, h = (str(about[n]) for n in ("dataset", "generator", "encoder", "head"))
                model = Whose(d, g, e, h, int(about["seed"]), None)
                explained = [(label, own_item(group, label)) for label in group]
                for label, part in [(None, group), *explained]:
                    whose = model._replace(explainer=label and label.replace(SLASH, "/"))
                    named = json.loads(part.attrs.get("recipes", "{}"))
                    if not all(isinstance(recipe, str) for recipe in named.values()):
                        raise ValueError("a recipe is no text")
                    recipes |= {(whose, name): recipe for name, recipe in named.items()}
                    if label and "values" in part:
                        stacked = get_array(own_item(part, "values"))
                        names = get_array(own_item(part, "metrics"))
                        if stacked.ndim != 2 or (stacked.dtype.kind, names.dtype.kind) != (
                            "f",
                            "U",
                        ):
                            raise ValueError(f"values of shape {stacked.shape}, {stacked.dtype}")
                        names = names.tolist()
                        values |= {(whose, n): v for n, v in zip(names, stacked, strict=True)}
    except BAD_HDF5 as error:
        raise CacheError(f"cannot read {path}: {error}") from error
    return RunValues(values, recipes)
