"""How cost grows: `python scripts/bench/curves.py`, which needs matplotlib.

Times what the long stages do, against the number of images, of latent steps, of pixels along an
edge, and of threads. Prints tables, and draws them into `docs/explanation/costs.svg`. Networks are
those of the profile `quick`, untrained: what they cost does not depend on their weights.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from gvr_datasets.phantom.dataset import Phantom
from gvr_encoders.conv import Conv
from gvr_explainers.gvr import Gvr
from gvr_generators.wgan_gp import WganGp
from gvr_heads.networks import Linear
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator
from timing import machine, say, seconds_of, spread, table
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.cache.hdf5 import write_arrays

CPU = torch.device("cpu")
TASK = gvr.Task("regression", ("finding",), "mm", threshold=1.0)
IMAGES, STEPS, SIZES, THREADS = (250, 500, 1000, 2000), (25, 50, 100, 200), (32, 64, 128), (1, 2)
BATCH, CASES = 32, 16


class StageContext:
    """Untrained networks for images of one size, and what can be timed with them."""

    def __init__(self, size: int) -> None:
        self.size, image = size, gvr.ImageSpec(1, size)
        torch.manual_seed(0)
        quick = {**WganGp.profiles["quick"], "iterations": 2, "batch": BATCH}
        self.wgan = WganGp(WganGp.Settings(**quick))
        generator = self.wgan.build(image)
        encoder = Conv(Conv.Settings(width=32)).build(image, generator)
        head = Linear(Linear.Settings()).build(100, TASK)
        nets: list[nn.Module] = [encoder, generator, head]
        self.model = gvr.Model(*(net.eval().requires_grad_(False) for net in nets))
        self.pixels = torch.rand(max(IMAGES), 1, size, size) * 2 - 1

    def training(self) -> None:
        """Make two iterations of the WGAN-GP."""
        net = self.wgan.build(gvr.ImageSpec(1, self.size))
        self.wgan.fit(net, self.pixels[:100], gvr.Context(CPU))  # type: ignore[arg-type]

    @torch.no_grad()
    def encoding(self, images: int = 250) -> None:
        """Encode images as the stage `latents` does."""
        for part in self.pixels[:images].split(512):
            self.model.encoder(part)

    def rationales(self, steps: int = 25) -> None:
        """Make rationales that are never found, so that every step is taken."""
        asked = torch.zeros(CASES, dtype=torch.int64)
        never = torch.full((CASES,), -1e9)
        target = gvr.ExplanationTarget(TASK, asked, asked, never, never)
        explainer = Gvr(Gvr.Settings(steps=steps))
        explainer.explain(self.model, self.pixels[:CASES], target, gvr.Context(CPU))


def reading(images: int, size: int = 32) -> None:
    """Draw images of the phantom and write them, as the stage `data` does."""
    split = Phantom(Phantom.Settings(size=size, train=images)).split("train")
    with tempfile.TemporaryDirectory() as folder:
        pixels = np.concatenate(
            [split.images(np.arange(i, min(i + 512, images))) for i in range(0, images, 512)]
        )
        write_arrays(Path(folder, "x.h5"), {"images": pixels})


def on_threads(threads: int, work: Callable[[], None]) -> None:
    """Work with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        work()
    finally:
        torch.set_num_threads(before)


Curves = dict[str, dict[str, dict[int, Callable[[], None]]]]


def curves() -> Curves:
    """Return what is timed: by axis, line and number."""
    benches = {size: StageContext(size) for size in SIZES}
    small, large = benches[32], benches[64]
    lines = {
        "WGAN-GP, 2 iterations of 2 x 32": lambda stage_ctx: stage_ctx.training,
        "encoding 250 images": lambda stage_ctx: stage_ctx.encoding,
        "16 rationales, 25 steps": lambda stage_ctx: stage_ctx.rationales,
    }
    return {
        "images": {
            "drawing the phantom": {n: partial(reading, n) for n in IMAGES},
            "encoding": {n: partial(small.encoding, n) for n in IMAGES},
        },
        "latent steps": {"16 rationales": {n: partial(small.rationales, n) for n in STEPS}},
        "pixels along an edge": {
            name: {size: of(stage_ctx) for size, stage_ctx in benches.items()}
            for name, of in lines.items()
        },
        "threads (64 px)": {
            name: {n: partial(on_threads, n, of(large)) for n in THREADS}
            for name, of in lines.items()
        },
    }


def timed(wanted: Curves, rounds: int) -> dict[tuple[str, str, int], list[float]]:
    """Time everything in turns."""
    took: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for number in range(rounds + 1):  # the first is a warm-up
        for axis, lines in wanted.items():
            for line, works in lines.items():
                for x, work in works.items():
                    seconds = seconds_of(work, CPU)
                    if number:
                        took[axis, line, x].append(seconds)
        say(f"curves: round {number} of {rounds}")
    return took


def draw(wanted: Curves, took: dict[tuple[str, str, int], list[float]], path: Path) -> None:
    """Draw one panel per axis: medians, with bars from the least to the most."""
    mpl.rcParams.update({"svg.hashsalt": "gvr-bench", "svg.fonttype": "none", "font.size": 9})
    figure, panels = pyplot.subplots(2, 2, figsize=(8, 6), layout="constrained")
    for panel, (axis, lines) in zip(panels.flat, wanted.items(), strict=True):
        for marker, (line, works) in zip("os^", lines.items(), strict=False):
            xs = list(works)
            rows = [took[axis, line, x] for x in xs]
            middle = [statistics.median(row) for row in rows]
            off = [
                [m - min(row) for m, row in zip(middle, rows, strict=True)],
                [max(row) - m for m, row in zip(middle, rows, strict=True)],
            ]
            panel.errorbar(xs, middle, off, marker=marker, capsize=3, label=line)
        panel.set(xlabel=axis, ylabel="seconds", xscale="log", yscale="log")
        panel.set_xticks(xs, [str(x) for x in xs], minor=False)
        panel.minorticks_off()
        low, high = panel.get_ylim()
        panel.set_ylim(low / 1.2, high * (high / low) ** 0.35)  # room for the legend
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, print tables and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/explanation/costs.svg"))
    given = parser.parse_args()
    wanted = curves()
    told = machine()
    took = timed(wanted, given.rounds)
    print(told)
    rows = [(axis, line, x, spread(values)) for (axis, line, x), values in took.items()]
    print(table(("over", "what", "", "seconds"), rows))
    draw(wanted, took, given.out)


if __name__ == "__main__":
    main()
