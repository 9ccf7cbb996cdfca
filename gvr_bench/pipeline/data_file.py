"""What a report shows of the data sets of a run: counts, cautions, a contact sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.components import Dataset
from gvr_bench.core.stage import Stage
from gvr_bench.data.contact_sheet import SheetRow, choose_rows, draw_sheet
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.plan import Plan


def write_data(
    path: Path, plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
) -> None:
    """Write one entry per data set that was read."""
    entries: dict[str, dict[str, Any]] = {}
    for combination in plan.combinations:
        data, cases = combination.data, combination.cases
        if outcomes[data.key].succeeded:
            if data.key not in entries:
                entries[data.key] = _entry(data, combination.dataset, cache)
            entry = entries[data.key]
            if outcomes[cases.key].succeeded:
                found = _optional(cases, "cautions.json", cache) or []
                entry["cautions"] += [line for line in found if line not in entry["cautions"]]
    write_json(path, list(entries.values()))


def _entry(data: Stage, name: str, cache: ArtifactCache) -> dict[str, Any]:
    summary = _optional(data, "summary.json", cache) or {"counts": [], "cautions": []}
    return {"dataset": name, **summary, "sheet": _sheet(data, cache)}


def _optional(stage: Stage, name: str, cache: ArtifactCache) -> Any:
    """Read a file that a stage may have; None where it has none."""
    if not (cache.folder(stage) / name).is_file():
        return None
    return read_json(cache.file(stage, name))


def _sheet(data: Stage, cache: ArtifactCache) -> str:
    """Draw images of each class of the training split, as a PNG in base64."""
    import h5py

    task = cast(Dataset, data.component).task
    file = cache.file(data, "data.h5")
    targets = read_arrays(file, "train/targets")["train/targets"]
    with h5py.File(file, "r") as stored:
        images = stored["train/images"]
        rows = [SheetRow(title, images[at]) for title, _, at in choose_rows(task, targets)]
    if not rows:
        return ""
    png = io.BytesIO()
    draw_sheet(rows).save(png, "PNG", optimize=True)
    return base64.b64encode(png.getvalue()).decode()
