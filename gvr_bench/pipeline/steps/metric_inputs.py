"""What each group of metrics looks at, read from the cache."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.cache.hdf5 import count_rows, read_arrays
from gvr_bench.core.types import ExplanationTarget, Model
from gvr_bench.data.stored_images import StoredImages, to_float
from gvr_bench.metrics import Evidence
from gvr_bench.metrics.ground_truth import pixel_ap
from gvr_bench.pipeline.stage_context import StageContext, batched, cases_query, load_model
from gvr_bench.pipeline.steps.class_autoencoders import reconstruction_errors
from gvr_bench.pipeline.steps.oracle import Oracle, load_oracle
from gvr_bench.pipeline.steps.shards import Arrays

More = dict[str, Any]
NO_CASE = slice(0, 0)
AT_ONCE = 2**16  # latents, for memory
KEPT = "kept"  # arrays that are no evidence of a case's own
FEATURES, VERDICT = "features", "verdict:"


class Witness:
    """Reads what a group of metrics looks at, for some of the cases at a time."""

    def __init__(self, stage_ctx: StageContext, group: str) -> None:
        self.stage_ctx = stage_ctx
        self.group = group

    @functools.cached_property
    def model(self) -> Model:
        """The explained model."""
        return load_model(self.stage_ctx)

    @functools.cached_property
    def oracle(self) -> Oracle:
        """The independent judge."""
        return load_oracle(self.stage_ctx)

    @functools.cached_property
    def norm(self) -> float:
        """How long a latent usually is."""
        stage_ctx, name = self.stage_ctx, "train/z"
        n = count_rows(stage_ctx.file(stage_ctx.stage.input("latents"), "latents.h5"), name)
        parts = [slice(at, at + AT_ONCE) for at in range(0, n, AT_ONCE)]
        norms = (
            np.linalg.norm(stage_ctx.arrays("latents", name, rows=rows)[name], axis=1)
            for rows in parts
        )
        return float(np.median(np.concatenate(list(norms))))

    def of(self, rows: slice) -> tuple[Evidence, Arrays]:
        """Return what is known of these cases, and what is to be kept of it."""
        evidence = basic_evidence(self.stage_ctx, self.model, rows)
        more = MORE[self.group](self, evidence, rows) if self.group in MORE else {}
        kept = more.pop(KEPT, {})
        return dataclasses.replace(evidence, **more), kept

    def of_all(self, kept: Sequence[Arrays]) -> Evidence:
        """Return what is known beyond the cases, from what was kept of their parts."""
        evidence = basic_evidence(self.stage_ctx, self.model, NO_CASE)
        return dataclasses.replace(evidence, **BEYOND[self.group](self, kept))


def basic_evidence(stage_ctx: StageContext, model: Model, rows: slice) -> Evidence:
    """Read explanations, cases and the truth about them."""
    device, task = stage_ctx.ctx.device, stage_ctx.dataset().task
    made, cases = stage_ctx.arrays("explanations", rows=rows), stage_ctx.arrays("cases", rows=rows)
    target = cases_query(stage_ctx, task, cases["source_class"], cases["target_class"])
    image = to_float(torch.from_numpy(cases.pop("image")).to(device))
    twin = cases.pop("counterfactual", None)  # the true one
    fields = {field.name for field in dataclasses.fields(Evidence)}
    known: More = {
        name: torch.from_numpy(array).to(device)
        for name, array in (made | cases).items()
        if name in fields
    }
    if twin is not None:
        known["true_change"] = (image - to_float(torch.from_numpy(twin).to(device))).mean(dim=1)
    return Evidence(task=task, image=image, model=model, target=target, **known)


def of_truth(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """The true counterfactuals as the decoder can show them."""
    stage_ctx, model = witness.stage_ctx, witness.model
    if evidence.true_change is None:
        return {}
    pixels = stage_ctx.arrays("cases", "counterfactual", rows=rows)["counterfactual"]
    twin = to_float(torch.from_numpy(pixels).to(stage_ctx.ctx.device))
    return {
        "decoded_counterfactual": batched(
            lambda x: model.generator(model.encoder(x)), twin, stage_ctx.ctx
        )
    }


def of_proximity(witness: Witness, *_: object) -> More:
    """How long a latent usually is."""
    return {"norm": witness.norm}


def of_oracle(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """The oracle's word on each counterfactual, and what it makes of those that were asked for."""
    if evidence.counterfactual is None:
        return {}
    stage_ctx, oracle = witness.stage_ctx, witness.oracle
    cases = stage_ctx.arrays("cases", "source_class", "target_class", rows=rows)
    target = oracle.target(cases["source_class"], cases["target_class"])
    asked = stage_ctx.arrays("explanations", "predicts_source", rows=rows)["predicts_source"]
    before, after = oracle.outputs(evidence.image), oracle.outputs(evidence.counterfactual)
    told = verdicts(target, before) | verdicts(target, after, "_after")
    kept = {VERDICT + name: array for name, array in told.items()}
    if asked.any():
        made = evidence.counterfactual[torch.from_numpy(asked)]
        kept[FEATURES] = oracle.features(made).cpu().numpy()
    return {
        "oracle_sees": target.predicts_source(before),
        "oracle_reached_target": target.reached_target(after),
        "oracle_base_rate": target.reached_target(oracle.outputs(evidence.reconstruction)),
        KEPT: kept,
    }


def features_of_crowds(witness: Witness, kept: Sequence[Arrays]) -> More:
    """What the oracle makes of all counterfactuals, and of real images."""
    stage_ctx = witness.stage_ctx
    real = real_targets(
        stage_ctx, stage_ctx.arrays("cases", "target_class", "source_class", "patient_id")
    )
    made = [part[FEATURES] for part in kept if FEATURES in part]
    if not made or not len(real):
        return {}
    return {
        "features": torch.from_numpy(np.concatenate(made)).to(stage_ctx.ctx.device),
        "real_features": features_of(witness.oracle, stage_ctx.images("test"), real),
    }


def features_of(oracle: Oracle, images: StoredImages, index: Tensor) -> Tensor:
    """Describe stored images by position (n,), never holding all of them: (n, F)."""
    parts = torch.split(index, oracle.ctx.batch_size)
    return torch.cat([oracle.features(images[part]) for part in parts])


def verdicts(target: ExplanationTarget, outputs: Tensor, when: str = "") -> Arrays:
    """What the oracle says of each case's finding, and of the class it is to become: (N,) each."""
    activated = target.task.activate(outputs)
    columns = {"oracle": target.source_class}
    if target.task.kind == "multiclass":
        columns["oracle_target"] = target.target_class
    return {
        name + when: activated.gather(1, column[:, None])[:, 0].cpu().numpy()
        for name, column in columns.items()
    }


def real_targets(stage_ctx: StageContext, cases: Arrays) -> Tensor:
    """Positions of the test images of the target side, none of a patient that is explained."""
    task = stage_ctx.dataset().task
    targets, patients = stage_ctx.arrays("data", "test/targets", "test/patient_ids").values()
    positive = task.positives(targets)
    labelled = ~np.isnan(targets).any(axis=1)
    if task.kind == "multiclass":
        wanted = positive[:, np.unique(cases["target_class"])].any(axis=1)
    else:
        wanted = ~positive[:, np.unique(cases["source_class"])].any(axis=1)
    others = ~np.isin(patients, cases["patient_id"])
    return torch.from_numpy(np.flatnonzero(wanted & labelled & others))


def of_realism(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """How well autoencoders of either side know each counterfactual."""
    if evidence.counterfactual is None:
        return {}
    stage_ctx = witness.stage_ctx
    cases = stage_ctx.arrays("cases", "source_class", "target_class", rows=rows)
    errors = reconstruction_errors(
        stage_ctx, evidence.counterfactual, cases["source_class"], cases["target_class"]
    )
    return dict(zip(("target_error", "source_error"), errors, strict=True))


def of_probes(witness: Witness, _: Evidence, rows: slice) -> More:
    """The maps of the same cases with one thing changed."""
    stage_ctx = witness.stage_ctx
    again = {
        stage.settings["changed"]: read_arrays(
            stage_ctx.file(stage, "perturbed_explanations.h5"), "attribution", rows=rows
        )
        for stage in stage_ctx.stage.inputs.values()
        if stage.kind == "perturbed_explanations"
    }
    device = stage_ctx.ctx.device
    return {"again": {k: torch.from_numpy(v["attribution"]).to(device) for k, v in again.items()}}


def of_contamination(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """Ground-truth scores with the clean head, and with one fitted on the test images."""
    stage_ctx = witness.stage_ctx
    contaminated_stage = stage_ctx.stage.inputs.get("contaminated")
    if contaminated_stage is None or evidence.mask is None:
        return {}
    path = stage_ctx.file(contaminated_stage, "explanations.h5")
    spoilt = read_arrays(path, "attribution", "predicts_source", rows=rows)
    attribution = torch.from_numpy(spoilt["attribution"]).to(stage_ctx.ctx.device)
    contaminated = pixel_ap(dataclasses.replace(evidence, attribution=attribution))
    assert isinstance(contaminated, Tensor)
    contaminated[~torch.from_numpy(spoilt["predicts_source"])] = torch.nan
    return {"clean": pixel_ap(evidence), "contaminated": contaminated}


def of_repeatability(witness: Witness, _: Evidence, rows: slice) -> More:
    """The maps that another seed of the whole pipeline leads to."""
    stage_ctx = witness.stage_ctx
    path = stage_ctx.file(stage_ctx.stage.inputs["other_seed"], "explanations.h5")
    other = read_arrays(path, "attribution", rows=rows)
    attribution = torch.from_numpy(other["attribution"]).to(stage_ctx.ctx.device)
    return {"again": {"other_seed": attribution}}


def agreement_of_students(witness: Witness, *_: object) -> More:
    """How well students of the model agree with it, with maps and without."""
    stage_ctx = witness.stage_ctx
    taught, alone = (
        read_arrays(stage_ctx.file(stage_ctx.stage.inputs[name], "agreement.h5"))
        for name in ("student", "student_without_maps")
    )
    return {
        "agreement": by_images(taught, stage_ctx.ctx.device),
        "agreement_alone": by_images(alone, stage_ctx.ctx.device),
        "needed": torch.from_numpy(taught["needed"]).to(stage_ctx.ctx.device),
    }


def by_images(found: dict[str, NDArray[Any]], device: torch.device) -> dict[int, Tensor]:
    """Return the share of students that agree on each unseen image, by images learnt from."""
    share = torch.from_numpy(found["agreement"].mean(axis=0)).to(device)  # (K, M)
    return dict(zip(found["n"].tolist(), share, strict=True))


MORE: dict[str, Callable[[Witness, Evidence, slice], More]] = {
    "truth": of_truth,
    "proximity": of_proximity,
    "oracle": of_oracle,
    "realism": of_realism,
    "robustness": of_probes,
    "sanity": of_probes,
    "contamination": of_contamination,
    "repeatability": of_repeatability,
}
BEYOND: dict[str, Callable[[Witness, Sequence[Arrays]], More]] = {
    "oracle": features_of_crowds,
    "simulatability": agreement_of_students,
}
