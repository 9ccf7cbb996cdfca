"""What each group of metrics looks at, read from the store."""

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
from gvr_bench.core.types import Model, Query
from gvr_bench.data.stored_images import StoredImages, to_float
from gvr_bench.metrics import Evidence
from gvr_bench.metrics.ground_truth import pixel_ap
from gvr_bench.pipeline.stage_context import Bench, batched, cases_query, load_model
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

    def __init__(self, bench: Bench, group: str) -> None:
        self.bench = bench
        self.group = group

    @functools.cached_property
    def model(self) -> Model:
        """The explained model."""
        return load_model(self.bench)

    @functools.cached_property
    def oracle(self) -> Oracle:
        """The independent judge."""
        return load_oracle(self.bench)

    @functools.cached_property
    def norm(self) -> float:
        """How long a latent usually is."""
        bench, name = self.bench, "train/z"
        n = count_rows(bench.file(bench.stage.input("latents"), "latents.h5"), name)
        parts = [slice(at, at + AT_ONCE) for at in range(0, n, AT_ONCE)]
        norms = (
            np.linalg.norm(bench.arrays("latents", name, rows=rows)[name], axis=1) for rows in parts
        )
        return float(np.median(np.concatenate(list(norms))))

    def of(self, rows: slice) -> tuple[Evidence, Arrays]:
        """Return what is known of these cases, and what is to be kept of it."""
        evidence = basic_evidence(self.bench, self.model, rows)
        more = MORE[self.group](self, evidence, rows) if self.group in MORE else {}
        kept = more.pop(KEPT, {})
        return dataclasses.replace(evidence, **more), kept

    def of_all(self, kept: Sequence[Arrays]) -> Evidence:
        """Return what is known beyond the cases, from what was kept of their parts."""
        evidence = basic_evidence(self.bench, self.model, NO_CASE)
        return dataclasses.replace(evidence, **BEYOND[self.group](self, kept))


def basic_evidence(bench: Bench, model: Model, rows: slice) -> Evidence:
    """Read explanations, cases and the truth about them."""
    device, task = bench.ctx.device, bench.dataset().task
    made, cases = bench.arrays("explanations", rows=rows), bench.arrays("cases", rows=rows)
    query = cases_query(bench, task, cases["source"], cases["target"])
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
    return Evidence(task=task, image=image, model=model, query=query, **known)


def of_truth(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """The true counterfactuals as the decoder can show them."""
    bench, model = witness.bench, witness.model
    if evidence.true_change is None:
        return {}
    pixels = bench.arrays("cases", "counterfactual", rows=rows)["counterfactual"]
    twin = to_float(torch.from_numpy(pixels).to(bench.ctx.device))
    return {"decoded_twin": batched(lambda x: model.generator(model.encoder(x)), twin, bench.ctx)}


def of_proximity(witness: Witness, *_: object) -> More:
    """How long a latent usually is."""
    return {"norm": witness.norm}


def of_oracle(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """The oracle's word on each counterfactual, and what it makes of those that were asked for."""
    if evidence.counterfactual is None:
        return {}
    bench, oracle = witness.bench, witness.oracle
    cases = bench.arrays("cases", "source", "target", rows=rows)
    query = oracle.query(cases["source"], cases["target"])
    asked = bench.arrays("explanations", "asked", rows=rows)["asked"]
    before, after = oracle.outputs(evidence.image), oracle.outputs(evidence.counterfactual)
    told = verdicts(query, before) | verdicts(query, after, "_after")
    kept = {VERDICT + name: array for name, array in told.items()}
    if asked.any():
        made = evidence.counterfactual[torch.from_numpy(asked)]
        kept[FEATURES] = oracle.features(made).cpu().numpy()
    return {
        "oracle_sees": query.asked(before),
        "oracle_flipped": query.flipped(after),
        "oracle_base": query.flipped(oracle.outputs(evidence.reconstruction)),
        KEPT: kept,
    }


def features_of_crowds(witness: Witness, kept: Sequence[Arrays]) -> More:
    """What the oracle makes of all counterfactuals, and of real images."""
    bench = witness.bench
    real = real_targets(bench, bench.arrays("cases", "target", "source", "patient_id"))
    made = [part[FEATURES] for part in kept if FEATURES in part]
    if not made or not len(real):
        return {}
    return {
        "features": torch.from_numpy(np.concatenate(made)).to(bench.ctx.device),
        "real_features": features_of(witness.oracle, bench.images("test"), real),
    }


def features_of(oracle: Oracle, images: StoredImages, index: Tensor) -> Tensor:
    """Describe stored images by position (n,), never holding all of them: (n, F)."""
    parts = torch.split(index, oracle.ctx.batch_size)
    return torch.cat([oracle.features(images[part]) for part in parts])


def verdicts(query: Query, outputs: Tensor, when: str = "") -> Arrays:
    """What the oracle says of each case's finding, and of the class it is to become: (N,) each."""
    activated = query.activate(outputs)
    columns = {"oracle": query.source}
    if query.task.kind == "multiclass":
        columns["oracle_target"] = query.target
    return {
        name + when: activated.gather(1, column[:, None])[:, 0].cpu().numpy()
        for name, column in columns.items()
    }


def real_targets(bench: Bench, cases: Arrays) -> Tensor:
    """Positions of the test images of the target side, none of a patient that is explained."""
    task = bench.dataset().task
    targets, patients = bench.arrays("data", "test/targets", "test/patient_ids").values()
    positive = task.positives(targets)
    labelled = ~np.isnan(targets).any(axis=1)
    if task.kind == "multiclass":
        wanted = positive[:, np.unique(cases["target"])].any(axis=1)
    else:
        wanted = ~positive[:, np.unique(cases["source"])].any(axis=1)
    others = ~np.isin(patients, cases["patient_id"])
    return torch.from_numpy(np.flatnonzero(wanted & labelled & others))


def of_realism(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """How well autoencoders of either side know each counterfactual."""
    if evidence.counterfactual is None:
        return {}
    bench = witness.bench
    cases = bench.arrays("cases", "source", "target", rows=rows)
    errors = reconstruction_errors(bench, evidence.counterfactual, cases["source"], cases["target"])
    return dict(zip(("target_error", "source_error"), errors, strict=True))


def of_probes(witness: Witness, _: Evidence, rows: slice) -> More:
    """The maps of the same cases with one thing changed."""
    bench = witness.bench
    again = {
        stage.settings["changed"]: read_arrays(bench.file(stage, "probe.h5"), "heat", rows=rows)
        for stage in bench.stage.inputs
        if stage.kind == "probe"
    }
    device = bench.ctx.device
    return {"again": {k: torch.from_numpy(v["heat"]).to(device) for k, v in again.items()}}


def of_contamination(witness: Witness, evidence: Evidence, rows: slice) -> More:
    """Ground-truth scores with the clean head, and with one fitted on the test images."""
    bench = witness.bench
    if len(bench.stage.inputs) < 3 or evidence.mask is None:
        return {}
    path = bench.file(bench.stage.inputs[2], "explanations.h5")
    spoilt = read_arrays(path, "heat", "asked", rows=rows)
    heat = torch.from_numpy(spoilt["heat"]).to(bench.ctx.device)
    contaminated = pixel_ap(dataclasses.replace(evidence, heat=heat))
    assert isinstance(contaminated, Tensor)
    contaminated[~torch.from_numpy(spoilt["asked"])] = torch.nan
    return {"clean": pixel_ap(evidence), "contaminated": contaminated}


def of_repeatability(witness: Witness, _: Evidence, rows: slice) -> More:
    """The maps that another seed of the whole pipeline leads to."""
    bench = witness.bench
    path = bench.file(bench.stage.inputs[2], "explanations.h5")
    other = read_arrays(path, "heat", rows=rows)
    heat = torch.from_numpy(other["heat"]).to(bench.ctx.device)
    return {"again": {"other_seed": heat}}


def agreement_of_students(witness: Witness, *_: object) -> More:
    """How well students of the model agree with it, with maps and without."""
    bench = witness.bench
    taught, alone = (
        read_arrays(bench.file(stage, "agreement.h5")) for stage in bench.stage.inputs[2:]
    )
    return {
        "agreement": by_images(taught, bench.ctx.device),
        "agreement_alone": by_images(alone, bench.ctx.device),
        "needed": torch.from_numpy(taught["needed"]).to(bench.ctx.device),
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
    "usefulness": agreement_of_students,
}
