"""The checks of a metric."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gvr_bench.core.metric import Metric, MetricInput
from gvr_bench.registry.explainer_contract import MutationGuard, Violation
from gvr_bench.registry.global_rng import seeded
from gvr_bench.registry.metric_plugins import declaration_faults, value_violations
from gvr_bench.testing.checks import CheckReport, CheckResult, CheckSuite, StopCase, run_seeded
from gvr_bench.testing.explainers import changed_values
from gvr_bench.testing.toy_models import BATCH, SIZE, TASKS, Case, cases, make_case

CHECKS = {
    "class": "class, signatures and settings are usable by the core",
    "declared": "direction, range, meaning and what fools it are declared",
    "returns": "returns a tensor, or raises Unsupported with a reason",
    "shape": "one value per image",
    "finite": "finite, or NaN",
    "range": "values lie in the declared range",
    "input": "images, maps and target are left unchanged",
    "weights": "weights and buffers are left unchanged",
    "mode": "networks stay in eval mode",
    "gradients": "no gradients are left behind, requires_grad stays off",
    "hooks": "no hooks are left behind",
    "repeatable": "the same call gives the same values",
    "global rng": "the global random numbers of torch, numpy and Python are left alone",
    "batch": "an image gets the same value in any batch",
}
BLOCKING = {"class", "returns", "shape", "finite", "repeatable", "global rng"}
SEED = 3
TOLERANCE = 1e-4  # of the largest value: sums over other batch sizes round differently
DRAW = "draw from data.rngs(), one generator per image, e.g. torch.rand(shape, generator=rng)"
TENSORS = (
    "image", "attribution", "base", "counterfactual", "mask", "distractor", "true_counterfactual",
)  # fmt: skip


def check_metric(metric: type[Metric] | Metric, /, **settings: Any) -> list[CheckResult]:
    """Check a metric on explanations of tiny random models.

    A class is created with the settings of the `quick` profile and `settings`; an instance is used
    as it is. It scores random maps with ground truth and counterfactuals, maps without either, and
    maps that are zero. Returns a result per check, in the order of `CHECKS`.
    """
    return METRICS.results(metric, settings)


def metric_input(attribution: Tensor, **known: Any) -> MetricInput:
    """Return what a metric sees of maps (N, H, W), of random images and a tiny random model.

    `known` replaces other fields of `MetricInput`. The model takes images of 16 pixels only.
    """
    case = make_case(TASKS["binary"], 1, torch.device("cpu"))
    n, h, w = attribution.shape
    with seeded(SEED):
        image = torch.rand(n, 1, h, w) * 2 - 1
    target = case.target[torch.arange(n) % BATCH]
    fields: dict[str, Any] = {
        "model": case.model,
        "target": target,
        "image": image,
        "base": image,
    } | known
    return MetricInput(attribution=attribution, **fields)


def run_cases(metric: Metric, report: CheckReport) -> None:
    for fault in declaration_violations(metric):
        report.add("as it is", fault)
    for case in cases():
        for label, data in inputs_of(case):
            with report.case(f"{case.label}, {label}"):
                check_case(metric, data, case, f"{case.label}, {label}", report)


METRICS = CheckSuite("metric", Metric, CHECKS, BLOCKING, run_cases)


def declaration_violations(metric: Metric) -> Iterator[Violation]:
    for fault in declaration_faults(metric):
        problem, _, fix = fault.partition("; ")
        yield Violation("declared", problem, fix)
    texts = {"fooled_by": metric.fooled_by, "formula": metric.formula, "source": metric.source}
    if "__doc__" not in vars(type(metric)) or not metric.__doc__:
        texts = {"a docstring that says what it measures": ""} | texts
    for name, text in texts.items():
        if not text:
            fix = "reports show it beside the scores"
            yield Violation("declared", f"lacks {name}", fix)


def inputs_of(case: Case) -> Iterator[tuple[str, MetricInput]]:
    """Yield what a metric may see: all that can be known, maps alone, and maps of zeros."""
    x, device = case.x, case.x.device
    with seeded(SEED):
        maps = torch.randn(BATCH, SIZE, SIZE).to(device)
        other, true = (torch.rand(2, *x.shape) * 2 - 1).to(device)
    mask = torch.zeros(BATCH, SIZE, SIZE, dtype=torch.bool, device=device)
    mask[:, 4:9, 5:11] = True
    bare = MetricInput(case.model, case.target, x, maps, x, explain=mean_of_channels)
    known = dataclasses.replace(
        bare, counterfactual=other, mask=mask, distractor=mask.roll(4, 2), true_counterfactual=true
    )
    yield "with ground truth", known
    yield "maps alone", bare
    yield "maps of zeros", dataclasses.replace(known, attribution=torch.zeros_like(maps))


def mean_of_channels(images: Tensor, _index: Tensor) -> Tensor:
    """Explain images in place of those at `index`, as far as a check needs it."""
    return images.mean(1)


def check_case(
    metric: Metric, data: MetricInput, case: Case, label: str, report: CheckReport
) -> None:
    """Score the same explanations under conditions that must not matter, and compare."""
    own = copy.deepcopy(data)
    guard = MutationGuard(own.model, own.image, own.target)
    values, draws = run_seeded(lambda: fresh(metric).score(own), SEED)
    after = dataclasses.replace(case, model=own.model, x=own.image, target=own.target)
    changed = [n for n in TENSORS if not same(getattr(own, n), getattr(data, n))]
    violations = [
        *draws,
        *value_violations(metric, values, data),
        *guard.violations(),
        *changed_values(after, case),
        *(Violation("input", f"changed {n} in place", "work on a copy") for n in changed),
    ]
    report.add(label, *{v.check: v for v in reversed(violations)}.values())
    if {v.check for v in violations} & (BLOCKING - {"global rng"}):
        raise StopCase
    again, _ = run_seeded(lambda: fresh(metric).score(copy.deepcopy(data)), SEED)
    if not close(values, again, 0.0):
        report.add(label, Violation("repeatable", "values differ when called again", DRAW))
        return
    reseeded, _ = run_seeded(lambda: fresh(metric).score(copy.deepcopy(data)), SEED + 1)
    if not close(values, reseeded, 0.0):
        when = "values differ with another seed of the global random numbers"
        report.add(label, Violation("global rng", when, DRAW))
        return
    singles = [fresh(metric).score(row(copy.deepcopy(data), i)) for i in range(len(data))]
    if not close(values, torch.cat(singles), TOLERANCE):
        fix = "let a value depend on its own image alone; draw from data.rngs()"
        report.add(label, Violation("batch", "values differ when images are scored alone", fix))


def row(data: MetricInput, i: int) -> MetricInput:
    at = slice(i, i + 1)
    tensors: dict[str, Any] = {
        n: None if (v := getattr(data, n)) is None else v[at] for n in TENSORS
    }
    return dataclasses.replace(data, target=data.target[at], **tensors)


def same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    largest = a.nan_to_num().abs().max().clamp_min(1e-12).item()
    return torch.allclose(a.double(), b.double(), rtol=0, atol=tolerance * largest, equal_nan=True)


def fresh(metric: Metric) -> Metric:
    return type(metric)(metric.settings)
