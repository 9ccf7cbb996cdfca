"""The checks of an explainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

import torch
from torch import Tensor

from gvr_bench.core.context import Context
from gvr_bench.core.explainer import Explainer, Role
from gvr_bench.core.types import Explanation, Model, compose
from gvr_bench.registry.explainer_contract import (
    NETWORKS,
    MutationGuard,
    Violation,
    explanation_violations,
)
from gvr_bench.testing.checks import (
    DRAW_FROM_CONTEXT,
    CheckReport,
    CheckResult,
    CheckSuite,
    StopCase,
    run_seeded,
)
from gvr_bench.testing.toy_models import Case, cases, make_reference

CHECKS = {
    "class": "class, signatures and settings are usable by the core",
    "returns": "returns an Explanation, or raises Unsupported with a reason",
    "role": "explainers return counterfactuals exactly if their role or a control declares it",
    "shape": "one map, and at most one of everything else, per image",
    "dtype": "float32 maps and images, int64 steps, bool success",
    "device": "tensors are on the device of the images",
    "finite": "no NaN, no infinity",
    "input": "images and target are left unchanged",
    "weights": "weights and buffers are left unchanged",
    "mode": "networks stay in eval mode",
    "gradients": "no gradients are left behind, requires_grad stays off",
    "hooks": "no hooks are left behind",
    "range": "counterfactuals are in [-1, 1]",
    "detached": "tensors carry no gradient graph",
    "consistent": "success, reason, steps, latent, trajectory and counterfactual agree",
    "repeatable": "the same call gives the same result",
    "global rng": "the global random numbers of torch, numpy and Python are left alone",
    "stateless": "earlier calls do not change the result",
    "batch": "an image gets the same result in any batch, and at any ctx.batch_size",
}
UNCOMPARABLE = {"class", "returns", "shape", "dtype", "device", "finite"}
BLOCKING = UNCOMPARABLE | {"repeatable", "global rng", "stateless"}
COMPARED = ("attribution", "counterfactual", "latent", "success", "alternatives")
ROLES = get_args(Role)
SEED = 3
BATCH_TOLERANCE = 1e-3  # of the largest value: sums over other batch sizes round differently
DECODED_TOLERANCE = 1e-3


def check_explainer(
    explainer: type[Explainer] | Explainer, /, **settings: Any
) -> list[CheckResult]:
    """Check an explainer on tiny random models.

    A class is created with the settings of the `quick` profile and `settings`; an instance is used
    as it is. The models have one and three channels and a task of each kind; if there is a GPU, one
    case runs on it. Returns a result per check, in the order of `CHECKS`.

    An explainer may use random numbers and still pass `batch`: those of `ctx.rng` depend only on
    the seed and its arguments, so draw once for the whole batch, or for each image from the image
    itself, `ctx.rng(zlib.crc32(pixels))`. There are no exceptions to this check, because cached
    results do not depend on the batch size.
    """
    return EXPLAINERS.results(explainer, settings)


def run_cases(explainer: Explainer, report: CheckReport) -> None:
    """Check each case, and the same with a target that cannot be reached."""
    for case in cases():
        with report.case(case.label):
            check_case(explainer, case, report)
        unreachable = case.unreachable()
        with report.case(unreachable.label):
            explain_once(explainer, unreachable, report)


EXPLAINERS = CheckSuite("explainer", Explainer, CHECKS, BLOCKING, run_cases)


def check_case(explainer: Explainer, case: Case, report: CheckReport) -> None:
    """Explain the same images under conditions that must not matter, and compare."""
    first = explain_once(explainer, case, report)
    exact = 0.0 if case.x.device.type == "cpu" else BATCH_TOLERANCE

    def compare(check: str, other: Explanation, tolerance: float, when: str, fix: str) -> bool:
        text = difference(first, other, tolerance)
        if text:
            report.add(case.label, Violation(check, f"{text} {when}", fix))
        return bool(text)

    again = explain(fresh(explainer), case.copied())
    if compare("repeatable", again, exact, "when called again", DRAW_FROM_CONTEXT):
        return
    reseeded = explain(fresh(explainer), case.copied(), seed=SEED + 1)
    when = "with another seed of the global random numbers"
    if compare("global rng", reseeded, exact, when, DRAW_FROM_CONTEXT):
        return
    used, own = fresh(explainer), case.copied()
    explain(used, dataclasses.replace(own, x=own.others))
    fix = "store nothing in self or on the model"
    if compare("stateless", explain(used, own), exact, "after explaining other images", fix):
        return
    fix = "normalise each image alone; draw once for the batch, or per image from its own pixels"
    singles = [
        dataclasses.replace(own, x=own.x[i : i + 1], target=own.target[i : i + 1])
        for i, own in enumerate(case.copied() for _ in case.x)
    ]
    alone = join([explain(fresh(explainer), single) for single in singles])
    compare("batch", alone, BATCH_TOLERANCE, "when images are explained one at a time", fix)
    small = explain(fresh(explainer), case.copied(), batch_size=1)
    compare("batch", small, BATCH_TOLERANCE, "at ctx.batch_size = 1", fix)


def explain_once(explainer: Explainer, case: Case, report: CheckReport) -> Explanation:
    """Explain once, and check the result and the side effects.

    Raises `StopCase` where the result cannot be compared with others.
    """
    own = case.copied()
    guard = MutationGuard(own.model, own.x, own.target)
    explanation, draws = run_seeded(
        lambda: fresh(explainer).explain(*arguments(explainer, own)), SEED
    )
    violations = [
        *draws,
        *explanation_violations(explanation, own.x),
        *role_violations(explainer, explanation),
        *guard.violations(),
        *changed_values(own, case),
    ]
    stop = any(violation.check in UNCOMPARABLE for violation in violations)
    if not stop:
        violations += content_violations(explanation, case.model, case.x)
    first_of_each = {violation.check: violation for violation in reversed(violations)}
    report.add(case.label, *first_of_each.values())
    if stop:
        raise StopCase
    return explanation


def role_violations(explainer: Explainer, explanation: object) -> Iterator[Violation]:
    if explainer.role not in ROLES:
        yield Violation("role", f"role is {explainer.role!r}", f"use one of {', '.join(ROLES)}")
    elif isinstance(explanation, Explanation):
        returned = explanation.counterfactual is not None
        if returned != explainer.returns_counterfactuals():
            problem = f"returns {'a' if returned else 'no'} counterfactual as {explainer.role}"
            fix = (
                'declare role = "counterfactual", or makes_counterfactuals = True for a control, '
                "exactly if counterfactuals are returned"
            )
            yield Violation("role", problem, fix)


def arguments(explainer: Explainer, case: Case, batch_size: int = 128) -> tuple[Any, ...]:
    reference = make_reference(case, batch_size) if explainer.uses_reference else None
    ctx = Context(case.x.device, SEED, batch_size, _reference=reference)
    return case.model, case.x, case.target, ctx


def explain(
    explainer: Explainer, case: Case, *, seed: int = SEED, batch_size: int = 128
) -> Explanation:
    explanation, _ = run_seeded(
        lambda: explainer.explain(*arguments(explainer, case, batch_size)), seed
    )
    return explanation


def fresh(explainer: Explainer) -> Explainer:
    return type(explainer)(explainer.settings)


def join(parts: list[Explanation]) -> Explanation:
    columns: dict[str, Tensor | None] = {}
    for name in COMPARED:
        values = [getattr(part, name) for part in parts]
        columns[name] = None if any(value is None for value in values) else torch.cat(values)
    return Explanation(**columns)  # type: ignore[arg-type]


def difference(a: Explanation, b: Explanation, tolerance: float) -> str:
    """Say how two explanations differ; empty if by less than a share of the largest value."""
    for name in COMPARED:
        before, after = getattr(a, name), getattr(b, name)
        if (before is None) != (after is None):
            return f"{name} is sometimes missing"
        if before is None:
            continue
        if before.shape != after.shape:
            return f"{name} has another shape"
        largest = before.float().abs().max().clamp_min(1e-12)
        share = ((before.float() - after.float()).abs().max() / largest).item()
        if not share <= tolerance:
            return f"{name} differs by {share:.2g} of its largest value"
    return ""


def changed_values(after: Case, before: Case) -> Iterator[Violation]:
    """Compare values with those of a copy, because `.data` leaves no trace on a tensor."""
    for part in NETWORKS:
        old, new = (getattr(case.model, part).state_dict() for case in (before, after))
        for name, value in old.items():
            if name not in new or not torch.equal(value, new[name]):
                fix = f"work on a copy, e.g. copy.deepcopy(model.{part})"
                yield Violation("weights", f"changed the weights {part}.{name}", fix)
    if not torch.equal(before.x, after.x):
        yield Violation("input", "changed x in place", "begin with x = x.detach().clone()")


@torch.no_grad()
def content_violations(e: Explanation, model: Model, x: Tensor) -> Iterator[Violation]:
    """Compare the fields of an explanation with one another and with the model."""
    for name in COMPARED:
        if getattr(getattr(e, name), "requires_grad", False):
            problem = f"{name} carries its gradient graph"
            yield Violation("detached", problem, f"end with {name}.detach()")
    if e.counterfactual is None:
        return
    largest = e.counterfactual.abs().max().item()
    if largest > 1 + DECODED_TOLERANCE:
        fix = "end with counterfactual.clamp(-1, 1)"
        yield Violation("range", f"counterfactual reaches {largest:.3g}", fix)
    if e.steps is not None and bool((e.steps < 0).any()):
        yield Violation("consistent", "steps are negative", "count from 0")
    if e.latent is None:
        return
    decoded = model.generator(e.latent)
    if e.residual:
        decoded = compose(x, model.generator(model.encoder(x)), decoded)
    if not torch.allclose(decoded, e.counterfactual, rtol=0, atol=DECODED_TOLERANCE):
        fix = "return counterfactual = model.generator(latent), set residual, or no latent"
        yield Violation("consistent", "latent does not decode to counterfactual", fix)
    if e.trajectory is not None:
        ends = (e.trajectory[:, 0], model.encoder(x)), (e.trajectory[:, -1], e.latent)
        if not all(torch.allclose(a, b, atol=DECODED_TOLERANCE) for a, b in ends):
            problem = "trajectory does not lead from the image to latent"
            fix = "begin it at model.encoder(x) and end it at latent"
            yield Violation("consistent", problem, fix)
