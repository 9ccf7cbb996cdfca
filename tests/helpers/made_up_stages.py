"""Stages of a small made-up data set: a square on noise is all there is to see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gvr_bench.api as gvr
from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps.data import compute_cases, compute_data

BINARY = gvr.Task("binary", ("square",))
TWO = gvr.Task("multilabel", ("left", "right"))
THREE = gvr.Task("multiclass", ("none", "left", "right"), source=1, target=2)
AREA = gvr.Task(
    "regression", ("area",), "mm", threshold=30.0, scale=gvr.Scale(log=True, divisor=10)
)
SIZE = 16


class KilledError(Exception):
    pass


def picture(left: int, right: int, rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """A grey image with a white square of that edge on either side."""
    pixels = rng.integers(60, 100, (channels, SIZE, SIZE))
    pixels[:, 5 : 5 + left, 1 : 1 + left] = 220
    pixels[:, 5 : 5 + right, 9 : 9 + right] = 220
    return pixels.astype(np.uint8)


class Squares(gvr.Dataset):
    """Images whose label says which squares are there; `change` edits the targets of a split."""

    def __init__(
        self,
        task: gvr.Task,
        counts: dict[str, int] | None = None,
        change: Callable[[str, np.ndarray], None] = lambda name, targets: None,
        channels: int = 1,
    ) -> None:
        super().__init__(gvr.Settings())
        self.made = task
        self.counts = {"train": 48, "validation": 24, "test": 24} | (counts or {})
        self.change = change
        self.channels = channels

    @property
    def task(self) -> gvr.Task:
        return self.made

    @property
    def image(self) -> gvr.ImageSpec:
        return gvr.ImageSpec(self.channels, SIZE)

    def fingerprint(self) -> str:
        return "made up"

    def split(self, name: str) -> gvr.Split:
        n = self.counts[name]
        rng = np.random.default_rng(["train", "validation", "test"].index(name))
        shown = np.stack([self.draw(i, rng) for i in range(n)])  # (n, 2) edges
        images = np.stack([picture(*edges, rng, self.channels) for edges in shown])
        targets = {
            "binary": shown[:, :1] > 0,
            "multilabel": shown > 0,
            "multiclass": np.arange(n)[:, None] % 3,
            "regression": shown[:, :1] ** 2 + 1,
        }[self.made.kind].astype(np.float32)
        self.change(name, targets)
        names = np.array([f"{name}-{i}" for i in range(n)])
        return gvr.Split(names, names, targets, lambda index: images[index])

    def draw(self, i: int, rng: np.random.Generator) -> tuple[int, int]:
        """Edges of the squares of image `i`; both outcomes of all tasks are there."""
        if self.made.kind == "multiclass":
            return (5 * (i % 3 == 1), 5 * (i % 3 == 2))
        if self.made.kind == "regression":
            return (int(rng.integers(2, 8)), 0)
        return (5 * (i % 2), 5 * (i // 2 % 2))


@dataclasses.dataclass
class Bank:
    """A cache, and the seed of what is computed in it."""

    root: Path
    seed: int = 0

    def stage(
        self, kind: StageKind, *inputs: Stage, component: Any = None, name: str = ""
    ) -> Stage:
        """A stage made by hand."""
        names = [*STEPS[kind].inputs, *(stage.kind for stage in inputs[len(STEPS[kind].inputs) :])]
        named = dict(zip(names, inputs, strict=False))
        return Stage(kind, name or kind, "1", {"max_cases": 8}, named, 0, component=component)

    def stage_ctx(self, stage: Stage, **more: Any) -> StageContext:
        """A stage at work."""
        return StageContext(
            stage,
            ArtifactCache(self.root),
            gvr.Context(torch.device("cpu"), seed=self.seed, **more),
        )

    def compute(
        self, stage: Stage, function: Callable[[StageContext], None], **more: Any
    ) -> StageContext:
        """Compute a stage."""
        made = self.stage_ctx(stage, **more)
        function(made)
        return made

    def data(self, dataset: gvr.Dataset) -> Stage:
        """The images of a data set."""
        stage = self.stage("data", component=dataset)
        self.compute(stage, compute_data)
        return stage

    def cases(self, data: Stage) -> Stage:
        """What is asked of them."""
        stage = self.stage("cases", data, component=data.component)
        self.compute(stage, compute_cases)
        return stage

    def resumed(
        self, stage: Stage, function: Callable[[StageContext], None], killed_at: int
    ) -> StageContext:
        """Compute a stage that is killed once and taken up again from its checkpoint."""
        checkpoints = FileCheckpoints(self.root / "work", 0)

        def kill(done: int, total: int, detail: str) -> None:
            if done == killed_at:
                raise KilledError

        try:
            self.compute(stage, function, checkpoints=checkpoints, progress=kill)
        except KilledError:
            found = checkpoints.load()
            assert found is not None
            assert found[0] == killed_at
            return self.compute(stage, function, checkpoints=checkpoints)
        raise AssertionError("was never killed")
