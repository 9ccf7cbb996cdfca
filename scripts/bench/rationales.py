"""Rationales by the thousand: `python scripts/bench/rationales.py --dataset mnist --data-root DIR`.

With the networks of a finished run, the images that the model sees the finding in are explained,
again where there are too few. Beside stand, in the same process and round, one image after another,
and the floor: the networks called bare for the same images, steps and shrinking batches.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from functools import partial
from pathlib import Path

import torch
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.gvr import Gvr
from timing import growth_of, ratio, say, seconds_of, spread, table
from torch import Tensor
from trained import Setup, find

import gvr_bench.api as gvr
from gvr_bench.cache.artifacts import default_cache_dir
from gvr_bench.config.spec import DEFAULTS
from gvr_bench.core.errors import GvrError
from gvr_bench.data.stored_images import to_float
from gvr_bench.pipeline.steps.cost import MEBI

THROUGH_IMAGE = {"gvr": False, "gvr-robust": True}  # whether it asks the encoder at each step
SIZES, LARGE = (250, 1000, 4000), 16_000


def one_by_one(setup: Setup, explainer: Gvr, index: Tensor) -> list[int]:
    """Run the papers' algorithm on one image after another; return the steps each took."""
    model, s, steps = setup.model, explainer.settings, []
    for i in index.tolist():
        target = setup.target[i : i + 1]
        with torch.no_grad():
            z = model.encoder(to_float(setup.pixels[i : i + 1]))
            before = model.generator(z)
        cutoff = explainer.cutoff(target)
        adam = torch.optim.Adam([z.requires_grad_()], s.learning_rate)
        for step in range(s.steps + 1):
            prediction = target.task.activate(model.head(z))
            if step == s.steps or target.source_output(prediction) <= cutoff:
                break
            change = (model.generator(z) - before).square().mean()
            adam.zero_grad()
            explainer.value(prediction, change, target).sum().backward()
            adam.step()
        steps.append(step)
    return steps


def bare(setup: Setup, name: str, steps: Tensor) -> None:
    """Pass latents that stay for `steps` (N,) forward and backward, in the explainer's batches."""
    model = setup.model
    x = to_float(setup.pixels[:1])
    latents = torch.randn(len(steps), model.encoder(x).shape[1], device=setup.device)
    size = max_batch_size(x, gradients=True)
    for batch in gvr.Context(setup.device).batches(len(steps)):
        for part in batches(len(steps[batch]), size):
            taken = steps[batch][part]
            last = int(taken.max())
            going = (taken[:, None] >= torch.arange(last + 1, device=taken.device)).sum(0).tolist()
            for step, n in enumerate(going):
                z = latents[:n].requires_grad_()
                picture = outputs = model.generator(z)
                if THROUGH_IMAGE[name]:  # its clean picture, and one with gradients
                    with torch.no_grad():
                        model.encoder(picture)
                    outputs = model.encoder(picture)
                if step < last:
                    torch.autograd.grad(outputs, z, torch.ones_like(outputs))


class Times:
    """What the rounds of one explainer came to."""

    def __init__(self, setup: Setup, name: str, images: int, sample: int) -> None:
        self.setup, self.name = setup, name
        self.index, self.sample = setup.cycle(images), setup.sample(sample)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.time = partial(seconds_of, device=setup.device)
        made = self.setup.explain(name, self.sample)  # a warm-up, too
        self.sample_steps = torch.cat([part.steps for part in made if part.steps is not None])

    def round(self) -> None:
        """Time ours, the floor and one image after another, in turn."""
        setup, name = self.setup, self.name
        timed, made, alone = {}, list[gvr.Explanation](), list[int]()
        timed["ours"] = self.time(lambda: made.extend(setup.explain(name, self.index)))
        self.steps = torch.cat([part.steps for part in made if part.steps is not None])
        self.found = torch.cat([part.success for part in made if part.success is not None])
        timed["floor"] = self.time(lambda: bare(setup, name, self.steps))
        timed["alone"] = self.time(lambda: alone.extend(self.alone()))
        self.agree = int((torch.tensor(alone) == self.sample_steps.cpu()).sum())
        # Scaled up by steps, not by images: a few slow ones would make the sample unlike the rest.
        timed["alone"] *= float((self.steps + 1).sum()) / sum(steps + 1 for steps in alone)
        for what, taken in timed.items():
            self.seconds[what].append(taken)

    def alone(self) -> list[int]:
        """Explain the sample, one image after another; return the steps each took."""
        explainer = self.setup.explainers[self.name]
        if isinstance(explainer, Gvr):
            return one_by_one(self.setup, explainer, self.sample)
        made = self.setup.explain(self.name, self.sample, batch_size=1)
        return [int(part.steps) for part in made if part.steps is not None]

    def row(self) -> list[str]:
        """Return the row of a table."""
        ours, floor, alone = (self.seconds[what] for what in ("ours", "floor", "alone"))
        way = "the algorithm" if self.name == "gvr" else "the explainer"
        return [
            f"`{self.name}`",
            f"{len(self.index)}",
            spread(ours),
            f"{self.found.float().mean():.1%}",
            f"{self.steps.float().mean():.1f}, {int(self.steps.max())} at most",
            spread(floor),
            ratio(ours, floor),
            f"{spread(alone)}, {way}",
            ratio(alone, ours),
            f"{self.agree} of {len(self.sample)}",
        ]


HEAD = (
    "explainer", "rationales", "seconds", "found", "steps", "floor, s", "times the floor",
    "one by one, s", "times faster", "of the sample with equal steps",
)  # fmt: skip


def speed(setup: Setup, images: int, sample: int, rounds: int) -> str:
    """Return a table of seconds beside the floor and one image after another."""
    times = [Times(setup, name, images, sample) for name in THROUGH_IMAGE]
    for number in range(rounds):
        for one in times:
            one.round()
            say(f"rationales: {one.name}, round {number + 1} of {rounds}")
    return table(HEAD, [one.row() for one in times])


def growth(setup: Setup, sizes: tuple[int, ...], rounds: int) -> str:
    """Return a table of seconds per image and memory beyond what was in use, by size."""
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
    for number in range(rounds):
        for n in sizes:
            for name in THROUGH_IMAGE:
                found[name, n].append(costs(setup, name, n))
            say(f"rationales: {n} images, round {number + 1} of {rounds}")
    rows = [
        (f"`{name}`", n, *map(spread, zip(*found[name, n], strict=True)))
        for name in THROUGH_IMAGE
        for n in sizes
    ]
    return table(("explainer", "images", "ms per image", "peak, MiB", "results, MiB"), rows)


def costs(setup: Setup, name: str, n: int) -> tuple[float, float, float]:
    """Return ms per image, MiB at the peak beyond what was in use, and MiB of results."""
    made: list[gvr.Explanation] = []
    index = setup.cycle(n)
    seconds, grown = growth_of(lambda: made.extend(setup.explain(name, index)), setup.device)
    held = (value for part in made for value in vars(part).values())
    kept = sum(value.nbytes for value in held if isinstance(value, Tensor)) / MEBI
    return 1000 * seconds / n, grown, kept


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache-dir", type=Path, default=default_cache_dir())
    parser.add_argument("--data-root")
    for kind in ("dataset", "generator", "encoder"):
        parser.add_argument(f"--{kind}", default=DEFAULTS[kind])
    parser.add_argument("--head", help="by default the data set's natural one")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20, help="images explained one by one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--large", action="store_true", help=f"measure {LARGE} images, too")
    given = parser.parse_args()
    try:
        setup = find(given, list(THROUGH_IMAGE))
    except GvrError as error:
        raise SystemExit(f"error: {error}") from error
    print(
        f"{given.dataset}, {given.generator}, {given.encoder}: the model sees the finding in "
        f"{len(setup.pixels)} images.\n"
    )
    print(speed(setup, given.images, given.sample, given.rounds))
    print(growth(setup, (*given.sizes, *([LARGE] * given.large)), given.rounds))


if __name__ == "__main__":
    main()
