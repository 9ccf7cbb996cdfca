"""What each group of metrics looks at, read from the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.arrays import read_arrays, write_arrays
from gvr_bench.compute.bench import Bench, batched, cases_query, load_model
from gvr_bench.compute.judges import reconstruction_errors
from gvr_bench.compute.oracle import Oracle, load_oracle
from gvr_bench.images import StoredImages, to_float
from gvr_bench.metrics import Evidence
from gvr_bench.metrics.truth import pixel_ap
from gvr_bench.types import Query

More = dict[str, Any]


def gather_evidence(bench: Bench, group: str) -> tuple[Evidence, NDArray[np.bool_]]:
    """Read what a group of metrics looks at, and which cases were asked."""
    evidence, asked = basic_evidence(bench)
    more = MORE[group](bench, evidence) if group in MORE else {}
    return dataclasses.replace(evidence, **more), asked


def basic_evidence(bench: Bench) -> tuple[Evidence, NDArray[np.bool_]]:
    """Read explanations, cases and the truth about them."""
    device, task = bench.ctx.device, bench.dataset().task
    made, cases = bench.arrays("explanations"), bench.arrays("cases")
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
    evidence = Evidence(task=task, image=image, model=load_model(bench), query=query, **known)
    return evidence, made["asked"]


def of_truth(bench: Bench, evidence: Evidence) -> More:
    """The true counterfactuals as the decoder can show them."""
    model = evidence.model
    if evidence.true_change is None or model is None:
        return {}
    pixels = bench.arrays("cases", "counterfactual")["counterfactual"]
    twin = to_float(torch.from_numpy(pixels).to(bench.ctx.device))
    return {"decoded_twin": batched(lambda x: model.generator(model.encoder(x)), twin, bench.ctx)}


def of_proximity(bench: Bench, _: Evidence) -> More:
    """How long a latent usually is."""
    z = bench.arrays("latents", "train/z")["train/z"]
    return {"norm": float(np.median(np.linalg.norm(z, axis=1)))}


def of_oracle(bench: Bench, evidence: Evidence) -> More:
    """The oracle's word on each counterfactual, and what it makes of real images."""
    if evidence.counterfactual is None:
        return {}
    oracle = load_oracle(bench)
    cases = bench.arrays("cases", "source", "target", "patient_id")
    query = oracle.query(cases["source"], cases["target"])
    images = bench.images("test")
    real = real_targets(bench, cases)
    asked = bench.arrays("explanations", "asked")["asked"]
    made = evidence.counterfactual[torch.from_numpy(asked)]
    known = len(made) and len(real)
    before, after = oracle.outputs(evidence.image), oracle.outputs(evidence.counterfactual)
    told = verdicts(query, before) | verdicts(query, after, "_after")
    write_arrays(bench.out("verdicts.h5"), told)
    return {
        "oracle_sees": query.asked(before),
        "oracle_flipped": query.flipped(after),
        "oracle_base": query.flipped(oracle.outputs(evidence.reconstruction)),
        "features": oracle.features(made) if known else None,
        "real_features": features_of(oracle, images, real) if known else None,
    }


def features_of(oracle: Oracle, images: StoredImages, index: Tensor) -> Tensor:
    """Describe stored images by position (n,), never holding all of them: (n, F)."""
    parts = torch.split(index, oracle.ctx.batch_size)
    return torch.cat([oracle.features(images[part]) for part in parts])


def verdicts(query: Query, outputs: Tensor, when: str = "") -> dict[str, NDArray[Any]]:
    """What the oracle says of each case's finding, and of the class it is to become: (N,) each."""
    activated = query.activate(outputs)
    columns = {"oracle": query.source}
    if query.task.kind == "multiclass":
        columns["oracle_target"] = query.target
    return {
        name + when: activated.gather(1, column[:, None])[:, 0].cpu().numpy()
        for name, column in columns.items()
    }


def real_targets(bench: Bench, cases: dict[str, NDArray[Any]]) -> Tensor:
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


def of_realism(bench: Bench, evidence: Evidence) -> More:
    """How well autoencoders of either side know each counterfactual."""
    if evidence.counterfactual is None:
        return {}
    cases = bench.arrays("cases", "source", "target")
    errors = reconstruction_errors(bench, evidence.counterfactual, cases["source"], cases["target"])
    return dict(zip(("target_error", "source_error"), errors, strict=True))


def of_probes(bench: Bench, _: Evidence) -> More:
    """The maps of the same cases with one thing changed."""
    again = {
        stage.settings["changed"]: read_arrays(bench.file(stage, "probe.h5"), "heat")["heat"]
        for stage in bench.stage.inputs
        if stage.kind == "probe"
    }
    return {"again": {k: torch.from_numpy(v).to(bench.ctx.device) for k, v in again.items()}}


def of_contamination(bench: Bench, evidence: Evidence) -> More:
    """Ground-truth scores with the clean head, and with one fitted on the test images."""
    if len(bench.stage.inputs) < 3 or evidence.mask is None:
        return {}
    spoilt = read_arrays(bench.file(bench.stage.inputs[2], "explanations.h5"), "heat", "asked")
    heat = torch.from_numpy(spoilt["heat"]).to(bench.ctx.device)
    contaminated = pixel_ap(dataclasses.replace(evidence, heat=heat))
    assert isinstance(contaminated, Tensor)
    contaminated[~torch.from_numpy(spoilt["asked"])] = torch.nan
    return {"clean": pixel_ap(evidence), "contaminated": contaminated}


def of_repeatability(bench: Bench, _: Evidence) -> More:
    """The maps that another seed of the whole pipeline leads to."""
    other = read_arrays(bench.file(bench.stage.inputs[2], "explanations.h5"), "heat")
    heat = torch.from_numpy(other["heat"]).to(bench.ctx.device)
    return {"again": {"other_seed": heat}}


def of_usefulness(bench: Bench, _: Evidence) -> More:
    """How well students of the model agree with it, with maps and without."""
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


MORE: dict[str, Callable[[Bench, Evidence], More]] = {
    "truth": of_truth,
    "proximity": of_proximity,
    "oracle": of_oracle,
    "realism": of_realism,
    "robustness": of_probes,
    "sanity": of_probes,
    "contamination": of_contamination,
    "repeatability": of_repeatability,
    "usefulness": of_usefulness,
}
