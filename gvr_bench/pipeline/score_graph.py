"""The stages that follow from a head: its judges, every explainer, and their scores by group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gvr_bench.config.spec import ComponentSpec, Spec
from gvr_bench.core.errors import PluginError
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.core.types import Kind
from gvr_bench.metrics import METRICS, Declaration
from gvr_bench.metrics.decoding import DECODING, ORACLE_PREDICTION
from gvr_bench.metrics.prediction import PREDICTION_VERSION
from gvr_bench.registry.registry import ALL, Registry, blaming

RANDOMISED = ("randomised_head", "randomised_encoder", "randomised_generator")
PERTURBED = "perturbed"


class StageGraph:
    """The stages of one spec, each kept once."""

    def __init__(self, spec: Spec, registry: Registry) -> None:
        self.spec = spec
        self.registry = registry
        self.stages: dict[str, Stage] = {}

    def add(self, stage: Stage) -> Stage:
        """Keep one stage per key."""
        return self.stages.setdefault(stage.key, stage)

    def stage(
        self,
        kind: Kind,
        choice: ComponentSpec,
        inputs: tuple[Stage, ...],
        seed: int,
        as_kind: StageKind,
    ) -> Stage:
        """Plan a stage that is a plugin's work."""
        cls, settings = self.registry.settings(
            kind, choice.name, self.spec.profile, choice.settings
        )
        with blaming(f"{kind} '{choice.name}'"):
            component = cls(settings)
            inside = component.fingerprint()
        values = settings.model_dump(mode="json", exclude=set(cls.files))
        return self.add(
            Stage(as_kind, choice.name, cls.version, values, inputs, seed, inside, component)
        )

    def explanation(
        self,
        choice: ComponentSpec,
        head: Stage,
        cases: Stage,
        seed: int,
        as_kind: StageKind = "explanations",
    ) -> Stage:
        """Plan one explainer; asked for as part of `all`, one that does not load is a row."""
        try:
            return self.stage("explainer", choice, (head, cases), seed, as_kind)
        except PluginError as error:
            if not any(choice.name == ALL for choice in self.spec.explainer):
                raise
            return self.add(Stage(as_kind, choice.name, "", {}, (head, cases), problem=str(error)))


def versions(metrics: Iterable[Declaration]) -> dict[str, str]:
    """Return the version of each metric: what a value depends on."""
    return {metric.name: metric.version for metric in metrics}


@dataclass(frozen=True)
class Scoring:
    """Plans the scores of one head.

    `contaminated` is the same head fitted on the test images, None where it cannot be;
    `other_seed` makes the head that another seed leads to.
    """

    shelf: StageGraph
    head: Stage
    cases: Stage
    seed: int
    contaminated: Stage | None
    other_seed: Callable[[], Stage]

    def judging(self) -> tuple[Stage, ...]:
        """Plan the scores of the model itself."""
        add, groups = self.shelf.add, self.shelf.spec.groups
        inputs = self.head, self.head.input("latents")
        planned = [add(Stage("prediction", self.head.name, PREDICTION_VERSION, {}, inputs))]
        if "oracle" in groups:
            planned.append(self.oracle())
        if "decoding" in groups:
            encoder = self.head.input("encoder")
            judged = encoder, self.head.input("data"), self.oracle()
            settings = {"metrics": versions(DECODING)}
            planned.append(add(Stage("decoding", encoder.name, "1", settings, judged, self.seed)))
        return tuple(planned)

    def oracle(self) -> Stage:
        """Plan the independent model."""
        settings = {"metrics": versions(ORACLE_PREDICTION)}
        data = self.head.input("data")
        return self.shelf.add(Stage("oracle", "oracle", "1", settings, (data,), self.seed))

    def scores(self, choice: ComponentSpec, made: Stage) -> dict[str, Stage]:
        """Plan the scores of one explainer, by group; `made` are its explanations."""
        planned: dict[str, Stage] = {}
        for group in self.shelf.spec.groups:
            metrics = versions(m for m in METRICS if m.group == group)
            if not metrics:
                continue
            planned[group] = self.shelf.add(
                Stage(
                    "scores",
                    choice.name,
                    "1",
                    {"group": group, "metrics": metrics},
                    self.evidence(group, choice, made),
                )
            )
        return planned

    def evidence(self, group: str, choice: ComponentSpec, made: Stage) -> tuple[Stage, ...]:
        """Return the stages that a group of metrics looks at."""
        first = (made, self.cases)
        match group:
            case "oracle":
                return (*first, self.oracle())
            case "realism":
                data = self.head.input("data")
                class_autoencoders = Stage(
                    "class_autoencoders", "autoencoders", "1", {}, (data, self.cases), self.seed
                )
                return (*first, self.shelf.add(class_autoencoders))
            case "robustness":
                return (*first, self.probe(made, PERTURBED))
            case "sanity":
                return (*first, *(self.probe(made, what) for what in RANDOMISED))
            case "contamination" if self.contaminated:
                spoilt = self.shelf.explanation(choice, self.contaminated, self.cases, self.seed)
                return (*first, spoilt)
            case "repeatability":
                head = self.other_seed()
                assert head.seed is not None
                return (*first, self.shelf.explanation(choice, head, self.cases, head.seed))
            case "simulatability":
                inputs = self.head, self.cases
                lessons = self.shelf.explanation(choice, *inputs, self.seed, "student_training_set")
                bare = self.shelf.add(
                    Stage("student_training_set", "labels only", "1", {}, inputs, self.seed)
                )
                return (*first, self.student(lessons), self.student(bare))
        return first

    def student(self, lessons: Stage) -> Stage:
        """Plan students that learn from lessons."""
        return self.shelf.add(Stage("student", lessons.name, "1", {}, (lessons,), self.seed))

    def probe(self, made: Stage, what: str) -> Stage:
        """Plan to explain again with one thing changed."""
        settings: dict[str, Any] = {"changed": what}
        return self.shelf.add(
            Stage(
                "perturbed_explanations",
                made.name,
                "1",
                settings,
                (made,),
                made.seed,
                component=made.component,
                problem=made.problem,
            )
        )
