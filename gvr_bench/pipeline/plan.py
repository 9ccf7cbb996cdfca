"""Plans: the combinations of a spec, with all stages that belong to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gvr_bench.config.spec import Spec
from gvr_bench.core.stage import Stage, canonical


@dataclass(frozen=True)
class Combination:
    """One data set, generator, encoder, head and seed, with the stages that belong to it.

    `judging` are the stages with scores of the model itself, that of the head first;
    `explanations` go by explainer, `scores` by explainer and group of metrics.
    """

    dataset: str
    generator: str
    encoder: str
    head: str
    seed: int
    cases: Stage
    generator_stage: Stage
    encoder_stage: Stage
    head_stage: Stage
    judging: tuple[Stage, ...]
    explanations: dict[str, Stage]
    scores: dict[str, dict[str, Stage]]

    @property
    def prediction(self) -> Stage:
        """The stage that scores the head."""
        return self.judging[0]

    @property
    def latents(self) -> Stage:
        """The stage with the latents of all images."""
        return self.head_stage.input("latents")

    @property
    def data(self) -> Stage:
        """The stage with the images."""
        return self.cases.input("data")


@dataclass(frozen=True)
class Plan:
    """What a spec comes to: combinations, and all their stages, inputs first, each once."""

    spec: Spec
    combinations: tuple[Combination, ...]
    stages: tuple[Stage, ...]

    @property
    def key(self) -> str:
        """A key of all that the run depends on."""
        return hashlib.sha256(canonical([s.key for s in self.stages]).encode()).hexdigest()
