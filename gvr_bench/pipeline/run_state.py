"""How far a run is: the outcome of each stage, read from the cache that all workers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.errors import CacheError, CorruptStageError, GvrError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.plan import Plan

MAX_RECOMPUTED = 3  # times that one stage is computed again because it is damaged


class RunState:
    """The outcomes of a plan's stages, by key.

    `warn` gets lines for the user. `on_end` is called with each outcome, again where a stage is
    computed again because of damage. `watching` says that values which appear are computed for
    this run.
    """

    def __init__(
        self,
        plan: Plan,
        cache: ArtifactCache,
        warn: Callable[[str], object],
        on_end: Callable[[Stage, Outcome], object] | None = None,
        *,
        cached_only: bool = False,
    ) -> None:
        self.plan = plan
        self.cache = cache
        self.warn = warn
        self.on_end = on_end
        self.cached_only = cached_only
        self.watching = False
        self.outcomes: dict[str, Outcome] = {}
        self.doubtful: dict[str, Outcome] = {}  # of stages whose inputs may have changed since
        self.recomputed: Counter[str] = Counter()
        self.warned: set[str] = set()

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.plan.stages)

    def ready(self) -> Iterator[Stage]:
        """Yield the stages to compute whose inputs are complete; note how the others ended.

        Outcomes that are noted meanwhile count. Raises `GvrError` where a failure ends the run.
        """
        for stage in self.plan.stages:
            inputs = stage.inputs.values()
            if stage.key in self.outcomes or any(i.key not in self.outcomes for i in inputs):
                continue
            earlier = self.doubtful.pop(stage.key, None)
            if earlier and self.cache.has(stage):
                self.outcomes[stage.key] = earlier
            elif outcome := self.resolve(stage):
                self.end(stage, outcome)
            else:
                yield stage

    def update(self) -> None:
        for _ in self.ready():
            pass

    def end(self, stage: Stage, outcome: Outcome) -> None:
        self.outcomes[stage.key] = outcome
        if self.on_end:
            self.on_end(stage, outcome)

    def resolve(self, stage: Stage) -> Outcome | None:
        """Return the outcome of a stage that need not or cannot be computed; None otherwise."""
        for needed in stage.inputs.values():
            cause = self.outcomes[needed.key]
            if not cause.succeeded:
                return Outcome(
                    "skipped", 0.0, cause.reason or f"needs {needed}", cause.not_applicable
                )
        if meta := self.cache.value(stage):
            self.cache.touch(stage)
            if self.watching and self.cache.is_own(stage):
                return Outcome("done", meta.seconds, meta.note)
            return Outcome("cached", meta.seconds)
        if failure := self.cache.failure(stage):
            if failure["fatal"]:
                raise GvrError(failure["message"])
            return Outcome(failure["status"], 0.0, failure["reason"], failure["status"] == "n/a")
        _, fault = self.cache.inspect(stage)
        if self.cached_only:
            why = fault or "not in the cache"
            return Outcome("failed", 0.0, f"{stage} is {why} (--cached-only)")
        if fault:
            self.warn_once(f"{stage} is {fault}; it is computed again")
        return None

    def recompute_corrupt(self, error: CorruptStageError) -> None:
        """Remove a damaged stage, so that it is computed again.

        Raises `CacheError` if it is damaged again and again: the disk cannot be trusted.
        """
        stage = error.stage
        if self.cached_only:
            raise CacheError(f"{stage} is {error}; leave out --cached-only to compute it again")
        self.recomputed[stage.key] += 1
        if self.recomputed[stage.key] > MAX_RECOMPUTED:
            raise CacheError(
                f"{stage} is {error}, though computed again {MAX_RECOMPUTED} times; check the disk"
            )
        self.warn(f"{stage} is {error}; it is computed again")
        self.cache.delete_if_corrupt(stage)
        for key in [key for key, outcome in self.outcomes.items() if outcome.succeeded]:
            self.doubtful[key] = self.outcomes.pop(key)

    def warn_once(self, line: str) -> None:
        if line not in self.warned:
            self.warned.add(line)
            self.warn(line)
