"""From the values of score stages to records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from gvr_bench.formats import canonical, read_json
from gvr_bench.metrics import METRICS
from gvr_bench.metrics.prediction import DIRECTION
from gvr_bench.records import Better, Record, Status
from gvr_bench.stages import Combination, Plan, Stage
from gvr_bench.store import Store


@dataclass(frozen=True)
class Outcome:
    """How a stage ended. `seconds` is what computing it took, then or earlier.

    `not_here` marks what does not apply, rather than failed.
    """

    status: Literal["done", "cached", "failed", "skipped", "n/a"]
    seconds: float
    reason: str = ""
    not_here: bool = False

    @property
    def whole(self) -> bool:
        """Whether the stage's value can be read."""
        return self.status in ("done", "cached")


def collect(plan: Plan, store: Store, outcomes: Mapping[str, Outcome], device: str) -> list[Record]:
    """Turn all scores of a run into records; a cell without a score says why."""
    records: list[Record] = []
    for combination in plan.combinations:
        maker = Maker(combination, store, outcomes, device)
        records += maker.prediction()
        for label, stage in combination.scores.items():
            records += maker.explainer(label, stage)
    return records


@dataclass(frozen=True)
class Maker:
    """Makes the records of one combination."""

    combination: Combination
    store: Store
    outcomes: Mapping[str, Outcome]
    device: str

    def prediction(self) -> Iterator[Record]:
        """Scores of the model itself."""
        stage = self.combination.prediction
        outcome = self.outcomes[stage.key]
        if not outcome.whole:
            row = {"metric": "auroc", "finding": "all", "reason": outcome.reason}
            yield self.record(None, stage, self.combination.data, row, "up", "failed")
            return
        for row in read_json(self.store.folder(stage) / "scores.json"):
            flat = {**row, **row.pop("score")}
            yield self.record(None, stage, self.combination.data, flat, DIRECTION[row["metric"]])

    def explainer(self, label: str, stage: Stage) -> Iterator[Record]:
        """Scores of one explainer."""
        outcome = self.outcomes[stage.key]
        better = {metric.name: metric.better for metric in METRICS}
        cases = self.combination.cases
        if not outcome.whole:
            status: Status = "n/a" if outcome.not_here else "failed"
            for metric in METRICS:
                row = {"metric": metric.name, "finding": "all", "reason": outcome.reason}
                yield self.record(label, stage, cases, row, metric.better, status)
            return
        for row in read_json(self.store.folder(stage) / "scores.json"):
            yield self.record(label, stage, cases, row, better[row["metric"]])

    def record(
        self,
        explainer: str | None,
        stage: Stage,
        asked_of: Stage,
        row: Mapping[str, Any],
        better: str,
        status: Status | None = None,
    ) -> Record:
        """Make one record; `asked_of` is the stage whose images and questions it is about."""
        c = self.combination
        value = row.get("value")
        version = next((m.version for m in METRICS if m.name == row["metric"]), stage.version)
        return Record(
            dataset=c.dataset,
            generator=c.generator,
            encoder=c.encoder,
            head=c.head,
            explainer=explainer,
            finding=row["finding"],
            metric=row["metric"],
            metric_version=version,
            better=cast(Better, better),
            value=value,
            low=row.get("low"),
            high=row.get("high"),
            n=row.get("n") or 0,
            seed=c.seed,
            seconds=round(self.outcomes[stage.inputs[0].key].seconds, 3),
            device=self.device,
            protocol=protocol(asked_of, row["metric"], version, row["finding"]),
            keys=(stage.key, *(needed.key for needed in stage.inputs)),
            status=status or ("n/a" if value is None else "ok"),
            reason=row.get("reason", ""),
        )


def protocol(asked_of: Stage, metric: str, version: str, finding: str) -> str:
    """Numbers with the same protocol are about the same images, questions and definition."""
    return hashlib.sha256(canonical([asked_of.key, metric, version, finding]).encode()).hexdigest()[
        :16
    ]
