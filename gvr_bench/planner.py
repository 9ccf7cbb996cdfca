"""From what was asked to the stages that answer it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import cast

from gvr_bench.api import Dataset, Encoder
from gvr_bench.errors import PluginError, UsageError
from gvr_bench.metrics import METRICS, PREDICTION_VERSION
from gvr_bench.plugins import Registry, blaming
from gvr_bench.spec import ALL, Choice, Spec
from gvr_bench.stages import Combination, Plan, Stage, StageKind
from gvr_bench.types import Kind


class Planner:
    """Builds the plan of one spec."""

    def __init__(self, spec: Spec, registry: Registry) -> None:
        self.spec = spec
        self.registry = registry
        self.stages: dict[str, Stage] = {}

    def add(self, stage: Stage) -> Stage:
        """Keep one stage per key."""
        return self.stages.setdefault(stage.key, stage)

    def stage(
        self, kind: Kind, choice: Choice, inputs: tuple[Stage, ...], seed: int, as_kind: StageKind
    ) -> Stage:
        """Plan a stage that is a plugin's work."""
        cls, settings = self.registry.settings(
            kind, choice.name, self.spec.profile, choice.settings
        )
        with blaming(f"{kind} '{choice.name}'"):
            component = cls(settings)
        values = settings.model_dump(mode="json")
        return self.add(
            Stage(as_kind, choice.name, cls.version, values, inputs, seed, component=component)
        )

    def data(self, choice: Choice) -> Stage:
        """Plan the stage that reads a data set. Raises `DataError` where it is not there."""
        root = Path(self.spec.data_root) if self.spec.data_root else None
        dataset = open_dataset(choice, self.spec.profile, root, self.registry)
        settings = dataset.settings.model_dump(mode="json", exclude=set(dataset.asked))
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

    def cases(self, choice: Choice, data: Stage) -> Stage:
        """Plan the stage that chooses what is explained; only here does it matter what is asked."""
        root = cast(Dataset, data.component).root
        dataset = open_dataset(choice, self.spec.profile, root, self.registry)
        asked = dataset.settings.model_dump(mode="json", include=set(dataset.asked))
        return self.add(
            Stage(
                "cases",
                choice.name,
                dataset.version,
                {"limit": self.spec.limit, "asked": asked},
                (data,),
                component=dataset,
            )
        )

    def explanation(self, choice: Choice, head: Stage, cases: Stage, seed: int) -> Stage:
        """Plan one explainer; asked for as part of `all`, one that does not load is a row."""
        try:
            return self.stage("explainer", choice, (head, cases), seed, "explanations")
        except PluginError as error:
            if not self.every_explainer:
                raise
            broken = Stage("explanations", choice.name, "", {}, (head, cases), problem=str(error))
            return self.add(broken)

    @property
    def every_explainer(self) -> bool:
        """Whether `all` was asked for."""
        return any(choice.name == ALL for choice in self.spec.explainer)

    def explainers(self) -> list[Choice]:
        """Return the choices with `all` written out, the ones given by name keeping settings."""
        if not self.every_explainer:
            return list(self.spec.explainer)
        given = [choice for choice in self.spec.explainer if choice.name != ALL]
        named = {choice.name for choice in given}
        rows = dict.fromkeys(
            row.plugin.name for row in self.registry.rows if row.plugin.kind == "explainer"
        )
        return given + [Choice(name=name) for name in rows if name not in named]

    def combination(
        self, labels: tuple[str, str, str], head: Stage, head_label: str, cases: Stage, seed: int
    ) -> Combination:
        """Plan what follows from a head: its own scores and every explainer's."""
        latents = head.input("latents")
        prediction = self.add(
            Stage("prediction", head.name, PREDICTION_VERSION, {}, (head, latents))
        )
        explanations, scores = {}, {}
        choices = self.explainers()
        versions = {metric.name: metric.version for metric in METRICS}
        for choice, label in labelled(choices):
            made = self.explanation(choice, head, cases, seed)
            explanations[label] = made
            scores[label] = self.add(
                Stage("scores", choice.name, "1", {"metrics": versions}, (made, cases))
            )
        dataset, generator, encoder = labels
        return Combination(
            dataset,
            generator,
            encoder,
            head_label,
            seed,
            cases,
            head.input("generator"),
            head.input("encoder"),
            head,
            prediction,
            explanations,
            scores,
        )

    def plan(self) -> Plan:
        """Multiply out all choices."""
        spec = self.spec
        combinations = []
        for d, d_label in labelled(spec.dataset):
            data = self.data(d)
            cases = self.cases(d, data)
            heads = spec.head or (Choice(name=cast(Dataset, data.component).head),)
            for seed, (source, suffix), (g, g_label), (e, e_label), (h, h_label) in product(
                spec.seeds,
                self.sources(data),
                labelled(spec.generator),
                labelled(spec.encoder),
                labelled(heads),
            ):
                generator = self.stage("generator", g, (source,), seed, "generator")
                encoder = self.encoder(e, generator, source, data, seed)
                copies = spec.latents.model_dump(mode="json")
                latents = self.add(Stage("latents", e.name, "1", copies, (data, encoder), seed))
                head = self.stage("head", h, (latents,), seed, "head")
                names = (d_label, g_label + suffix, e_label)
                combinations.append(self.combination(names, head, h_label, cases, seed))
        return Plan(spec, tuple(combinations), tuple(self.stages.values()))

    def encoder(
        self, choice: Choice, generator: Stage, source: Stage, data: Stage, seed: int
    ) -> Stage:
        """Plan an encoder, on the images the generator saw unless it needs labels."""
        cls = cast(type[Encoder], self.registry.component("encoder", choice.name))
        seen = data if cls.supervised else source
        return self.stage("encoder", choice, (generator, seen), seed, "encoder")

    def sources(self, data: Stage) -> list[tuple[Stage, str]]:
        """Return the images generator and encoder are trained on, and how to say so.

        Raises `UsageError` where their shape differs from that of the explained images.
        """
        if not self.spec.unlabelled:
            return [(data, "")]
        sources = []
        for choice, label in labelled(self.spec.unlabelled):
            source = self.data(choice)
            theirs = cast(Dataset, source.component).image
            ours = cast(Dataset, data.component).image
            if theirs != ours:
                raise UsageError(
                    f"--unlabelled {choice} has images of {theirs}, --dataset {data.name} of "
                    f"{ours}; give both the same size, e.g. {choice.name}:size={ours.size}"
                )
            sources.append((source, "" if source.key == data.key else f" on {label}"))
        return sources


def open_dataset(choice: Choice, profile: str, root: Path | None, registry: Registry) -> Dataset:
    """Make a data set with the settings of a profile. Raises `UsageError` or `PluginError`."""
    cls, settings = registry.settings("dataset", choice.name, profile, choice.settings)
    with blaming(f"dataset '{choice.name}'"):
        return cast(type[Dataset], cls)(settings, root.expanduser() if root else None)


def labelled(choices: tuple[Choice, ...] | list[Choice]) -> list[tuple[Choice, str]]:
    """Pair each choice with its label."""
    return list(zip(choices, labels_of(choices), strict=True))


def labels_of(choices: tuple[Choice, ...] | list[Choice]) -> list[str]:
    """Name each choice as shortly as tells it from the others of its kind."""
    names = [choice.name for choice in choices]
    return [c.name if names.count(c.name) == 1 else str(c) for c in choices]


def make_plan(spec: Spec, registry: Registry) -> Plan:
    """Plan a spec. Raises `UsageError`, `PluginError` or `DataError`; computes nothing."""
    return Planner(spec, registry).plan()
