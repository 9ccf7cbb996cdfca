"""What each group of metrics looks at, read from the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.compute.bench import Bench, cases_query, load_model
from gvr_bench.compute.judges import reconstruction_errors
from gvr_bench.compute.oracle import load_oracle
from gvr_bench.formats import read_arrays
from gvr_bench.images import to_float
from gvr_bench.metrics import Evidence
from gvr_bench.metrics.truth import pixel_ap
from gvr_bench.stages import Stage

More = dict[str, Any]


def gather_evidence(bench: Bench, group: str) -> tuple[Evidence, NDArray[np.bool_]]:
    """Read what a group of metrics looks at, and which cases were asked."""
    made, _ = bench.stage.inputs[:2]
    evidence, asked = basic_evidence(bench, made)
    more = MORE[group](bench, evidence) if group in MORE else {}
    return dataclasses.replace(evidence, **more), asked


def basic_evidence(bench: Bench, made: Stage) -> tuple[Evidence, NDArray[np.bool_]]:
    """Read explanations, cases and the truth about them."""
    device = bench.ctx.device
    arrays = read_arrays(bench.file(made, "explanations.h5"))
    cases = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"))
    image = to_float(torch.from_numpy(cases["image"]).to(device))
    fields = {field.name for field in dataclasses.fields(Evidence)}
    known: More = {
        name: torch.from_numpy(array).to(device)
        for name, array in (*arrays.items(), *cases.items())
        if name in fields - {"image", "counterfactual"}
    }
    if "counterfactual" in arrays:
        known["counterfactual"] = torch.from_numpy(arrays["counterfactual"]).to(device)
    if "counterfactual" in cases:
        twin = to_float(torch.from_numpy(cases["counterfactual"]).to(device))
        known["true_change"] = (image - twin).mean(dim=1)
    task = bench.dataset().task
    return Evidence(
        task=task,
        image=image,
        model=load_model(bench),
        query=cases_query(bench, task, cases["source"], cases["target"]),
        **known,
    ), arrays["asked"]


@torch.no_grad()
def of_truth(bench: Bench, evidence: Evidence) -> More:
    """The true counterfactuals as the decoder can show them."""
    cases = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"))
    if "counterfactual" not in cases or evidence.model is None:
        return {}
    twin = to_float(torch.from_numpy(cases["counterfactual"]).to(bench.ctx.device))
    parts = [
        evidence.model.generator(evidence.model.encoder(part))
        for part in torch.split(twin, bench.ctx.batch_size)
    ]
    return {"decoded_twin": torch.cat(parts)}


def of_proximity(bench: Bench, _: Evidence) -> More:
    """How long a latent usually is."""
    file = bench.file(bench.stage.input("latents"), "latents.h5")
    z = read_arrays(file, "train/z")["train/z"]
    return {"norm": float(np.median(np.linalg.norm(z, axis=1)))}


def of_oracle(bench: Bench, evidence: Evidence) -> More:
    """The oracle's word on each counterfactual, and what it makes of real images."""
    if evidence.counterfactual is None:
        return {}
    oracle = load_oracle(bench)
    cases = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"))
    query = oracle.query(cases["source"], cases["target"])
    images = bench.images("test")
    real = images[real_targets(bench, cases)]
    asked = read_arrays(bench.file(bench.stage.inputs[0], "explanations.h5"), "asked")["asked"]
    made = evidence.counterfactual[torch.from_numpy(asked)]
    known = len(made) and len(real)
    return {
        "oracle_sees": query.asked(oracle.outputs(evidence.image)),
        "oracle_flipped": query.flipped(oracle.outputs(evidence.counterfactual)),
        "oracle_base": query.flipped(oracle.outputs(evidence.reconstruction)),
        "features": oracle.features(made) if known else None,
        "real_features": oracle.features(real) if known else None,
    }


def real_targets(bench: Bench, cases: dict[str, NDArray[Any]]) -> Tensor:
    """Positions of the test images of the target side, none of a patient that is explained."""
    task = bench.dataset().task
    names = ("test/targets", "test/patient_ids")
    targets, patients = read_arrays(bench.data(), *names).values()
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
    cases = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"), "source", "target")
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
    spoilt, asked = basic_evidence(bench, bench.stage.inputs[2])
    contaminated = pixel_ap(spoilt)
    assert isinstance(contaminated, Tensor)
    contaminated[~torch.from_numpy(asked)] = torch.nan
    return {"clean": pixel_ap(evidence), "contaminated": contaminated}


def of_repeatability(bench: Bench, _: Evidence) -> More:
    """The maps that another seed of the whole pipeline leads to."""
    other = read_arrays(bench.file(bench.stage.inputs[2], "explanations.h5"), "heat", "asked")
    heat = torch.from_numpy(other["heat"])
    return {"again": {"other_seed": heat.to(bench.ctx.device)}}


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
