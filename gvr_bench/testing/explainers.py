"""The rules of an explainer, and who keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gvr_bench.core.components import Explainer
from gvr_bench.core.context import Context
from gvr_bench.core.types import Explanation, Model
from gvr_bench.registry.explainer_contract import PARTS, MutationGuard, Violation, answer_breaches
from gvr_bench.testing.check_report import CheckReport, CheckResult, NotAsked
from gvr_bench.testing.components import Check
from gvr_bench.testing.rng import MEND, watched
from gvr_bench.testing.toy_models import Case, cases

RULES = {
    "class": "its class, its signatures and its settings are what the core can use",
    "answer": "returns an Explanation, or raises Unsupported with a reason",
    "shape": "one map, and whatever else, per image",
    "dtype": "float32 maps and images, int64 steps, bool found",
    "device": "the answer is where the images are",
    "finite": "no NaN, no infinity",
    "input": "images and query are left as they were",
    "weights": "weights and buffers are left as they were",
    "mode": "networks stay in eval mode",
    "gradients": "no gradients are left behind, requires_grad stays off",
    "hooks": "no hooks are left behind",
    "range": "counterfactuals stay in [-1, 1]",
    "detached": "no gradient graph is handed out",
    "consistent": "found, reason, steps, latent, path and counterfactual tell one story",
    "repeatable": "the same call gives the same answer",
    "own draws": "the global random numbers of torch, numpy and Python are left alone",
    "no memory": "what it was asked before does not change the answer",
    "batch": "an image gets the same answer in any batch, and at any ctx.batch_size",
}
FATAL = {"class", "answer", "shape", "dtype", "device", "finite"}  # they leave nothing to compare
STOPS = FATAL | {"repeatable", "own draws", "no memory"}
SEED = 3
ROUNDING = 1e-3  # of the largest value: batches of another size are added up in another order
EXACT = 0.0
DECODED = 1e-3


def check_explainer(
    explainer: type[Explainer] | Explainer, /, **settings: Any
) -> list[CheckResult]:
    """Hold an explainer to every rule of its kind on tiny random models.

    A class is made with the settings of the `quick` profile and those given; an instance is taken
    as it is. The models have one and three channels, and a task of each kind; where there is a GPU,
    one is there. Returns a verdict per rule, in the order of `RULES`.

    An explainer may draw random numbers and keep `batch`: those of `ctx.generator` depend on the
    seed and what it is given, so let it draw once for the whole batch, or for each image from the
    image itself, `ctx.rng(zlib.crc32(pixels))`. Nothing is excused from that rule, for the
    batch size is how a run is computed and not part of what its results are stored under.
    """
    return EXPLAINERS.verdicts(explainer, settings)


def check_cases(explainer: Explainer, sheet: CheckReport) -> None:
    """Ask about each case, and about one that is out of reach."""
    for case in cases():
        with sheet.case(case.label):
            check_case(explainer, case, sheet)
        far = case.out_of_reach()
        with sheet.case(far.label):
            answer(explainer, far, sheet)


EXPLAINERS = Check("explainer", Explainer, RULES, STOPS, check_cases)


def check_case(explainer: Explainer, case: Case, sheet: CheckReport) -> None:
    """Ask the same in every way that must not matter."""
    first = answer(explainer, case, sheet)
    exact = EXACT if case.x.device.type == "cpu" else ROUNDING

    def compare(rule: str, other: Explanation, tolerance: float, how: str, mend: str) -> bool:
        apart = difference(first, other, tolerance)
        if apart:
            sheet.add(case.label, Violation(rule, f"{apart} {how}", mend))
        return bool(apart)

    again = call(fresh(explainer), case.copied())
    if compare("repeatable", again, exact, "when asked again", MEND):
        return
    elsewhere = call(fresh(explainer), case.copied(), noise=SEED + 1)
    how = "when the global random numbers are seeded otherwise"
    if compare("own draws", elsewhere, exact, how, MEND):
        return
    worn, kept = fresh(explainer), case.copied()
    call(worn, dataclasses.replace(kept, x=kept.others))
    how, mend = "after other images were explained", "keep nothing in self, nor on the model"
    if compare("no memory", call(worn, kept), exact, how, mend):
        return
    mend = (
        "normalise each image alone, and draw once for the batch, or per image from its own pixels"
    )
    alone = join([call(fresh(explainer), one) for one in singles(case)])
    compare("batch", alone, ROUNDING, "when images are explained one at a time", mend)
    small = call(fresh(explainer), case.copied(), batch_size=1)
    compare("batch", small, ROUNDING, "at ctx.batch_size = 1", mend)


def answer(explainer: Explainer, case: Case, sheet: CheckReport) -> Explanation:
    """Ask once, and judge the answer and what was left behind.

    Raises `NotAsked` where the answer cannot be compared.
    """
    own = case.copied()
    seal = MutationGuard(own.model, own.x, own.target)
    made, turned = watched(lambda: fresh(explainer).explain(*asked(own)), SEED)
    broken = [*turned, *answer_breaches(made, own.x), *seal.violations(), *changed(own, case)]
    fatal = any(breach.rule in FATAL for breach in broken)
    if not fatal:
        broken += story_breaches(made, case.model, case.x)
    once = {breach.rule: breach for breach in reversed(broken)}
    sheet.add(case.label, *once.values())
    if fatal:
        raise NotAsked
    return made


def asked(case: Case, batch_size: int = 128) -> tuple[Any, ...]:
    """Return the arguments of `explain`."""
    return case.model, case.x, case.target, Context(case.x.device, SEED, batch_size)


def call(
    explainer: Explainer, case: Case, *, noise: int = SEED, batch_size: int = 128
) -> Explanation:
    """Ask with the global random numbers seeded by `noise`."""
    made, _ = watched(lambda: explainer.explain(*asked(case, batch_size)), noise)
    return made


def fresh(explainer: Explainer) -> Explainer:
    """Return an explainer of the same settings that was never asked."""
    return type(explainer)(explainer.settings)


def singles(case: Case) -> Iterator[Case]:
    """Take a batch apart."""
    for i in range(len(case.x)):
        own = case.copied()
        yield dataclasses.replace(own, x=own.x[i : i + 1], target=own.target[i : i + 1])


def join(parts: list[Explanation]) -> Explanation:
    """Put answers for single images together, as far as they are compared."""
    columns: dict[str, Tensor | None] = {}
    for name in COMPARED:
        values = [getattr(part, name) for part in parts]
        columns[name] = None if any(value is None for value in values) else torch.cat(values)
    return Explanation(**columns)  # type: ignore[arg-type]


COMPARED = ("attribution", "counterfactual", "latent", "success")


def difference(a: Explanation, b: Explanation, tolerance: float) -> str:
    """Say in what two answers differ by more than a share of the largest value, if in anything."""
    for name in COMPARED:
        one, other = getattr(a, name), getattr(b, name)
        if (one is None) != (other is None):
            return f"{name} is not given any more"
        if one is None:
            continue
        if one.shape != other.shape:
            return f"{name} has another shape"
        largest = one.float().abs().max().clamp_min(1e-12)
        apart = ((one.float() - other.float()).abs().max() / largest).item()
        if not apart <= tolerance:
            return f"{name} differs by {apart:.2g} of its largest value"
    return ""


def changed(after: Case, before: Case) -> Iterator[Violation]:
    """Compare values with those of a copy, for `.data` leaves no trace on a tensor."""
    for part in PARTS:
        old, new = (getattr(case.model, part).state_dict() for case in (before, after))
        for name, value in old.items():
            if name not in new or not torch.equal(value, new[name]):
                mend = f"work on a copy, e.g. copy.deepcopy(model.{part})"
                yield Violation("weights", f"changed the weights {part}.{name}", mend)
    if not torch.equal(before.x, after.x):
        yield Violation("input", "changed x in place", "begin with x = x.detach().clone()")


@torch.no_grad()
def story_breaches(made: Explanation, model: Model, x: Tensor) -> Iterator[Violation]:
    """Hold the parts of an answer against each other and against the model."""
    graphs = [name for name in COMPARED if getattr(getattr(made, name), "requires_grad", False)]
    if graphs:
        mend = f"end with {graphs[0]}.detach()"
        yield Violation("detached", f"{graphs[0]} carries its gradient graph", mend)
    if made.counterfactual is None:
        return
    largest = made.counterfactual.abs().max().item()
    if largest > 1 + DECODED:
        mend = "end with counterfactual.clamp(-1, 1)"
        yield Violation("range", f"counterfactual reaches {largest:.3g}", mend)
    if made.steps is not None and bool((made.steps < 0).any()):
        yield Violation("consistent", "steps are negative", "count from 0")
    if made.latent is None:
        return
    decoded = model.generator(made.latent)
    if not torch.allclose(decoded, made.counterfactual, rtol=0, atol=DECODED):
        mend = "give counterfactual = model.generator(latent), or no latent"
        yield Violation("consistent", "latent does not decode to counterfactual", mend)
    if made.trajectory is not None:
        ends = made.trajectory[:, 0], made.trajectory[:, -1]
        wanted = model.encoder(x), made.latent
        if not all(torch.allclose(a, b, atol=DECODED) for a, b in zip(ends, wanted, strict=True)):
            mend = "begin it at model.encoder(x) and end it at latent"
            yield Violation("consistent", "path does not lead from the image to latent", mend)
