"""What the input of a group of metrics is built from, read from the cache."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.cache.hdf5 import ALL, count_rows, has_array, read_arrays
from gvr_bench.core.explainer import CompletenessBaseline, Explainer
from gvr_bench.core.metric import Metric
from gvr_bench.core.types import Bools, ExplanationTarget, Ints, Model, Task
from gvr_bench.data.stored_images import to_float
from gvr_bench.metrics import GROUPS, Group
from gvr_bench.pipeline.stage_context import (
    StageContext,
    batched,
    load_model,
    read_targets,
    seeded_by,
    with_reference,
)
from gvr_bench.pipeline.steps.class_autoencoders import reconstruction_errors
from gvr_bench.pipeline.steps.explanations import explain
from gvr_bench.pipeline.steps.oracle import Oracle, load_oracle
from gvr_bench.registry.metric_plugins import group_of

BATCH_LATENTS = 2**16  # read in one batch, to bound memory
FILES = {"student": "agreement.h5"}  # other kinds of stage have their arrays in KIND.h5
OPTIONAL = {
    "explanations": {
        "alternatives", "counterfactual", "latent", "memory", "reconstruction", "residual", "start",
        "steps",
    },
    "cases": {"mask", "distractor", "counterfactual", "structure_mask"},
    "structure_effects": {"effect"},
}  # fmt: skip


class Networks:
    """What a stage of scores loads once for all of its cases."""

    def __init__(self, stage_ctx: StageContext) -> None:
        self.stage_ctx = stage_ctx

    @functools.cached_property
    def model(self) -> Model:
        return load_model(self.stage_ctx)

    def explain(self, images: Tensor, target: ExplanationTarget) -> Tensor:
        """Explain a batch as the stage of the explanations does: attribution (N, H, W)."""
        explainer = cast(Explainer, self.explaining.stage.component)
        with torch.enable_grad():  # a library may have switched gradients off
            explanation = explain(explainer, self.model, images, target, self.explaining)
        return explanation.attribution.detach()

    @functools.cached_property
    def explaining(self) -> StageContext:
        stage = self.stage_ctx.stage.inputs["explanations"]
        own = seeded_by(self.stage_ctx, stage)
        explaining = dataclasses.replace(self.stage_ctx, stage=stage, ctx=own)
        return with_reference(explaining, cast(Explainer, stage.component), self.model)

    @functools.cached_property
    def oracle(self) -> Oracle:
        return load_oracle(self.stage_ctx)

    @functools.cached_property
    def latent_norm(self) -> float:
        """The median length of the latents of the training images."""
        stage_ctx, name = self.stage_ctx, "train/z"
        n = count_rows(stage_ctx.file(stage_ctx.stage.input("latents"), "latents.h5"), name)
        norms = [
            np.linalg.norm(stage_ctx.arrays("latents", name, rows=rows)[name], axis=1)
            for rows in (slice(at, at + BATCH_LATENTS) for at in range(0, n, BATCH_LATENTS))
        ]
        return float(np.median(np.concatenate(norms)))


@dataclass(frozen=True)
class CaseSource:
    """Some of the cases of a stage of scores; a `gvr_bench.metrics.base.Source`."""

    stage_ctx: StageContext
    networks: Networks
    rows: slice = field(default_factory=lambda: ALL)  # slices count as mutable in Python 3.11
    among: Bools | None = None  # which of the rows; all where there is no choice
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    @functools.cached_property
    def group(self) -> Group:
        name, metric = self.stage_ctx.stage.settings["group"], self.stage_ctx.stage.component
        if isinstance(metric, Metric):
            return group_of(name, metric)
        return next(group for group in GROUPS if group.name == name)

    @property
    def task(self) -> Task:
        return self.stage_ctx.dataset().task

    @property
    def model(self) -> Model:
        return self.networks.model

    @property
    def classes(self) -> tuple[Ints, Ints]:
        cases = self.stage_ctx.arrays("cases", "source_class", "target_class", rows=self.rows)
        return self.choice(cases["source_class"]), self.choice(cases["target_class"])

    @property
    def target(self) -> ExplanationTarget:
        return read_targets(self.stage_ctx, self.task, *self.classes)

    @property
    def image(self) -> Tensor:
        return to_float(self.read("cases", "image"))

    @property
    def base(self) -> Tensor:
        """What counterfactuals change: reconstructions, or the images themselves."""
        decoded = self.read_optional("explanations", "reconstruction")
        residual = self.read_optional("explanations", "residual") is not None
        return self.image if decoded is None or residual else decoded

    @property
    def true_counterfactual(self) -> Tensor | None:
        """The ground truth, None where the data set has none."""
        pixels = self.read_optional("cases", "counterfactual")
        return None if pixels is None else to_float(pixels)

    @property
    def explainer(self) -> Explainer:
        return cast(Explainer, self.stage_ctx.stage.inputs["explanations"].component)

    @property
    def maps_show_change(self) -> bool:
        """Whether the explainer's maps have the sign of a change, not that of evidence."""
        return self.explainer.maps_show_change

    @property
    def completeness_baseline(self) -> CompletenessBaseline:
        """What the explainer's maps claim to explain the difference to."""
        return self.explainer.completeness_baseline

    @property
    def patients(self) -> Tensor:
        patients = self.stage_ctx.arrays("cases", "patient_id")["patient_id"]
        number = np.unique(patients, return_inverse=True)[1]
        return torch.from_numpy(self.choice(number[self.rows])).to(self.stage_ctx.ctx.device)

    def explain(self, images: Tensor, index: Tensor) -> Tensor:
        """Explain images in place of the cases at `index`, with the same random numbers."""
        size, target = self.stage_ctx.ctx.batch_size, self.target[index]
        rows = [slice(start, start + size) for start in range(0, len(images), size)]
        return torch.cat([self.networks.explain(images[part], target[part]) for part in rows])

    def part(self, rows: slice, among: Bools | None = None) -> CaseSource:
        return dataclasses.replace(self, rows=rows, among=among)

    def choice(self, of_rows: NDArray[Any]) -> NDArray[Any]:
        """Return those of an array's rows (N, ...) that are among the chosen ones."""
        return of_rows if self.among is None else of_rows[self.among]

    def has(self, stage: str) -> bool:
        return stage in self.stage_ctx.stage.inputs

    def read(self, stage: str, column: str) -> Tensor:
        """Read a column of a stage. Raises `CacheError` where it is missing."""
        arrays = read_arrays(self.path(stage), column, rows=self.rows)
        return torch.from_numpy(self.choice(arrays[column])).to(self.stage_ctx.ctx.device)

    def read_optional(self, stage: str, column: str) -> Tensor | None:
        if column not in OPTIONAL[stage]:
            raise LookupError(f"'{column}' is no optional column of {stage}")
        return self.read(stage, column) if has_array(self.path(stage), column) else None

    def path(self, stage: str) -> Path:
        """Return the file with the arrays of a stage. Raises `CorruptStageError`."""
        value = self.stage_ctx.stage.inputs[stage]
        return self.stage_ctx.file(value, FILES.get(value.kind, f"{value.kind}.h5"))

    def decode(self, images: Tensor) -> Tensor:
        """Encode and decode images; without a decoder they stay as they are."""
        model = self.model
        if not model.has_decoder:
            return images
        return batched(lambda x: model.generator(model.encoder(x)), images, self.stage_ctx.ctx)

    @property
    def latent_norm(self) -> float:
        return self.networks.latent_norm

    @property
    def oracle(self) -> Oracle:
        return self.networks.oracle

    @property
    def oracle_target(self) -> ExplanationTarget:
        """What is explained of each case, by the oracle's own thresholds."""
        return self.oracle.target(*self.classes)

    def real_features(self) -> Tensor:
        """The oracle's features of real images, never holding all of these; (0, 0) without any."""
        images, oracle = self.stage_ctx.images("test"), self.oracle
        parts = torch.split(real_targets(self.stage_ctx), oracle.ctx.batch_size)
        features = [oracle.features(images[part]) for part in parts if len(part)]
        return torch.cat(features) if features else torch.empty(0, 0)

    def class_errors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors of the autoencoders of the target side and of the source side."""
        return reconstruction_errors(self.stage_ctx, images, *self.classes)


def real_targets(stage_ctx: StageContext) -> Tensor:
    """Positions of the test images of the target side, none of a patient that is explained."""
    cases = stage_ctx.arrays("cases", "target_class", "source_class", "patient_id")
    task = stage_ctx.dataset().task
    targets, patients = stage_ctx.arrays("data", "test/targets", "test/patient_ids").values()
    positive = task.positives(targets)
    labelled = ~np.isnan(targets).any(axis=1)
    if task.kind == "multiclass":
        on_target_side = positive[:, np.unique(cases["target_class"])].any(axis=1)
    else:
        on_target_side = ~positive[:, np.unique(cases["source_class"])].any(axis=1)
    others = ~np.isin(patients, cases["patient_id"])
    return torch.from_numpy(np.flatnonzero(on_target_side & labelled & others))
