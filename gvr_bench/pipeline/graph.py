"""Which stage needs which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gvr_bench.config.metric_choice import choose_metrics
from gvr_bench.config.spec import ComponentSpec, Spec, canonical_spec
from gvr_bench.core.components import Component, Dataset, Encoder, Head
from gvr_bench.core.errors import PluginError
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.metric import Metric
from gvr_bench.core.stage import Stage, StageKind, depends_on, fingerprint_of
from gvr_bench.core.types import Kind
from gvr_bench.metrics import GROUPS, decoding, faithfulness, intervention, oracle
from gvr_bench.metrics.base import versions
from gvr_bench.metrics.prediction import PREDICTION_VERSION
from gvr_bench.registry.metric_plugins import group_of
from gvr_bench.registry.names import collective
from gvr_bench.registry.registry import Registry, blaming

CONTAMINATED = "contaminated"  # the setting of a head that is fitted on the test images
SMALL_BATCH = 32  # of autoencoders of classes, for data sets that may have few images


class StageGraph:
    """The stages of one spec, each once."""

    def __init__(self, spec: Spec, registry: Registry) -> None:
        self.registry = registry
        self.spec = canonical_spec(spec, registry)
        self.metrics = choose_metrics(spec.metrics, registry)
        self.of_plugins = [(label, self._open("metric", c)) for c, label in self.metrics.plugins]
        for label, (component, *_) in self.of_plugins:
            group_of(label, cast(Metric, component))  # raises where its declaration is faulty
        self.stages: dict[str, Stage] = {}

    def add(
        self,
        kind: StageKind,
        name: str,
        inputs: Mapping[str, Stage],
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
        version: str = "1",
    ) -> Stage:
        """Add a stage that is no plugin's work."""
        return self._add(Stage(kind, name, version, dict(settings or {}), inputs, seed))

    def _add(self, stage: Stage) -> Stage:
        return self.stages.setdefault(stage.key, stage)

    def component(
        self, kind: Kind, choice: ComponentSpec, seed: int, as_kind: str = "", **inputs: Stage
    ) -> Stage:
        """Add a stage that is a plugin's work; `as_kind` is its kind if not the plugin's."""
        small = self.small_data(kind, choice, *inputs.values())
        new, values, fingerprint = self._open(kind, choice, small)
        kind_of_stage, name = as_kind or kind, choice.name
        return self._add(
            Stage(kind_of_stage, name, new.version, values, inputs, seed, fingerprint, new)
        )

    def small_data(self, kind: Kind, choice: ComponentSpec, *inputs: Stage) -> Mapping[str, Any]:
        """Return the settings of a component for a data set that may have few images."""
        small = self.registry.component(kind, choice.name).small_data
        if not small or self.spec.profile != "quick":
            return {}
        return {} if cast(Dataset, inputs[0].input("data").component).has_networks else small

    def _open(
        self, kind: Kind, choice: ComponentSpec, preset: Mapping[str, Any] | None = None
    ) -> tuple[Component, dict[str, Any], str]:
        """Return a component, its settings as a key holds them, and its fingerprint."""
        cls, settings = self.registry.settings(
            kind, choice.name, self.spec.profile, {**(preset or {}), **choice.settings}
        )
        with blaming(f"{kind} '{choice.name}'"):
            component = cls(settings)
            fingerprint = fingerprint_of(component)
        fields = cls.Settings.model_fields
        old = {name for name in cls.newer if getattr(settings, name) == fields[name].default}
        values = settings.model_dump(mode="json", exclude=old | cls.files)
        return component, values, fingerprint

    def scores_by_plugins(self, explainer: str, inputs: Mapping[str, Stage]) -> dict[str, Stage]:
        """Add a stage for each metric of a plugin, so that each is computed again on its own."""
        stages = {}
        for label, (component, values, fingerprint) in self.of_plugins:
            settings = {"group": label, "metrics": {label: component.version}, "settings": values}
            stage = Stage("scores", explainer, "1", settings, inputs, None, fingerprint, component)
            stages[label] = self._add(stage)
        return stages

    def explanations(
        self,
        choice: ComponentSpec,
        head: Stage,
        cases: Stage,
        seed: int,
        kind: StageKind = "explanations",
        encoder: Stage | None = None,
    ) -> Stage:
        """Add one explainer; if it does not load and nobody named it, its stage has a problem.
        `encoder` is for those of a network of images that draw with a decoder.
        """
        inputs = {"head": head, "cases": cases}
        if cls := self.explainer(choice):
            inputs |= {"encoder": encoder} if encoder and cls.uses_decoder() else {}
            inputs |= {"data": head.input("data")} if cls.uses_reference else {}
        try:
            return self.component("explainer", choice, seed, kind, **inputs)
        except PluginError as error:
            named = self.spec.explainer
            if choice in named and not any(self.collective(other) for other in named):
                raise
            return self._add(Stage(kind, choice.name, "", {}, inputs, problem=str(error)))

    def explainer(self, choice: ComponentSpec) -> type[Explainer] | None:
        """Return the class of an explainer, None if it does not load."""
        try:
            return cast(type[Explainer], self.registry.component("explainer", choice.name))
        except PluginError:
            return None

    def collective(self, choice: ComponentSpec) -> str:
        """Return the word for several explainers that a choice is; empty where it names one."""
        return collective(choice.name, self.registry.plugins("explainer"))

    def perturbed(self, explanations: Stage, change: str) -> Stage:
        """Add the same explanations with one thing changed, for a sample of the cases."""
        cases = self.spec.perturbed_cases
        if explanations.component and cast(Explainer, explanations.component).costly:
            cases = min(cases, self.spec.perturbed_costly_cases)
        settings = {"changed": change, "cases": cases}
        stage = Stage(
            "perturbed_explanations", explanations.name, "3", settings,
            {"explanations": explanations}, explanations.seed,
            component=explanations.component, problem=explanations.problem,
        )  # fmt: skip
        return self._add(stage)

    def open(self, choice: ComponentSpec) -> Dataset:
        root = Path(self.spec.data_root) if self.spec.data_root else None
        return self.registry.open_dataset(choice.name, choice.settings, self.spec.profile, root)

    def data(self, name: str, dataset: Dataset) -> Stage:
        """Add the stage that reads a data set. Raises `DataError` where it is not there."""
        settings = dataset.settings.model_dump(
            mode="json", exclude={*dataset.case_settings, *dataset.files}
        )
        with blaming(f"dataset '{name}'"):
            fingerprint = fingerprint_of(dataset)
        return self._add(
            Stage(
                "data", name, dataset.version, settings, fingerprint=fingerprint, component=dataset
            )
        )

    def cases(self, dataset: Dataset, data: Stage) -> Stage:
        """Add the stage that chooses what is explained, which alone needs the case settings."""
        chosen = dataset.settings.model_dump(mode="json", include=set(dataset.case_settings))
        settings = {"max_cases": self.spec.max_cases, "case_settings": chosen}
        return self._add(
            Stage("cases", data.name, dataset.version, settings, {"data": data}, component=dataset)
        )

    def class_autoencoders(self, data: Stage, cases: Stage, seed: int) -> Stage:
        """Add the autoencoders of what can be explained; how many cases are does not matter."""
        settings = {"case_settings": cases.settings["case_settings"]}
        if not cast(Dataset, cases.component).has_networks:  # it may have few images
            settings["batch"] = SMALL_BATCH
        return self._add(
            Stage(
                "class_autoencoders", "autoencoders", "1", settings, {"data": data}, seed,
                component=cases.component,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class ModelBranch:
    """The stages of one choice of images, generator, encoder and head, for any seed.

    `images` are those that the generator is trained on. A branch without a decoder is of a network
    of images whose explainers need none.
    """

    graph: StageGraph
    data: Stage
    cases: Stage
    images: Stage
    generator: ComponentSpec
    encoder: ComponentSpec | None
    head_choice: ComponentSpec

    @property
    def has_decoder(self) -> bool:
        return self.encoder is not None

    @property
    def sees_images(self) -> bool:
        """Whether the head is a network of images, which is explained as it is."""
        cls = self.graph.registry.component("head", self.head_choice.name)
        return cast(type[Head], cls).sees == "images"

    def latents(self, seed: int) -> Stage:
        """Add generator, encoder (on the generator's images unless it needs labels) and latents."""
        graph = self.graph
        assert self.encoder is not None
        generator = graph.component("generator", self.generator, seed, images=self.images)
        cls = cast(type[Encoder], graph.registry.component("encoder", self.encoder.name))
        images = self.data if cls.supervised else self.images
        encoder = graph.component("encoder", self.encoder, seed, generator=generator, images=images)
        inputs = {"data": self.data, "encoder": encoder}
        settings = graph.spec.latents.model_dump(mode="json")
        if settings["copies"] is None:
            settings["copies"] = cast(Dataset, self.data.component).latent_copies
        return graph.add("latents", self.encoder.name, inputs, seed, settings)

    def head(self, seed: int) -> Stage:
        return self.fitted(self.head_choice, seed)

    def fitted(self, choice: ComponentSpec, seed: int) -> Stage:
        if self.sees_images:
            return self.graph.component("head", choice, seed, data=self.data)
        return self.graph.component("head", choice, seed, latents=self.latents(seed))

    def explanations(
        self, choice: ComponentSpec, head: Stage, seed: int, kind: StageKind = "explanations"
    ) -> Stage:
        drawn_with = self.sees_images and self.has_decoder  # explainers of a network of images
        encoder = self.latents(seed).inputs["encoder"] if drawn_with else None
        return self.graph.explanations(choice, head, self.cases, seed, kind, encoder)

    def contaminated(self, seed: int) -> Stage | None:
        """Add the head fitted on the test images; None where it has no such setting, or is."""
        choice, spec = self.head_choice, self.graph.spec
        _, settings = self.graph.registry.settings(
            "head", choice.name, spec.profile, choice.settings
        )
        if getattr(settings, CONTAMINATED, None) is not False:
            return None
        other = ComponentSpec(name=choice.name, settings={**choice.settings, CONTAMINATED: True})
        return self.fitted(other, seed)

    def model_scores(self, head: Stage, seed: int) -> tuple[Stage, ...]:
        graph = self.graph
        inputs = {"head": head}
        if self.has_decoder:
            inputs["latents"] = self.latents(seed)
        stages = [graph.add("prediction", head.name, inputs, version=PREDICTION_VERSION)]
        if "oracle" in graph.metrics.groups and self.has_decoder:
            stages.append(self.oracle(seed))
        if "decoding" in graph.metrics.groups and self.has_decoder:
            encoder = self.latents(seed).inputs["encoder"]
            inputs = {"encoder": encoder, "data": self.data, "oracle": self.oracle(seed)}
            settings = {"metrics": versions(decoding.GROUP.declarations)}
            stages.append(graph.add("decoding", encoder.name, inputs, seed, settings))
        if "intervention" in graph.metrics.groups:
            stages.append(self.structure_effects(seed))
        return tuple(stages)

    def structure_effects(self, seed: int) -> Stage:
        """Add what the model's output loses without each structure, once for all explainers."""
        inputs = {"head": self.head(seed), "cases": self.cases}
        settings = {"metrics": versions(intervention.GROUP.declarations)}
        return self.graph.add("structure_effects", self.head_choice.name, inputs, None, settings)

    def oracle(self, seed: int) -> Stage:
        settings = {"metrics": versions(oracle.GROUP.declarations)}
        return self.graph.add("oracle", "oracle", {"data": self.data}, seed, settings)

    def scores(self, choice: ComponentSpec, explanations: Stage, seed: int) -> dict[str, Stage]:
        stages: dict[str, Stage] = {}
        for group in GROUPS:
            if group.name not in self.graph.metrics.groups or not group.metrics:
                continue
            inputs = {"explanations": explanations, "cases": self.cases}
            for name in group.stages:
                stage = self.score_input(name, choice, explanations, seed)
                inputs |= {name: stage} if stage else {}
            settings = {"group": group.name, "metrics": versions(group.metrics)}
            stages[group.name] = self.graph.add("scores", choice.name, inputs, None, settings)
        inputs = {"explanations": explanations, "cases": self.cases}
        return stages | self.graph.scores_by_plugins(choice.name, inputs)

    def score_input(
        self, name: str, choice: ComponentSpec, explanations: Stage, seed: int
    ) -> Stage | None:
        """Add what a group of metrics reads beside explanations and cases; None without it."""
        graph, cls = self.graph, self.graph.explainer(choice)
        moving = cls is None or cls.returns_counterfactuals()
        match name:
            case "oracle":
                return self.oracle(seed) if moving else None
            case "latents":
                return self.latents(seed) if moving and self.has_decoder else None
            case "class_autoencoders":
                if not moving:
                    return None
                return graph.class_autoencoders(self.data, self.cases, seed)
            case "structure_effects":
                return self.structure_effects(seed)
            case "noise_response":
                inputs = {"head": self.head(seed), "cases": self.cases}
                settings = {"metrics": versions([faithfulness.infidelity])}
                return graph.add(name, self.head_choice.name, inputs, None, settings)
            case "contaminated":
                head = self.contaminated(seed)
                return self.explanations(choice, head, seed) if head else None
            case "other_seed":
                seeds = graph.spec.seeds
                many = len(seeds) > 1
                seed = seeds[(seeds.index(seed) + 1) % len(seeds)] if many else seed + 1
                return self.explanations(choice, self.head(seed), seed)
            case "student" | "student_without_maps":
                return self.student(choice, seed, with_maps=name == "student")
            case "other_target":
                if len(cast(Dataset, self.data.component).task.outputs) < 2:
                    return None
            case "randomised_encoder" | "randomised_generator":
                if not depends_on(explanations, "encoder"):
                    return None
        return graph.perturbed(explanations, name)

    def student(self, choice: ComponentSpec, seed: int, *, with_maps: bool) -> Stage:
        kind, inputs = "student_training_set", {"head": self.head(seed), "cases": self.cases}
        if with_maps:
            examples = self.explanations(choice, inputs["head"], seed, kind)
        else:
            examples = self.graph.add(kind, "labels only", inputs, seed)
        return self.graph.add("student", examples.name, {"student_training_set": examples}, seed)
