"""Stages, each with a key that says all its value depends on, and plans made of them.

dataset -> data -> generator -> encoder -> latents -> head -> prediction
             |-> cases                                  |-> explanations -> probe -> scores
             |-> oracle, judges -> decoding, scores     |-> lessons -> student -> scores
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gvr_bench.core.components import Component

SCHEMA = 1
REVISIONS = {"explanations": 3}  # kinds whose values hold other files than at first
StageKind = Literal[
    "data",
    "cases",
    "generator",
    "encoder",
    "latents",
    "head",
    "prediction",
    "explanations",
    "oracle",  # an independent model of the same task, trained on pixels
    "class_autoencoders",  # autoencoders of one side of the task each
    "decoding",  # how good the decoder is
    "perturbed_explanations",  # the same cases explained again, with one thing changed
    "student_training_set",  # training images explained, for a student
    "student",
    "scores",
]
MAIN: tuple[StageKind, ...] = (
    "data", "cases", "generator", "encoder", "latents", "head", "prediction",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a run. Equal keys mean equal values.

    `name` is the component's; `seed` is the user's, None where nothing is drawn. `problem` says
    why the stage cannot be computed, for a component that does not load.
    """

    kind: StageKind
    name: str
    version: str
    settings: dict[str, Any]
    inputs: tuple[Stage, ...] = ()
    seed: int | None = None
    fingerprint: str = ""
    component: Component | None = None
    problem: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.made_of()))

    @functools.cached_property
    def recipe(self) -> str:
        """A key of all that the value depends on but seeds: equal recipes differ by seeds alone."""
        content = [
            SCHEMA,
            self.kind,
            self.name,
            self.version,
            self.settings,
            self.fingerprint,
            [stage.recipe for stage in self.inputs],
        ]
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]

    def input(self, kind: StageKind) -> Stage:
        """Return the stage of a kind that this one is or depends on, however far up."""
        direct = [stage for stage in (self, *self.inputs) if stage.kind == kind]
        if direct:
            return direct[0]
        for stage in self.inputs:
            try:
                return stage.input(kind)
            except LookupError:
                continue
        raise LookupError(f"{self.kind} depends on no {kind}")

    def made_of(self) -> dict[str, Any]:
        """All that the key is made of, for people."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "settings": self.settings,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
            "inputs": [f"{stage.kind} {stage.key}" for stage in self.inputs],
        }

    def describe(self) -> dict[str, Any]:
        """The key, and all that it is made of."""
        return {**self.made_of(), "key": self.key}

    def __str__(self) -> str:
        """Return kind and name, and which part of several."""
        part = self.settings.get("group") or self.settings.get("changed")
        return f"{self.kind} {self.name}" + (f", {part}" if part else "")


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(told: Mapping[str, Any]) -> str:
    """Return the key that this version gives to a stage which `made_of` tells of."""
    kind = told["kind"]
    content = [
        SCHEMA,
        kind,
        told["name"],
        told["version"],
        told["settings"],
        told["seed"],
        told["fingerprint"],
        [text.split()[-1] for text in told["inputs"]],
        *([REVISIONS[kind]] if kind in REVISIONS else []),
    ]
    return hashlib.sha256(canonical(content).encode()).hexdigest()
