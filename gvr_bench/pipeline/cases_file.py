"""What a report shows of each model: cases, samples, losses; copied from the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import SLASH, get_array, put_array, read_arrays, writing_arrays
from gvr_bench.cache.serialization import read_json
from gvr_bench.core.components import Dataset, Encoder
from gvr_bench.core.interrupts import uninterrupted
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import Task
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.pipeline.steps.explanations import MAX_SHOWN

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


def write_cases(
    path: Path, plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
) -> None:
    """Write one group per combination with inputs, explanations, samples and losses."""
    with uninterrupted(), writing_arrays(path) as file:
        for number, combination in enumerate(plan.combinations):
            group = file.create_group(str(number))
            Gallery(combination, cache, outcomes).write(group)


def described(c: Combination, task: Task) -> dict[str, Any]:
    """Return the attributes that say what model a group is of, and what it predicts."""
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


class Gallery:
    """Copies what is shown of one combination."""

    def __init__(
        self, combination: Combination, cache: ArtifactCache, outcomes: Mapping[str, Outcome]
    ) -> None:
        self.combination = combination
        self.cache = cache
        self.outcomes = outcomes

    @property
    def task(self) -> Task:
        """What is predicted."""
        return cast(Dataset, self.combination.cases.component).task

    def write(self, group: Any) -> None:
        """Fill the combination's group with what there is."""
        c = self.combination
        task = self.task
        group.attrs.update(described(c, task))
        for kind, stage in (
            ("generator", c.generator_stage),
            ("encoder", c.encoder_stage),
            ("head", c.head_stage),
        ):
            if stage is not None and self.outcomes[stage.key].succeeded:
                self.write_history(group, kind, stage)
        if c.generator_stage is not None and self.outcomes[c.generator_stage.key].succeeded:
            self.copy(group, c.generator_stage, "samples.h5", ("samples",), None)
        if self.outcomes[c.cases.key].succeeded:
            names = ("sample_id", "patient_id", "source_class", "target_class", "label", "mask")
            self.copy(group, c.cases, "cases.h5", names, MAX_SHOWN)
            self.write_truth(group)
        if self.outcomes[c.prediction.key].succeeded:
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
        if self.outcomes[c.head_stage.key].succeeded:
            decision = read_json(self.cache.file(c.head_stage, "decision.json"))
            yield f"Decision threshold: {in_words(decision, self.task)}."
        if c.encoder_stage is not None and c.head_stage.inputs.get("latents") is c.latents:
            supervised = cast(Encoder, c.encoder_stage.component).supervised
            yield f"The encoder was trained {'with' if supervised else 'without'} labels."
        for label, stage in c.explanations.items():
            if self.outcomes[stage.key].succeeded:
                with self.open(stage, "explanations.h5") as arrays:
                    if "note" in arrays:
                        yield f"{label}: {get_array(arrays['note'])[0]}."

    def copy(
        self, group: Any, stage: Stage, file: str, names: tuple[str, ...], count: int | None
    ) -> None:
        """Copy the first `count` rows of those arrays that exist."""
        if not (self.cache.folder(stage) / file).is_file():
            return
        with self.open(stage, file) as stored:
            for name in names:
                if name in stored:
                    array = get_array(stored[name])[:count]
                    if name in SCALED:
                        array = self.task.scale.invert(array)
                    if name in BYTES:
                        array = to_eight_bits(array)
                    put_array(group, name, array)

    def open(self, stage: Stage, file: str) -> Any:
        """Open a file of the cache for reading."""
        import h5py

        return h5py.File(self.cache.file(stage, file), "r")

    def write_truth(self, group: Any) -> None:
        """Write the inputs, and how they differ from their true counterfactuals."""
        cases = read_arrays(self.cache.file(self.combination.cases, "cases.h5"))
        image = cases["image"][:MAX_SHOWN]
        group.attrs["total"] = len(cases["image"])
        put_array(group, "input", image)
        if "counterfactual" in cases:
            true_counterfactual = cases["counterfactual"][:MAX_SHOWN].astype(np.float32)
            change = (image.astype(np.float32) - true_counterfactual).mean(axis=1) / 127.5
            put_array(group, "true_change", change)

    def write_history(self, group: Any, kind: str, stage: Stage) -> None:
        """Write the losses of a training."""
        rows: list[dict[str, float]] = read_json(self.cache.file(stage, "history.json"))
        for name in rows[0] if rows else ():
            put_array(group, f"history/{kind}/{name}", np.array([row[name] for row in rows]))

    def write_explainer(self, group: Any, label: str, stage: Stage) -> None:
        """Write one explainer's part, or why there is none."""
        outcome = self.outcomes[stage.key]
        part = group.create_group("explainers/" + label.replace("/", SLASH))
        part.attrs.update(role=stage.role or "", status=outcome.result, reason=outcome.reason)
        if not outcome.succeeded:
            return
        self.copy(part, stage, "explanations.h5", OF_EXPLAINER, MAX_SHOWN)
        self.copy(
            part, stage, "trajectories.h5", ("trajectory", "trajectory_prediction"), MAX_SHOWN
        )
        for name in ONCE:
            if name not in group:
                self.copy(group, stage, "explanations.h5", (name,), MAX_SHOWN)
        by_oracle = self.combination.scores.get(label, {}).get("oracle")
        if by_oracle is not None and self.outcomes[by_oracle.key].succeeded:
            self.copy(part, by_oracle, "columns.h5", ORACLE_AFTER, MAX_SHOWN)
            if "oracle" not in group:
                self.copy(group, by_oracle, "columns.h5", ORACLE, MAX_SHOWN)
