"""From what was asked to the stages that answer it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import cast

from gvr_bench.config.spec import ComponentSpec, Spec
from gvr_bench.core.components import Dataset, Encoder
from gvr_bench.core.errors import UsageError
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import ImageSpec
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.pipeline.score_graph import Scoring, StageGraph
from gvr_bench.registry.registry import ALL, Registry, blaming

CONTAMINATED = "contaminated"  # the setting of a head that is fitted on the test images


class Planner(StageGraph):
    """Builds the plan of one spec."""

    def open(self, choice: ComponentSpec) -> Dataset:
        """Make a data set, looking in the spec's folder."""
        root = Path(self.spec.data_root) if self.spec.data_root else None
        return open_dataset(choice, self.spec.profile, root, self.registry)

    def data(self, choice: ComponentSpec, dataset: Dataset) -> Stage:
        """Plan the stage that reads a data set. Raises `DataError` where it is not there."""
        apart = {*dataset.case_settings, *dataset.files}
        settings = dataset.settings.model_dump(mode="json", exclude=apart)
        with blaming(f"dataset '{choice.name}'"):
            text = dataset.fingerprint()
        return self.add(
            Stage(
                "data",
                choice.name,
                dataset.version,
                settings,
                fingerprint=text,
                component=dataset,
            )
        )

    def cases(self, choice: ComponentSpec, dataset: Dataset, data: Stage) -> Stage:
        """Plan the stage that chooses what is explained; only here does it matter what is asked."""
        asked = dataset.settings.model_dump(mode="json", include=set(dataset.case_settings))
        return self.add(
            Stage(
                "cases",
                choice.name,
                dataset.version,
                {"max_cases": self.spec.max_cases, "case_settings": asked},
                (data,),
                component=dataset,
            )
        )

    def explainers(self) -> list[ComponentSpec]:
        """Return the choices with `all` written out, the ones given by name keeping settings."""
        given = [choice for choice in self.spec.explainer if choice.name != ALL]
        if len(given) == len(self.spec.explainer):
            return given
        named = {choice.name for choice in given}
        rows = dict.fromkeys(
            row.plugin.name for row in self.registry.rows if row.plugin.kind == "explainer"
        )
        return given + [ComponentSpec(name=name) for name in rows if name not in named]

    def plan(self) -> Plan:
        """Multiply out all choices."""
        spec = self.spec
        combinations = []
        for d, d_label in labelled(spec.dataset):
            dataset = self.open(d)
            data = self.data(d, dataset)
            cases = self.cases(d, dataset, data)
            heads = spec.head or (ComponentSpec(name=dataset.head),)
            for seed, (source, suffix), (g, g_label), (e, e_label), (h, h_label) in product(
                spec.seeds,
                self.sources(data, dataset.image),
                labelled(spec.generator),
                labelled(spec.encoder),
                labelled(heads),
            ):
                chain = ModelBranch(self, data, source, g, e, h)
                labels = (d_label, g_label + suffix, e_label, h_label)
                combinations.append(self.combination(labels, chain, cases, seed))
        return Plan(spec, tuple(combinations), tuple(self.stages.values()))

    def combination(
        self, labels: tuple[str, str, str, str], chain: ModelBranch, cases: Stage, seed: int
    ) -> Combination:
        """Plan a model, its own scores, and every explainer's."""
        head = chain.head(seed)
        scoring = Scoring(
            self,
            head,
            cases,
            seed,
            chain.contaminated(seed) if "contamination" in self.spec.groups else None,
            lambda: chain.head(another(seed, self.spec.seeds)),
        )
        explanations, scores = {}, {}
        judging = scoring.judging()
        for choice, label in labelled(self.explainers()):
            made = explanations[label] = self.explanation(choice, head, cases, seed)
            scores[label] = scoring.scores(choice, made)
        return Combination(
            *labels,
            seed,
            cases,
            head.input("generator"),
            head.input("encoder"),
            head,
            judging,
            explanations,
            scores,
        )

    def sources(self, data: Stage, ours: ImageSpec) -> list[tuple[Stage, str]]:
        """Return the images generator and encoder are trained on, and how to say so.

        Raises `UsageError` where their shape differs from that of the explained images, `ours`.
        """
        if not self.spec.pretraining_dataset:
            return [(data, "")]
        sources = []
        for choice, label in labelled(self.spec.pretraining_dataset):
            dataset = self.open(choice)
            source, theirs = self.data(choice, dataset), dataset.image
            if theirs != ours:
                raise UsageError(
                    f"--pretrain-dataset {choice} has images of {theirs}, --dataset {data.name} of "
                    f"{ours}; give both the same size, e.g. {choice.name}:size={ours.size}"
                )
            sources.append((source, "" if source.key == data.key else f" on {label}"))
        return sources


class ModelBranch:
    """The stages from the images to a head, for any seed."""

    def __init__(
        self,
        shelf: StageGraph,
        data: Stage,
        source: Stage,
        g: ComponentSpec,
        e: ComponentSpec,
        h: ComponentSpec,
    ) -> None:
        self.shelf = shelf
        self.data = data
        self.source = source
        self.choices = g, e, h

    def latents(self, seed: int) -> Stage:
        """Plan generator, encoder and latents.

        An encoder sees the images that the generator saw, unless it needs labels.
        """
        g, e, _ = self.choices
        shelf = self.shelf
        generator = shelf.stage("generator", g, (self.source,), seed, "generator")
        cls = cast(type[Encoder], shelf.registry.component("encoder", e.name))
        seen = self.data if cls.supervised else self.source
        encoder = shelf.stage("encoder", e, (generator, seen), seed, "encoder")
        copies = shelf.spec.latents.model_dump(mode="json")
        return shelf.add(Stage("latents", e.name, "1", copies, (self.data, encoder), seed))

    def head(self, seed: int) -> Stage:
        """Plan the head."""
        return self.shelf.stage("head", self.choices[2], (self.latents(seed),), seed, "head")

    def contaminated(self, seed: int) -> Stage | None:
        """Plan the same head fitted on the test images, where it can be and is not anyway."""
        h = self.choices[2]
        spec = self.shelf.spec
        _, settings = self.shelf.registry.settings("head", h.name, spec.profile, h.settings)
        if getattr(settings, CONTAMINATED, None) is not False:
            return None
        spoilt = ComponentSpec(name=h.name, settings={**h.settings, CONTAMINATED: True})
        return self.shelf.stage("head", spoilt, (self.latents(seed),), seed, "head")


def another(seed: int, seeds: tuple[int, ...]) -> int:
    """Return the next seed of a spec, or one more where there is no other."""
    return seeds[(seeds.index(seed) + 1) % len(seeds)] if len(seeds) > 1 else seed + 1


def open_dataset(
    choice: ComponentSpec, profile: str, root: Path | None, registry: Registry
) -> Dataset:
    """Make a data set with the settings of a profile. Raises `UsageError` or `PluginError`."""
    cls, settings = registry.settings("dataset", choice.name, profile, choice.settings)
    with blaming(f"dataset '{choice.name}'"):
        return cast(type[Dataset], cls)(settings, root.expanduser() if root else None)


def labelled(
    choices: tuple[ComponentSpec, ...] | list[ComponentSpec],
) -> list[tuple[ComponentSpec, str]]:
    """Pair each choice with its label."""
    return list(zip(choices, labels_of(choices), strict=True))


def labels_of(choices: tuple[ComponentSpec, ...] | list[ComponentSpec]) -> list[str]:
    """Name each choice as shortly as tells it from the others of its kind."""
    names = [choice.short for choice in choices]
    return [c.short if names.count(c.short) == 1 else str(c) for c in choices]


def make_plan(spec: Spec, registry: Registry) -> Plan:
    """Plan a spec. Raises `UsageError`, `PluginError` or `DataError`; computes nothing."""
    return Planner(spec, registry).plan()
