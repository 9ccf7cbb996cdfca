"""From the values of score stages to records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.serialization import read_json
from gvr_bench.core.components import Explainer
from gvr_bench.core.stage import Stage, canonical
from gvr_bench.metrics import DECLARED, METRICS
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.results.records import Record, Status


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
        """Whether the stage's value can be read."""
        return self.status in ("done", "cached")


def collect(
    plan: Plan, cache: ArtifactCache, outcomes: Mapping[str, Outcome], device: str
) -> list[Record]:
    """Turn all scores of a run into records; a cell without a score says why."""
    records: list[Record] = []
    for combination in plan.combinations:
        maker = Maker(combination, cache, outcomes, device)
        for stage in combination.judging:
            records += maker.model(stage)
        for label, groups in combination.scores.items():
            for stage in groups.values():
                records += maker.explainer(label, stage)
    return records


@dataclass(frozen=True)
class Maker:
    """Makes the records of one combination."""

    combination: Combination
    cache: ArtifactCache
    outcomes: Mapping[str, Outcome]
    device: str

    def model(self, stage: Stage) -> Iterator[Record]:
        """Scores of the model itself, its oracle or its decoder."""
        outcome = self.outcomes[stage.key]
        data = self.combination.data
        if outcome.succeeded:
            for row in read_json(self.cache.file(stage, "scores.json")):
                yield self.record(None, stage, data, {**row, **row["score"]})
            return
        for name in stage.settings.get("metrics", ("auroc",)):
            row = {"metric": name, "output": "all", "reason": outcome.reason}
            yield self.record(None, stage, data, row, "failed")

    def explainer(self, label: str, stage: Stage) -> Iterator[Record]:
        """Scores of one explainer in one group of metrics."""
        outcome = self.outcomes[stage.key]
        cases = self.combination.cases
        if outcome.succeeded:
            for row in read_json(self.cache.file(stage, "scores.json")):
                yield self.record(label, stage, cases, row)
            return
        status: Status = "n/a" if outcome.not_applicable else "failed"
        for metric in METRICS:
            if metric.group == stage.settings["group"]:
                row = {"metric": metric.name, "output": "all", "reason": outcome.reason}
                yield self.record(label, stage, cases, row, status)

    def record(
        self,
        explainer: str | None,
        stage: Stage,
        asked_of: Stage,
        row: Mapping[str, Any],
        status: Status | None = None,
    ) -> Record:
        """Make one record; `asked_of` is the stage whose images and questions it is about."""
        c = self.combination
        component = stage.inputs["explanations"].component if explainer else None
        value = row.get("value")
        declared = DECLARED[row["metric"]]
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
            protocol=protocol(asked_of, row["metric"], declared.version, row["output"]),
            keys=(stage.key, *(needed.key for needed in stage.inputs.values())),
            status=status or ("n/a" if value is None else "ok"),
            reason=row.get("reason", ""),
            role=component.role if isinstance(component, Explainer) else None,
        )


def protocol(asked_of: Stage, metric: str, version: str, finding: str) -> str:
    """Numbers with the same protocol are about the same images, questions and definition."""
    content = canonical([asked_of.key, metric, version, finding])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
