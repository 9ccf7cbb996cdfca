"""The stage that explains the cases."""

from __future__ import annotations

from itertools import chain
from typing import cast

import numpy as np
import torch
from torch import Tensor

from gvr_bench.cache.hdf5 import put_rows, write_arrays, writing_arrays
from gvr_bench.core.errors import PluginError
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.types import Explanation, ExplanationTarget, Model, compose
from gvr_bench.data.stored_images import to_bytes, to_float
from gvr_bench.pipeline.stage_context import (
    StageContext,
    Step,
    load_model,
    read_targets,
    with_reference,
)
from gvr_bench.pipeline.steps.cost import Cost, measuring
from gvr_bench.pipeline.steps.shards import Arrays, Work, batches, count_cases, in_parts, joined
from gvr_bench.registry.explainer_contract import MutationGuard, explanation_violations

MAX_SHOWN = 500  # cases that a report shows
TRAJECTORY = ("trajectory", "trajectory_prediction")


def compute_explanations(stage_ctx: StageContext) -> None:
    """Explain every case, and let the model predict each counterfactual."""
    trajectories = []
    with writing_arrays(stage_ctx.out("explanations.h5")) as file:  # part by part, for memory
        total = count_cases(stage_ctx.cache, stage_ctx.stage)
        for rows, arrays in in_parts(stage_ctx, explaining):
            trajectories.append({name: arrays.pop(name) for name in TRAJECTORY if name in arrays})
            put_rows(file, arrays, rows.start, total)
    shown = [part for part in trajectories if part]
    if shown:
        write_arrays(stage_ctx.out("trajectories.h5"), joined(shown))


def explaining(stage_ctx: StageContext) -> Work:
    """Load the model, and explain a case or two so that what comes first is not timed."""
    explainer = cast(Explainer, stage_ctx.stage.component)
    model = load_model(stage_ctx)
    stage_ctx = with_reference(stage_ctx, explainer, model)
    first = slice(0, 1 if explainer.costly else 2)
    explain(explainer, model, *read_cases(stage_ctx, first), stage_ctx)

    def work(rows: slice) -> Arrays:
        results, trajectories = [], []
        for batch in batches(stage_ctx, rows):
            x, target = read_cases(stage_ctx, batch)
            with measuring(model, stage_ctx.ctx.device) as cost:
                answer = explain(explainer, model, x, target, stage_ctx)
            results.append(gather(model, x, target, answer) | per_image(cost, len(x)))
            if answer.trajectory is not None and batch.start < MAX_SHOWN:
                shown = MAX_SHOWN - batch.start
                trajectories.append(trajectory(model, x[:shown], answer, target))
        return joined(results) | (joined(trajectories) if trajectories else {})

    return work


def read_cases(stage_ctx: StageContext, rows: slice) -> tuple[Tensor, ExplanationTarget]:
    """Read cases: images (N, C, H, W), and their targets."""
    cases = stage_ctx.arrays("cases", "image", "source_class", "target_class", rows=rows)
    target = read_targets(
        stage_ctx, stage_ctx.dataset().task, cases["source_class"], cases["target_class"]
    )
    return to_float(torch.from_numpy(cases["image"]).to(stage_ctx.ctx.device)), target


def explain(
    explainer: Explainer,
    model: Model,
    x: Tensor,
    target: ExplanationTarget,
    stage_ctx: StageContext,
) -> Explanation:
    """Call the plugin and check its result. Raises `PluginError` that says what to fix."""
    guard, whose = MutationGuard(model, x, target), f"explainer '{stage_ctx.stage.name}'"
    try:
        explanation = explainer.explain(model, x, target, stage_ctx.ctx)
    except PluginError as error:
        raise PluginError(f"{whose}: {error}") from error
    for violation in chain(explanation_violations(explanation, x), guard.violations()):
        raise PluginError(f"{whose}: {violation}")
    if explanation.counterfactual is not None and not explainer.returns_counterfactuals():
        raise PluginError(
            f"{whose} returns counterfactuals and does not say so; "
            'declare role = "counterfactual", or makes_counterfactuals = True for a control'
        )
    return explanation


@torch.no_grad()
def gather(model: Model, x: Tensor, target: ExplanationTarget, explanation: Explanation) -> Arrays:
    """Collect a batch's arrays: the explanation, and the predictions before and after it."""
    before = model(x)
    start = model.encoder(x) if model.has_decoder else None
    arrays: dict[str, Tensor | None] = {
        "attribution": explanation.attribution,
        "start": start,
        "reconstruction": None if start is None else model.generator(start),
        "prediction": target.source_output(target.task.activate(before)),
        "predicts_source": target.predicts_source(before),
        "counterfactual": explanation.counterfactual,
        "latent": explanation.latent,
        "steps": explanation.steps,
        "success": explanation.success,
        "alternatives": explanation.alternatives,
    }
    if explanation.counterfactual is not None:
        again = model(explanation.counterfactual)
        own = explanation.latent is None or (explanation.residual and model.classifier is not None)
        after = again if own else model.head(cast(Tensor, explanation.latent))
        arrays |= {
            "prediction_after": target.source_output(target.task.activate(after)),
            "prediction_reencoded": target.source_output(target.task.activate(again)),
            "reached_target": target.reached_target(after),
            "unchanged": target.predicts_source(after),
            "reencoded_reached_target": target.reached_target(again),
        }
    known = {k: v.detach().cpu().contiguous().numpy() for k, v in arrays.items() if v is not None}
    if explanation.reason is not None:
        known["reason"] = np.asarray(explanation.reason, np.str_)
    if explanation.note:
        known["note"] = np.full(len(x), explanation.note)
    if explanation.residual:
        known["residual"] = np.ones(len(x), np.bool_)
    return known


@torch.no_grad()
def trajectory(
    model: Model, x: Tensor, explanation: Explanation, target: ExplanationTarget
) -> Arrays:
    """Draw the search from images `x` (N, C, H, W), the first that were explained: `trajectory`
    (N, P, C, H, W) uint8, `trajectory_prediction` (N, P).
    """
    n = len(x)
    path, target = cast(Tensor, explanation.trajectory)[:n], target[:n]
    before = model.generator(path[:, 0])
    pictures, predictions = [], []
    for z in path.unbind(1):
        picture = model.generator(z)
        outputs = model.head(z)
        if explanation.residual:
            picture = compose(x, before, picture)
            outputs = outputs if model.classifier is None else model(picture)
        pictures.append(to_bytes(picture))
        predictions.append(target.source_output(target.task.activate(outputs)))
    return {
        "trajectory": torch.stack(pictures, 1).cpu().numpy(),
        "trajectory_prediction": torch.stack(predictions, 1).cpu().numpy(),
    }


def per_image(cost: Cost, n: int) -> Arrays:
    """Share a batch's time and passes among its n images; memory is that of the whole batch."""
    shares = {"seconds": cost.seconds / n, "evaluations": cost.evaluations / n}
    if cost.memory is not None:
        shares["memory"] = cost.memory
    return {name: np.full(n, value) for name, value in shares.items()}


STEPS = (
    Step(
        "explanations",
        compute_explanations,
        inputs=("head", "cases"),
        optional=("encoder",),
        sharded=explaining,
    ),
)
