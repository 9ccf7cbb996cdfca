"""A trained model and the images that it sees the finding in, out of a cache."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from rich.console import Console
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.config.spec import build_spec
from gvr_bench.core.stage import Stage
from gvr_bench.data.stored_images import to_float
from gvr_bench.pipeline.options import RunOptions, choose_device
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.runner import Runner
from gvr_bench.pipeline.stage_context import StageContext, load_model, read_targets
from gvr_bench.registry.registry import installed

CASES = 1000  # test images asked about, at most


@dataclass(frozen=True)
class Setup:
    """A model, and the images that it sees the finding in."""

    model: gvr.Model
    pixels: Tensor
    target: gvr.ExplanationTarget
    explainers: dict[str, gvr.Explainer]
    device: torch.device

    def explain(
        self, name: str, index: Tensor, batch_size: int = gvr.Context.batch_size
    ) -> list[gvr.Explanation]:
        """Explain the images at `index` as a run does, which takes them in batches."""
        ctx = gvr.Context(self.device, batch_size=batch_size)
        return [
            self.explainers[name].explain(
                self.model, to_float(self.pixels[index[part]]), self.target[index[part]], ctx
            )
            for part in ctx.batches(len(index))
        ]

    def cycle(self, n: int) -> Tensor:
        """Return positions of n images, beginning again where there are too few."""
        return torch.arange(n) % len(self.pixels)

    def sample(self, n: int) -> Tensor:
        """Return positions of n images from everywhere among them."""
        return torch.linspace(0, len(self.pixels) - 1, min(n, len(self.pixels))).long()


def find(given: argparse.Namespace, explainers: Sequence[str]) -> Setup:
    """Load the networks asked for from the cache, fitting the head where it is missing."""
    choices = {
        "dataset": [given.dataset],
        "generator": [given.generator],
        "encoder": [given.encoder],
        "head": [given.head] if given.head else [],
        "explainer": explainers,
    }
    plan = make_plan(
        build_spec(None, {"max_cases": CASES, "data_root": given.data_root}, choices), installed()
    )
    (combination,) = plan.combinations
    cache, device = ArtifactCache(given.cache), choose_device(given.device)
    for stage in (combination.generator_stage, combination.encoder_stage):
        if not cache.has(stage):
            flags = [("dataset", given.dataset), ("data-root", given.data_root)]
            flags += [("generator", given.generator), ("encoder", given.encoder)]
            typed = " ".join(f"--{flag} {value}" for flag, value in flags if value)
            raise SystemExit(
                f"error: {stage} is neither in the cache {cache.root} nor in the package; train "
                f"it: gvr-bench run {typed} --cache-dir {cache.root}"
            )
    complete(plan, (combination.head_stage, combination.cases), RunOptions(device), cache)
    return load(combination.explanations, cache, device)


def complete(plan: Plan, stages: tuple[Stage, ...], how: RunOptions, cache: ArtifactCache) -> None:
    """Compute of a plan what these stages lack."""
    keys = {stage.key for stage in ancestry(*stages)}
    part = Plan(plan.spec, plan.combinations, tuple(s for s in plan.stages if s.key in keys))
    runner = Runner(part, cache, installed(), how)
    runner.prepare()
    for outcome in runner.run(Console(stderr=True)).values():
        if outcome.status not in ("done", "cached"):
            raise SystemExit(f"error: {outcome.reason}")


def ancestry(*stages: Stage) -> Iterator[Stage]:
    """Yield stages and all that they depend on."""
    for stage in stages:
        yield stage
        yield from ancestry(*stage.inputs.values())


def load(explanations: dict[str, Stage], cache: ArtifactCache, device: torch.device) -> Setup:
    """Load the model and the images that it sees the finding in."""
    stage = next(iter(explanations.values()))
    stage_ctx = StageContext(stage, cache, gvr.Context(device))
    model = load_model(stage_ctx)
    cases = read_arrays(
        stage_ctx.file(stage.input("cases"), "cases.h5"), "image", "source_class", "target_class"
    )
    pixels = torch.from_numpy(cases["image"]).to(device)
    target = read_targets(
        stage_ctx, stage_ctx.dataset().task, cases["source_class"], cases["target_class"]
    )
    with torch.no_grad():
        seen = target.predicts_source(model(to_float(pixels)))
    if not bool(seen.any()):
        raise SystemExit("error: the model sees the finding in no test image")
    explainers = {name: cast(gvr.Explainer, s.component) for name, s in explanations.items()}
    return Setup(model, pixels[seen], target[seen], explainers, device)
