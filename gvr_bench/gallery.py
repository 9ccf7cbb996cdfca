"""The cases a report shows: a dozen per combination, copied from the store into the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gvr_bench.api import Dataset
from gvr_bench.formats import get_array, put_array, read_arrays, read_json, writing_arrays
from gvr_bench.results import Outcome
from gvr_bench.stages import Combination, Plan, Stage
from gvr_bench.store import Store
from gvr_bench.types import Task

SHOWN = 12
BYTES = ("reconstruction", "counterfactual", "samples")  # images that are shown need no floats
SCALED = ("prediction", "prediction_after", "prediction_reencoded")  # shown in the unit
ONCE = ("reconstruction", "prediction", "asked")  # the model's own, the same for all explainers
OF_EXPLAINER = (
    "heat",
    "counterfactual",
    "found",
    "steps",
    "reason",
    "prediction_after",
    "prediction_reencoded",
)


def write_cases(path: Path, plan: Plan, store: Store, outcomes: Mapping[str, Outcome]) -> None:
    """Write one group per combination with inputs, explanations, samples and losses."""
    with writing_arrays(path) as file:
        for number, combination in enumerate(plan.combinations):
            group = file.create_group(str(number))
            Gallery(combination, store, outcomes).write(group)


class Gallery:
    """Copies what is shown of one combination."""

    def __init__(
        self, combination: Combination, store: Store, outcomes: Mapping[str, Outcome]
    ) -> None:
        self.combination = combination
        self.store = store
        self.outcomes = outcomes

    @property
    def task(self) -> Task:
        """What is predicted."""
        return cast(Dataset, self.combination.cases.component).task

    def write(self, group: Any) -> None:
        """Fill the combination's group with what there is."""
        c = self.combination
        task = self.task
        group.attrs.update(
            dataset=c.dataset,
            generator=c.generator,
            encoder=c.encoder,
            head=c.head,
            seed=c.seed,
            kind=task.kind,
            outputs=json.dumps(task.outputs),
            unit=task.unit,
            threshold=np.nan if task.threshold is None else task.threshold,
        )
        for kind, stage in (
            ("generator", c.generator_stage),
            ("encoder", c.encoder_stage),
            ("head", c.head_stage),
        ):
            if self.outcomes[stage.key].whole:
                self.write_history(group, kind, stage)
        if self.outcomes[c.generator_stage.key].whole:
            self.copy(group, c.generator_stage, "samples.h5", ("samples",), None)
        if self.outcomes[c.cases.key].whole:
            names = ("sample_id", "patient_id", "source", "target", "label", "mask")
            self.copy(group, c.cases, "cases.h5", names, SHOWN)
            self.write_truth(group)
        if self.outcomes[c.prediction.key].whole:
            part = group.create_group("test")
            for name, array in read_arrays(self.store.folder(c.prediction) / "test.h5").items():
                put_array(part, name, array)
        group.create_group("explainers", track_order=True)  # read in the order asked for
        for label, stage in c.explanations.items():
            self.write_explainer(group, label, stage)

    def copy(
        self, group: Any, stage: Stage, file: str, names: tuple[str, ...], count: int | None
    ) -> dict[str, NDArray[Any]]:
        """Copy the first `count` rows of those arrays that exist."""
        import h5py

        arrays = {}
        with h5py.File(self.store.folder(stage) / file, "r") as stored:
            for name in names:
                if name in stored:
                    array = get_array(stored[name])[:count]
                    if name in SCALED:
                        array = self.task.scale.invert(array)
                    if name in BYTES:
                        array = ((array + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
                    arrays[name] = array
                    put_array(group, name, array)
        return arrays

    def write_truth(self, group: Any) -> None:
        """Write the inputs, and how they differ from their true counterfactuals."""
        cases = read_arrays(self.store.folder(self.combination.cases) / "cases.h5")
        image = cases["image"][:SHOWN]
        group.attrs["total"] = len(cases["image"])
        put_array(group, "input", image)
        if "counterfactual" in cases:
            twin = cases["counterfactual"][:SHOWN].astype(np.float32)
            change = (image.astype(np.float32) - twin).mean(axis=1) / 127.5
            put_array(group, "true_change", change)

    def write_history(self, group: Any, kind: str, stage: Stage) -> None:
        """Write the losses of a training."""
        rows: list[dict[str, float]] = read_json(self.store.folder(stage) / "history.json")
        for name in rows[0] if rows else ():
            put_array(group, f"history/{kind}/{name}", np.array([row[name] for row in rows]))

    def write_explainer(self, group: Any, label: str, stage: Stage) -> None:
        """Write one explainer's part, or why there is none."""
        outcome = self.outcomes[stage.key]
        part = group.create_group("explainers/" + label.replace("/", "\u2215"))  # "/" would nest
        status = "ok" if outcome.whole else "n/a" if outcome.not_here else "failed"
        part.attrs.update(status=status, reason=outcome.reason)
        if not outcome.whole:
            return
        self.copy(part, stage, "explanations.h5", OF_EXPLAINER, SHOWN)
        if "reconstruction" not in group:
            self.copy(group, stage, "explanations.h5", ONCE, SHOWN)
