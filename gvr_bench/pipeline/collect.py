"""From the values of score stages to the records of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.cache.serialization import read_json
from gvr_bench.config.metric_choice import MetricChoice
from gvr_bench.core.metric import Metric
from gvr_bench.core.stage import Stage, canonical
from gvr_bench.metrics import DECLARED, Declaration
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.registry.metric_plugins import group_of
from gvr_bench.results.case_scores import EXPLANATIONS, RunValues, Whose
from gvr_bench.results.records import Fact, Protocol, Protocols, Record, Status


@dataclass(frozen=True)
class Outcome:
    """How a stage ended. `seconds` is what computing it took, then or earlier.

    `not_applicable` marks what does not apply, rather than failed.
    """

    status: Literal["done", "cached", "failed", "skipped", "n/a"]
    seconds: float
    reason: str = ""
    not_applicable: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status in ("done", "cached")

    @property
    def result(self) -> Status:
        if self.succeeded:
            return "ok"
        return "n/a" if self.not_applicable else "failed"


@dataclass(frozen=True)
class Results:
    """All scores of a run, and what a report needs beside them."""

    records: list[Record]
    values: RunValues
    protocols: Protocols


def collect(
    plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome], device: str
) -> Results:
    """Turn all scores of a run into records; a cell without a score says why."""
    records: list[Record] = []
    values: dict[tuple[Whose, str], NDArray[Any]] = {}
    recipes: dict[tuple[Whose, str], str] = {}
    protocols: dict[str, Protocol] = {}
    for c in plan.combinations:
        collector = Collector(c, plan.metrics, cache, outcomes, device, protocols)
        model = Whose(c.dataset, c.generator, c.encoder, c.head, c.seed, None)
        for stage in c.judging:
            recipes[model, stage.kind] = stage.recipe
            records += collector.of(stage, c.data)
        for label, groups in c.scores.items():
            explainer = model._replace(explainer=label)
            recipes[explainer, EXPLANATIONS] = c.explanations[label].recipe
            for group, stage in groups.items():
                recipes[explainer, group] = stage.recipe
                records += collector.of(stage, c.cases, label)
                if outcomes[stage.key].succeeded:
                    arrays = read_arrays(cache.file(stage, "values.h5"))
                    shown = filter(plan.metrics.shows, arrays)
                    values |= {(explainer, metric): arrays[metric] for metric in shown}
    stages = {s.key[:16]: facts(s) for c in plan.combinations for s in (c.cases, c.data)}
    return Results(records, RunValues(values, recipes), Protocols(protocols, stages))


@dataclass(frozen=True)
class Collector:
    """Makes the records of one combination, and adds to the `protocols` of all."""

    combination: Combination
    metrics: MetricChoice
    cache: ArtifactCache
    outcomes: Mapping[str, Outcome]
    device: str
    protocols: dict[str, Protocol]

    def of(self, stage: Stage, images: Stage, explainer: str | None = None) -> Iterator[Record]:
        """Yield scores of an explainer or the model; `images` is the stage they are about."""
        outcome = self.outcomes[stage.key]
        if outcome.succeeded:
            for row in read_json(self.cache.file(stage, "scores.json")):
                if self.metrics.shows(row["metric"]):
                    yield self.record(explainer, stage, images, {**row, **row.get("score", {})})
            return
        for name in filter(self.metrics.shows, stage.settings.get("metrics", ("auroc",))):
            row = {"metric": name, "output": "all", "reason": outcome.reason}
            yield self.record(explainer, stage, images, row, outcome.result)

    def record(
        self,
        explainer: str | None,
        stage: Stage,
        images: Stage,
        row: Mapping[str, Any],
        status: Status | None = None,
    ) -> Record:
        c = self.combination
        value = row.get("value")
        declared = declared_by(stage, row["metric"])
        return Record(
            dataset=c.dataset,
            generator=c.generator,
            encoder=c.encoder,
            head=c.head,
            explainer=explainer,
            output=row["output"],
            metric=row["metric"],
            metric_version=declared.version,
            better=declared.better,
            value=value,
            low=row.get("low"),
            high=row.get("high"),
            n=row.get("n") or 0,
            seed=c.seed,
            seconds=round(self.outcomes[stage.key].seconds, 3),
            device=self.device,
            protocol=self.protocol(images, declared, row["output"]),
            keys=(stage.key, *(needed.key for needed in stage.inputs.values())),
            status=status or ("n/a" if value is None else "ok"),
            reason=row.get("reason", ""),
            passed=row.get("passed"),
            role=stage.inputs["explanations"].role if explainer else None,
        )

    def protocol(self, images: Stage, metric: Declaration, output: str) -> str:
        content = canonical([images.key, metric.name, metric.version, output])
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        self.protocols[name] = Protocol(images.key[:16], metric.name, metric.version, output)
        return name


def declared_by(stage: Stage, metric: str) -> Declaration:
    if isinstance(stage.component, Metric):
        return group_of(metric, stage.component).metrics[0]
    return DECLARED[metric]


def facts(stage: Stage) -> dict[str, Fact]:
    """All that the key of a stage depends on, each setting by its dotted name."""
    known: dict[str, Fact] = {}
    for needed in stage.inputs.values():
        known |= facts(needed)
    if stage.kind == "cases":  # of a data set that is described already
        return known | _flat(stage.settings)
    kind = "dataset" if stage.kind == "data" else stage.kind
    about: dict[str, Any] = {"version": stage.version, **stage.settings}
    if stage.seed is not None:
        about["seed"] = stage.seed
    if stage.fingerprint:
        about["fingerprint"] = stage.fingerprint
    return known | {kind: stage.name} | _flat(about, f"{kind}.")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Fact]:
    """Nested settings by dotted names; lists become text."""
    flat: dict[str, Fact] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            plain = value is None or isinstance(value, str | int | float)
            flat[prefix + name] = value if plain else canonical(value)
    return flat
