"""Writes the folder of a run: records, and what a report shows of its models and data sets."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard, cast

import numpy as np

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import (
    SLASH,
    count_rows,
    has_array,
    put_array,
    read_arrays,
    writing_arrays,
)
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.config.spec import write_spec
from gvr_bench.core.components import Dataset, Encoder
from gvr_bench.core.interrupts import uninterrupted
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import Task
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.data.summary import SheetRow, choose_rows, draw_sheet
from gvr_bench.metrics.faithfulness import CURVES
from gvr_bench.pipeline.collect import Outcome, collect
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.pipeline.steps.explanations import MAX_SHOWN, TRAJECTORY
from gvr_bench.results.records import CASES, DATA, Record, rerun_command
from gvr_bench.results.run_folder import write_run_folder

BYTES = ("reconstruction", "counterfactual", "samples")  # images that are shown need no floats
ORACLE = ("oracle", "oracle_target")  # what it says of the image, the same for all explainers
ORACLE_AFTER = ("oracle_after", "oracle_target_after")
SCALED = (  # shown in the unit
    "prediction",
    "prediction_after",
    "prediction_reencoded",
    "trajectory_prediction",
    *ORACLE,
    *ORACLE_AFTER,
)
ONCE = ("reconstruction", "prediction", "predicts_source")  # the same for all explainers
OF_EXPLAINER = (
    "attribution",
    "counterfactual",
    "residual",
    "success",
    "steps",
    "reason",
    "prediction_after",
    "prediction_reencoded",
)


def write_run(
    out: Path,
    plan: Plan,
    cache: ArtifactCache,
    outcomes: Mapping[str, Outcome],
    options: RunOptions,
    began: float,
    command: str,
) -> list[Record]:
    results = collect(plan, cache, outcomes, str(options.device))
    stages = [
        {"kind": s.kind, "name": s.name, "part": s.part, "key": s.key, **asdict(outcomes[s.key])}
        for s in plan.stages
    ]
    environment = {
        **versions(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "device": str(options.device),
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "command": command or rerun_command(out),
        "records": len(results.records),
        "stages": stages,
    }
    write_cases(out / CASES, plan, cache, outcomes)
    write_data(out / DATA, plan, cache, outcomes)
    spec, records = write_spec(plan.spec), results.records
    write_run_folder(out, spec, environment, results.values, results.protocols, records)
    return records


def write_cases(
    path: Path, plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
) -> None:
    """Write one group per combination with inputs, explanations, samples and losses."""
    with uninterrupted(), writing_arrays(path) as file:
        for number, combination in enumerate(plan.combinations):
            group = file.create_group(str(number))
            Gallery(combination, cache, outcomes).write(group)


def described(c: Combination, task: Task) -> dict[str, Any]:
    return {
        "dataset": c.dataset,
        "generator": c.generator,
        "encoder": c.encoder,
        "head": c.head,
        "seed": c.seed,
        "kind": task.kind,
        "outputs": json.dumps(task.outputs),
        "unit": task.unit,
        "threshold": np.nan if task.threshold is None else task.threshold,
    }


def in_words(decision: Mapping[str, Any], task: Task) -> str:
    """Say from which prediction an output counts as predicted, and where that comes from."""
    if task.kind == "multiclass":
        return str(decision["threshold_source"])
    limits = task.scale.invert(np.asarray(decision["threshold"]))
    named = len(limits) > 1 or task.kind == "regression"
    texts = [
        f"{name} {limit:.3g} {task.unit}".strip() if named else f"{limit:.3g}"
        for name, limit in zip(task.outputs, limits, strict=True)
    ]
    return f"{', '.join(texts)} ({decision['threshold_source']})"


@dataclass(frozen=True)
class Gallery:
    """Copies what is shown of one combination."""

    combination: Combination
    cache: ArtifactCache
    outcomes: Mapping[str, Outcome]

    @property
    def task(self) -> Task:
        return cast(Dataset, self.combination.cases.component).task

    def has(self, stage: Stage | None) -> TypeGuard[Stage]:
        return stage is not None and self.outcomes[stage.key].succeeded

    def write(self, group: Any) -> None:
        c = self.combination
        group.attrs.update(described(c, self.task))
        for stage in (c.generator_stage, c.encoder_stage, c.head_stage):
            if self.has(stage):
                rows: list[dict[str, float]] = read_json(self.cache.file(stage, "history.json"))
                for name in rows[0] if rows else ():
                    losses = np.array([row[name] for row in rows])
                    put_array(group, f"history/{stage.kind}/{name}", losses)
        if self.has(c.generator_stage):
            self.copy(group, c.generator_stage, "samples.h5", ("samples",), None)
        if self.has(c.cases):
            names = ("sample_id", "patient_id", "source_class", "target_class", "label", "mask")
            self.copy(group, c.cases, "cases.h5", names)
            self.write_truth(group)
        if self.has(c.prediction):
            part = group.create_group("test")
            for name, array in read_arrays(self.cache.file(c.prediction, "test.h5")).items():
                put_array(part, name, array)
        group.create_group("explainers", track_order=True)  # read in the order of the spec
        for label, stage in c.explanations.items():
            self.write_explainer(group, label, stage)
        group.attrs["notes"] = json.dumps(list(self.notes()))

    def notes(self) -> Iterator[str]:
        """Say what a reader must know of the model and of how explainers look into it."""
        c = self.combination
        if self.has(c.head_stage):
            decision = read_json(self.cache.file(c.head_stage, "decision.json"))
            yield f"Decision threshold: {in_words(decision, self.task)}."
        if c.encoder_stage is not None and self.has(
            generator := c.encoder_stage.input("generator")
        ):
            note = self.cache.meta(generator).get("note")  # which old values lack
            yield from [f"{note}."] if note else []
        if c.encoder_stage is not None and c.head_stage.inputs.get("latents") is c.latents:
            supervised = cast(Encoder, c.encoder_stage.component).supervised
            yield f"The encoder was trained {'with' if supervised else 'without'} labels."
        explainers: dict[str, list[str]] = {}  # by their note
        for label, stage in c.explanations.items():
            if self.has(stage):
                path = self.cache.file(stage, "explanations.h5")
                if has_array(path, "note"):
                    note = str(read_arrays(path, "note")["note"][0])
                    explainers.setdefault(note, []).append(label)
        yield from (f"{', '.join(labels)}: {note}." for note, labels in explainers.items())

    def copy(
        self,
        group: Any,
        stage: Stage,
        file: str,
        names: Sequence[str],
        count: int | None = MAX_SHOWN,
    ) -> None:
        """Copy the first `count` rows of those arrays that exist."""
        if not (self.cache.folder(stage) / file).is_file():
            return
        path = self.cache.file(stage, file)
        for name in names:
            if has_array(path, name):
                array = read_arrays(path, name, rows=slice(count))[name]
                if name in SCALED:
                    array = self.task.scale.invert(array)
                put_array(group, name, to_eight_bits(array) if name in BYTES else array)

    def write_truth(self, group: Any) -> None:
        """Write the inputs, and how they differ from their true counterfactuals."""
        path = self.cache.file(self.combination.cases, "cases.h5")
        group.attrs["total"] = count_rows(path, "image")
        image = read_arrays(path, "image", rows=slice(MAX_SHOWN))["image"]
        put_array(group, "input", image)
        if has_array(path, "counterfactual"):
            (truth,) = read_arrays(path, "counterfactual", rows=slice(MAX_SHOWN)).values()
            change = (image.astype(np.float32) - truth.astype(np.float32)).mean(axis=1) / 127.5
            put_array(group, "true_change", change)

    def write_explainer(self, group: Any, label: str, stage: Stage) -> None:
        """Write one explainer's part, or why there is none."""
        outcome = self.outcomes[stage.key]
        part = group.create_group("explainers/" + label.replace("/", SLASH))
        part.attrs.update(role=stage.role or "", status=outcome.result, reason=outcome.reason)
        if not outcome.succeeded:
            return
        self.copy(part, stage, "explanations.h5", OF_EXPLAINER)
        self.copy(part, stage, "trajectories.h5", TRAJECTORY)
        self.copy(group, stage, "explanations.h5", [name for name in ONCE if name not in group])
        scores = self.combination.scores.get(label, {})
        if self.has(curves := scores.get("faithfulness")):
            self.copy(part, curves, "columns.h5", CURVES)
        if self.has(by_oracle := scores.get("oracle")):
            self.copy(part, by_oracle, "columns.h5", ORACLE_AFTER)
            self.copy(group, by_oracle, "columns.h5", [n for n in ORACLE if n not in group])


def write_data(
    path: Path, plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
) -> None:
    """Write one entry per data set that was read: counts, cautions, a contact sheet."""
    entries: dict[str, dict[str, Any]] = {}

    def optional(stage: Stage, name: str, default: Any) -> Any:
        exists = (cache.folder(stage) / name).is_file()
        return read_json(cache.file(stage, name)) if exists else default

    for combination in plan.combinations:
        data, cases = combination.data, combination.cases
        if outcomes[data.key].succeeded:
            if data.key not in entries:
                summary = optional(data, "summary.json", {"counts": [], "cautions": []})
                sheet = draw_contact_sheet(data, cache)
                entries[data.key] = {"dataset": combination.dataset, **summary, "sheet": sheet}
            known = entries[data.key]["cautions"]
            if outcomes[cases.key].succeeded:
                lines = optional(cases, "cautions.json", [])
                known += [line for line in lines if line not in known]
    write_json(path, list(entries.values()))


def draw_contact_sheet(data: Stage, cache: ArtifactCache) -> str:
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
