"""Speed of the latent optimisers: `python scripts/bench/rationales.py RUN`.

Explains the test images of a finished run in batches and one after another, and compares with a
lower bound: forward and backward passes of the networks for the same steps and batch sizes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from gvr_explainers.batching import batches, max_batch_size
from timing import ratio, say, seconds_of, spread, table
from torch import Tensor

import gvr_bench
import gvr_bench.api as gvr
from gvr_bench.core.errors import GvrError
from gvr_bench.data.stored_images import to_float

RE_ENCODES = {"gvr": False, "gvr-robust": True}  # whether each step encodes the image again
HEAD = (
    "explainer", "images", "seconds", "success", "mean steps", "lower bound, s", "ratio",
    "one by one, s", "speed-up",
)  # fmt: skip


class Benchmark:
    """The images of a run whose source class is predicted, repeated up to `count`."""

    def __init__(self, trained: Any, count: int) -> None:
        self.trained, self.device = trained, trained.device
        self.model: gvr.Model = trained.model
        pixels = trained.stage_ctx(trained.combination.head_stage).images("test").pixels
        task = trained.task
        source = np.full(len(pixels), task.source or 0)
        goal = np.full(len(pixels), task.target if task.kind == "multiclass" else source[0])
        target = trained.decision.explanation_target(task, source, goal, self.device)
        x = to_float(pixels.to(self.device))
        with torch.no_grad():
            predicted = target.predicts_source(self.model(x))
        if not bool(predicted.any()):
            raise SystemExit("error: the model predicts the output in no test image")
        index = torch.nonzero(predicted)[:, 0]
        index = index[torch.arange(count, device=index.device) % len(index)]
        self.x, self.target = x[index], target[index]

    def explain(self, name: str, count: int, batch_size: int) -> list[gvr.Explanation]:
        """Explain the first images in batches."""
        explainer = cast(gvr.Explainer, self.trained.stage(name).component)
        ctx = gvr.Context(self.device, batch_size=batch_size)
        return [
            explainer.explain(self.model, self.x[part], self.target[part], ctx)
            for part in ctx.batches(count)
        ]

    def lower_bound(self, name: str, steps: Tensor, batch_size: int) -> None:
        """Run the networks on latents that stay for `steps` (N,) steps."""
        size = max_batch_size(self.x, gradients=True)
        for batch in gvr.Context(self.device, batch_size=batch_size).batches(len(steps)):
            for part in batches(len(steps[batch]), size):
                own = steps[batch][part]
                z = self.model.encoder(self.x[batch][part]).detach()
                for step in range(int(own.max()) + 1):
                    active = z[own >= step].requires_grad_()
                    outputs = image = self.model.generator(active)
                    if RE_ENCODES[name]:
                        with torch.no_grad():  # of the clean image, then of the jittered one
                            self.model.encoder(image)
                        outputs = self.model.encoder(image)
                    torch.autograd.grad(outputs, active, torch.ones_like(outputs))

    def row(self, name: str, sample: int, rounds: int) -> list[str]:
        """Time an explainer in all three ways."""
        n, batch_size = len(self.x), self.trained.batch_size
        seconds: dict[str, list[float]] = defaultdict(list)

        def timed(label: str, work: Callable[[], object]) -> None:
            seconds[label].append(seconds_of(work, self.device))

        explanations = self.explain(name, n, batch_size)  # also a warm-up
        steps = torch.cat([cast(Tensor, e.steps) for e in explanations])
        success = torch.cat([cast(Tensor, e.success) for e in explanations])
        # Scaled by steps, since a few slow images dominate a small sample.
        share = float((steps + 1).sum()) / float((steps[:sample] + 1).sum())
        for number in range(rounds):
            timed("batches", lambda: self.explain(name, n, batch_size))
            timed("bound", lambda: self.lower_bound(name, steps, batch_size))
            timed("single", lambda: self.explain(name, sample, 1))
            seconds["single"][-1] *= share
            say(f"{name}: round {number + 1} of {rounds}")
        ours, bound, single = (seconds[label] for label in ("batches", "bound", "single"))
        rate, mean = f"{success.float().mean():.1%}", f"{steps.float().mean():.1f}"
        times = (spread(bound), ratio(ours, bound), spread(single), ratio(single, ours))
        return [name, str(n), spread(ours), rate, mean, *times]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the folder of a finished run")
    parser.add_argument("--cache-dir")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20, help="images explained one by one")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    try:
        trained = gvr_bench.load(args.run, cache=args.cache_dir, device=args.device)
    except GvrError as error:
        raise SystemExit(f"error: {error}") from error
    benchmark = Benchmark(trained, args.images)
    print(table(HEAD, [benchmark.row(name, args.sample, args.rounds) for name in RE_ENCODES]))


if __name__ == "__main__":
    main()
