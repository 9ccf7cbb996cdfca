"""Stages: the steps of a run, each with a key that contains all that its value depends on.

data -> generator -> encoder -> latents -> head -> prediction
  |-> cases                                  |-> explanations -> perturbed_explanations -> scores
  |-> oracle, class_autoencoders -> scores   |-> structure_effects, noise_response -> scores
                                             |-> student_training_set -> student -> scores
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gvr_bench.core.components import Component
from gvr_bench.core.digests import source_digest
from gvr_bench.core.explainer import Explainer, Role

SCHEMA = 1
REVISIONS = {  # of kinds whose files have changed since the first version
    "cases": 3,
    "class_autoencoders": 3,
    "decoding": 2,
    "explanations": 5,
    "head": 3,
    "perturbed_explanations": 4,
    "prediction": 2,
    "scores": 3,
    "student": 2,
    "student_training_set": 2,
}
PARTS = {
    "scores": "group",
    "perturbed_explanations": "changed",
}  # settings that name one of several
StageKind = str  # the kind of one of the steps in gvr_bench.pipeline.steps


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a run. Equal keys mean equal values.

    `name` is the component's; `seed` is the user's, None where nothing is drawn. `inputs` are the
    stages whose values it reads, by their role. `problem` says why it cannot be computed, for a
    component that does not load.
    """

    kind: StageKind
    name: str
    version: str
    settings: dict[str, Any]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    seed: int | None = None
    fingerprint: str = ""
    component: Component | None = None
    problem: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.key_content()))

    @functools.cached_property
    def recipe(self) -> str:
        """Like the key, but without seeds: equal recipes differ by seeds alone."""
        content = [
            SCHEMA,
            self.kind,
            self.name,
            self.version,
            self.settings,
            self.fingerprint,
            [stage.recipe for stage in self.inputs.values()],
        ]
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]

    def input(self, kind: StageKind) -> Stage:
        """Return the nearest stage of a kind that this one is or depends on."""
        for stage in (self, *self.inputs.values()):
            if stage.kind == kind:
                return stage
        for stage in self.inputs.values():
            try:
                return stage.input(kind)
            except LookupError:
                continue
        raise LookupError(f"{self.kind} depends on no {kind}")

    def lineage(self) -> Iterator[Stage]:
        """Yield the stage and all that it depends on, some more than once."""
        yield self
        for stage in self.inputs.values():
            yield from stage.lineage()

    def key_content(self) -> dict[str, Any]:
        """Return all that the key depends on, readable."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "settings": self.settings,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
            "inputs": [f"{stage.kind} {stage.key}" for stage in self.inputs.values()],
        }

    def describe(self) -> dict[str, Any]:
        """Return the key and its content."""
        return {**self.key_content(), "key": self.key}

    @property
    def part(self) -> str:
        """Which of several stages of its kind and name it is; empty where there is one only."""
        return str(self.settings.get(PARTS.get(self.kind, ""), ""))

    @property
    def role(self) -> Role | None:
        """The role of its explainer; None where there is none, or where it does not load."""
        return self.component.role if isinstance(self.component, Explainer) else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f", {self.part}" if self.part else "")


def fingerprint_of(component: Component) -> str:
    """Return a text that changes with what a component reads, and with its code if not ours."""
    code = source_digest(type(component).__module__)
    return " ".join(filter(None, [component.fingerprint(), code and f"code {code}"]))


def depends_on(stage: Stage, kind: StageKind) -> bool:
    """Whether a stage is of a kind or depends on one."""
    return any(part.kind == kind for part in stage.lineage())


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(content: Mapping[str, Any]) -> str:
    """Return the key of a stage with this `key_content`, or as read from its `meta.json`."""
    kind = content["kind"]
    parts = [
        SCHEMA,
        kind,
        content["name"],
        content["version"],
        content["settings"],
        content["seed"],
        content["fingerprint"],
        [text.split()[-1] for text in content["inputs"]],
        *([REVISIONS[kind]] if kind in REVISIONS else []),
    ]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()
