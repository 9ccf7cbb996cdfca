"""Plans: the combinations of a spec, with all stages that belong to them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

from gvr_bench.config.metric_choice import MetricChoice
from gvr_bench.config.spec import ComponentSpec, Spec, labelled
from gvr_bench.core.components import Dataset, Generator, Head
from gvr_bench.core.errors import UsageError
from gvr_bench.core.stage import Stage, canonical, depends_on
from gvr_bench.core.types import ImageSpec
from gvr_bench.pipeline.graph import ModelBranch, StageGraph
from gvr_bench.registry.names import stands_for
from gvr_bench.registry.registry import Registry
from gvr_bench.results.records import NO_DECODER, model_label


@dataclass(frozen=True)
class Combination:
    """One data set, generator, encoder, head and seed, with the stages that belong to it.

    `latents` are those of all images, None without a decoder: then generator and encoder are
    `NO_DECODER`. `judging` are the stages that score the model itself, that of the head first;
    `explanations` go by explainer, `scores` by explainer and group of metrics.
    """

    dataset: str
    generator: str
    encoder: str
    head: str
    seed: int
    cases: Stage
    latents: Stage | None
    head_stage: Stage
    judging: tuple[Stage, ...]
    explanations: dict[str, Stage]
    scores: dict[str, dict[str, Stage]]

    @property
    def prediction(self) -> Stage:
        return self.judging[0]

    @property
    def generator_stage(self) -> Stage | None:
        """The stage of the generator, None without a decoder."""
        return self.latents.input("generator") if self.latents else None

    @property
    def encoder_stage(self) -> Stage | None:
        """The stage of the encoder, None without a decoder."""
        return self.latents.input("encoder") if self.latents else None

    @property
    def data(self) -> Stage:
        return self.cases.input("data")


@dataclass(frozen=True)
class Plan:
    """The combinations of a spec, and all their stages, inputs first, each once.

    `metrics` says which scores of these stages are shown.
    """

    spec: Spec
    combinations: tuple[Combination, ...]
    stages: tuple[Stage, ...]
    metrics: MetricChoice

    def stages_to_recompute(self, names: Collection[str]) -> set[str]:
        """Return the keys of stages of these kinds or components, or `all`, and what needs them."""
        again: set[str] = set()
        for stage in self.stages:
            if {stage.kind, stage.name, "all"} & set(names) or any(
                needed.key in again for needed in stage.inputs.values()
            ):
                again.add(stage.key)
        return again

    @property
    def key(self) -> str:
        content = [s.key for s in self.stages] + sorted(self.metrics.single)
        return hashlib.sha256(canonical(content).encode()).hexdigest()


def make_plan(spec: Spec, registry: Registry) -> Plan:
    """Plan a spec. Raises `UsageError`, `PluginError` or `DataError`; computes nothing."""
    return plan_graph(StageGraph(spec, registry))


def plan_graph(graph: StageGraph) -> Plan:
    """Multiply out all choices of the graph's spec, adding their stages to it."""
    spec = graph.spec
    bare = heads_without_decoder(graph)
    combinations = []
    for d, d_label in labelled(spec.dataset):
        dataset = graph.open(d)
        data = graph.data(d.name, dataset)
        cases = graph.cases(dataset, data)
        generators = spec.generator or tuple(ComponentSpec(name=n) for n in dataset.generators)
        for seed, (h, h_label) in product(spec.seeds, labelled(bare)):
            branch = ModelBranch(graph, data, cases, data, generators[0], None, h)
            labels = (d_label, NO_DECODER, NO_DECODER, h_label)
            combinations.append(combination_of(branch, labels, seed))
        for seed, (images, suffix), (g, g_label) in product(
            spec.seeds, pretraining_images(graph, data, dataset.image), labelled(generators)
        ):
            encoders, heads = partners(graph, g, dataset)
            for (e, e_label), (h, h_label) in product(labelled(encoders), labelled(heads)):
                if h not in bare:
                    branch = ModelBranch(graph, data, cases, images, g, e, h)
                    labels = (d_label, g_label + suffix, e_label, h_label)
                    combinations.append(combination_of(branch, labels, seed))
    return Plan(spec, tuple(combinations), tuple(graph.stages.values()), graph.metrics)


def combination_of(
    branch: ModelBranch, labels: tuple[str, str, str, str], seed: int
) -> Combination:
    head = branch.head(seed)
    judging = branch.model_scores(head, seed)
    explanations, scores = {}, {}
    for choice, label in labelled(explainers_of(branch)):
        explanations[label] = branch.explanations(choice, head, seed)
        scores[label] = branch.scores(choice, explanations[label], seed)
    return Combination(
        *labels,
        seed,
        branch.cases,
        branch.latents(seed) if branch.has_decoder else None,
        head,
        judging,
        explanations,
        scores,
    )


def partners(
    graph: StageGraph, generator: ComponentSpec, dataset: Dataset
) -> tuple[tuple[ComponentSpec, ...], tuple[ComponentSpec, ...]]:
    """Return the encoders and heads of a generator: those of the spec, else its default ones."""
    cls = cast(type[Generator], graph.registry.component("generator", generator.name))
    encoder, head = cls.encoder, cls.head or dataset.head
    spec = graph.spec
    return spec.encoder or (ComponentSpec(name=encoder),), spec.head or (ComponentSpec(name=head),)


def heads_without_decoder(graph: StageGraph) -> list[ComponentSpec]:
    """Return the heads that are networks of images, if no explainer draws with a decoder."""
    classes = map(graph.explainer, chosen_explainers(graph))
    if any(cls and cls.uses_decoder() for cls in classes):
        return []
    heads = [(h, graph.registry.component("head", h.name)) for h in graph.spec.head]
    return [choice for choice, cls in heads if cast(type[Head], cls).sees == "images"]


def explainers_of(branch: ModelBranch) -> list[ComponentSpec]:
    """Return the chosen explainers and the controls of what they return.

    Controls that make counterfactuals are left out where no chosen explainer does, and those that
    lack a decoder.
    """
    graph = branch.graph
    chosen = chosen_explainers(graph)
    if not graph.spec.controls:
        return chosen
    classes = list(map(graph.explainer, chosen))
    moving = any(cls and cls.returns_counterfactuals() for cls in classes)
    applicable = [
        choice
        for choice in unnamed_explainers(graph, chosen)
        if (cls := graph.explainer(choice)) is not None
        and cls.role == "control"
        and (branch.has_decoder or not cls.uses_decoder())
        and (moving or not cls.returns_counterfactuals())
    ]
    return chosen + applicable


def chosen_explainers(graph: StageGraph) -> list[ComponentSpec]:
    """Return the explainers with words such as `all` written out.

    Those named beside a word keep their settings; settings of a word go to all it stands for.
    Without controls, no word but their own stands for controls.
    """
    named = [(choice, graph.collective(choice)) for choice in graph.spec.explainer]
    plugins = {plugin.name: plugin for plugin in graph.registry.plugins("explainer")}
    chosen = [choice for choice, collective in named if not collective]
    for choice, collective in named:
        for other in unnamed_explainers(graph, chosen) if collective else ():
            cls = graph.explainer(other)
            role = cls.role if cls else None
            left_out = role == "control" != collective and not graph.spec.controls
            if stands_for(collective, plugins[other.name], role) and not left_out:
                chosen.append(ComponentSpec(name=other.name, settings=choice.settings))
    return chosen


def unnamed_explainers(graph: StageGraph, named: Sequence[ComponentSpec]) -> list[ComponentSpec]:
    rows = [row.plugin for row in graph.registry.rows if row.plugin.kind == "explainer"]
    names = {choice.name for choice in named}
    return [
        ComponentSpec(name=n) for n in dict.fromkeys(row.name for row in rows) if n not in names
    ]


def pretraining_images(graph: StageGraph, data: Stage, image: ImageSpec) -> list[tuple[Stage, str]]:
    """Return the images that generator and encoder are trained on, each with a label.

    Raises `UsageError` where their shape differs from that of the explained images, `image`.
    """
    if not graph.spec.pretraining_dataset:
        return [(data, "")]
    sources = []
    for choice, label in labelled(graph.spec.pretraining_dataset):
        dataset = graph.open(choice)
        source = graph.data(choice.name, dataset)
        if dataset.image != image:
            raise UsageError(
                f"--pretrain-dataset {choice} has images of {dataset.image}, --dataset "
                f"{data.name} of {image}; give both the same size, e.g. "
                f"{choice.name}:size={image.size}"
            )
        sources.append((source, "" if source.key == data.key else f" on {label}"))
    return sources


def explainer_titles(plan: Plan) -> dict[str, str]:
    """Return by key of which explainer, on which model, a stage is, for those that explain.

    The model is named where there are several.
    """

    def model(combination: Combination) -> tuple[str, ...]:
        c = combination
        return c.dataset, model_label(c.generator, c.encoder, c.head), f"seed {c.seed}"

    several = [len(set(parts)) > 1 for parts in zip(*map(model, plan.combinations), strict=True)]
    titles: dict[str, str] = {}
    for c in plan.combinations:
        parts = [part for part, differs in zip(model(c), several, strict=True) if differs]
        for label, scores in c.scores.items():
            title = f"{label}, {', '.join(parts)}" if parts else label
            for stage in (c.explanations[label], *scores.values()):
                titles.setdefault(stage.key, title)
    for stage in reversed(plan.stages):
        for needed in stage.inputs.values():
            if stage.key in titles and depends_on(needed, "explanations"):
                titles.setdefault(needed.key, titles[stage.key])
    return titles
