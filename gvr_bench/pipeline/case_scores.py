"""What a report needs beyond records: the value of each case, and what each protocol consists of.

`values.h5` holds one group per combination with one per explainer: its `metrics` (M,) and their
`values` (M, N), and the recipes of the stages they are of.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import (
    BAD_HDF5,
    SLASH,
    get_array,
    own_item,
    put_array,
    read_arrays,
    writing_arrays,
)
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage, canonical
from gvr_bench.pipeline.collect import Outcome, protocol
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.results.records import Record

MODEL = ("dataset", "generator", "encoder", "head", "seed")
EXPLANATIONS = "explanations"  # the recipe of what an explainer's scores are of
Fact = str | int | float | bool | None
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
        """Whose a record is."""
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


def write_values(
    path: Path, plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
) -> None:
    """Copy the values of all cases from the cache into one file. Raises `CacheError`."""
    values: dict[tuple[Whose, str], NDArray[Any]] = {}
    recipes: dict[tuple[Whose, str], str] = {}
    for c in plan.combinations:
        model = Whose(c.dataset, c.generator, c.encoder, c.head, c.seed, None)
        recipes |= {(model, stage.kind): stage.recipe for stage in c.judging}
        for label, stages in c.scores.items():
            whose = model._replace(explainer=label)
            recipes[whose, EXPLANATIONS] = c.explanations[label].recipe
            for name, stage in stages.items():
                recipes[whose, name] = stage.recipe
                if outcomes[stage.key].succeeded:
                    arrays = read_arrays(cache.file(stage, "values.h5"))
                    values |= {(whose, m): of for m, of in arrays.items()}
    save_values(path, RunValues(values, recipes))


def save_values(path: Path, run: RunValues) -> None:
    """Write what `read_values` reads. Raises `CacheError`."""
    recipes, values = _by_whose(run.recipes), _by_whose(run.values)
    groups: dict[Whose, Any] = {}
    with writing_arrays(path) as file:
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


def _by_whose(found: Mapping[tuple[Whose, str], T]) -> dict[Whose, dict[str, T]]:
    """Group by whose it is, in the order of first appearance."""
    grouped: dict[Whose, dict[str, T]] = defaultdict(dict)
    for (whose, name), one in found.items():
        grouped[whose][name] = one
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
                    recipes |= {(whose, name): found for name, found in named.items()}
                    if label and "values" in part:
                        stacked = get_array(own_item(part, "values"))
                        names = get_array(own_item(part, "metrics")).tolist()
                        values |= {(whose, n): v for n, v in zip(names, stacked, strict=True)}
    except BAD_HDF5 as error:
        raise CacheError(f"cannot read {path}: {error}") from error
    return RunValues(values, recipes)


def write_protocols(path: Path, plan: Plan, records: Iterable[Record]) -> None:
    """Write what each protocol of the records is made of, so that two runs can be told apart."""
    asked = {stage.key: stage for c in plan.combinations for stage in _asked_of(c)}
    protocols: dict[str, dict[str, str]] = {}
    for record in records:
        if not record.protocol or record.protocol in protocols:
            continue
        content = (record.metric, record.metric_version, record.output)
        keys = [key for key, stage in asked.items() if protocol(stage, *content) == record.protocol]
        protocols[record.protocol] = {
            "asked": keys[0][:16] if keys else "",
            "metric": record.metric,
            "metric version": record.metric_version,
            "output": record.output,
        }
    described = {key[:16]: facts(stage) for key, stage in asked.items()}
    write_json(path, {"asked": described, "protocols": protocols})


def _asked_of(combination: Combination) -> tuple[Stage, Stage]:
    """The stages that say which images are asked about: some of the test images, or all."""
    return combination.cases, combination.data


def facts(stage: Stage) -> dict[str, Fact]:
    """All that the key of a stage is made of, each setting by its dotted name."""
    found: dict[str, Fact] = {}
    for needed in stage.inputs.values():
        found |= facts(needed)
    if stage.kind == "cases":  # of the data set, which is told already
        return found | _flat(stage.settings)
    kind = "dataset" if stage.kind == "data" else stage.kind
    about: dict[str, Any] = {"version": stage.version, **stage.settings}
    if stage.seed is not None:
        about["seed"] = stage.seed
    if stage.fingerprint:
        about["fingerprint"] = stage.fingerprint
    return found | {kind: stage.name} | _flat(about, f"{kind}.")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Fact]:
    """Nested settings by dotted names; lists become text."""
    found: dict[str, Fact] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            plain = value is None or isinstance(value, str | int | float)
            found[prefix + name] = value if plain else canonical(value)
    return found


def read_protocols(path: Path) -> dict[str, dict[str, Fact]]:
    """Read what `write_protocols` wrote: protocol -> what it consists of. Raises `CacheError`."""
    content = read_json(path)
    try:
        asked = content["asked"]
        return {
            name: {**asked.get(row["asked"], {}), **{k: v for k, v in row.items() if k != "asked"}}
            for name, row in content["protocols"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"cannot read {path}: it is not a list of protocols") from error
