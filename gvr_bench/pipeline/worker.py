"""The loop of every worker: take the next stage that is ready and free, compute, commit, again.

Workers know of each other by the cache alone: its locks say what is taken, its values and reports
of failures how it ended. A worker that dies frees its lock.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import ERROR, WORK
from gvr_bench.core.allocator import keep_freed_memory
from gvr_bench.core.components import Encoder, Generator
from gvr_bench.core.context import Context, Progress, seed_from
from gvr_bench.core.errors import (
    CacheError,
    CorruptStageError,
    DataError,
    GvrError,
    MemoryShortage,
    ProcessError,
    Unsupported,
    UsageError,
    one_line,
)
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.memory_shortage import compute
from gvr_bench.pipeline.options import RunOptions, gains_from_bfloat16, versions
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.run_state import RunState
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps.cost import growth, reset_peak
from gvr_bench.pipeline.steps.shards import compute_free_parts

POLL = 0.5  # seconds between two looks for a stage to take
MAX_LOST = 3  # workers that may die in one stage


@dataclass
class Worker:
    """Computes what a run lacks, beside any number of others; `stop` is set to end early."""

    state: RunState
    options: RunOptions
    stop: Stop
    display: Display
    announced: set[str] = field(default_factory=set)

    def work(self, keys: Set[str] | None = None) -> None:
        """Compute stages until each of the run, or of those with such `keys`, has an outcome.

        Raises `GvrError` where the run cannot go on: `DataError` or `UsageError` for unsuitable
        data and settings, `CacheError` for a full disk.
        """
        keep_freed_memory()
        keys = {stage.key for stage in self.state.plan.stages} if keys is None else keys
        while not keys <= self.state.outcomes.keys():
            ready = (stage for stage in self.state.ready() if stage.key in keys)
            busy = [stage for stage in ready if not self.take(stage)]
            if busy and not any(map(self.help, busy)):
                self.wait(busy)

    def take(self, stage: Stage) -> bool:
        """Compute a stage, with the note how it ended, unless another process does."""
        try:
            with self.state.cache.lock(stage) as draft:
                if draft is None:
                    return False
                outcome = self.compute(stage)
        except CorruptStageError as error:
            self.state.recompute_corrupt(error)
        else:
            self.state.end(stage, outcome)
        self.stop.check()
        return True

    def help(self, stage: Stage) -> bool:
        """Compute parts of a stage that another process has taken; whether there were any."""
        prepare = STEPS[stage.kind].sharded
        if prepare is None:
            return False
        try:
            with self.display.stage(str(stage)) as progress:
                stage_ctx = StageContext(stage, self.state.cache, self.context(stage, progress))
                return compute_free_parts(stage_ctx, prepare)
        except CorruptStageError as error:
            self.state.recompute_corrupt(error)
        except CacheError:
            raise
        except Exception:  # a plugin may raise anything
            return False  # the process that has taken the stage computes this part, and reports
        return True

    def wait(self, stages: Sequence[Stage]) -> None:
        name = str(stages[0])
        if name not in self.announced:
            self.announced.add(name)
            self.display.waits(name)
        time.sleep(POLL)
        self.stop.check()

    def compute(self, stage: Stage) -> Outcome:
        """Compute one stage, which is locked. Raises `CorruptStageError`, and as `failed` does."""
        cache = self.state.cache
        if meta := cache.value(stage):  # another process was faster
            return Outcome("cached", meta.seconds)
        with self.display.stage(str(stage)) as progress:
            ctx = self.context(stage, progress)
            before = reset_peak(ctx.device)
            started = time.perf_counter()
            try:
                if cache.drafts[stage.key].lost >= MAX_LOST:
                    raise MemoryShortage(f"it lost {MAX_LOST} workers; was memory short?")
                note, earlier = compute(stage, cache, ctx)
            except (CorruptStageError, ProcessError):
                raise
            except Exception as error:  # a plugin may raise anything
                return self.failed(stage, error)
            seconds = earlier + time.perf_counter() - started
            cost = {"seconds": seconds, "memory": growth(before, ctx.device), "note": note}
            with self.stop.later():
                cache.commit(stage, {**cost, **versions(), "device": str(ctx.device)})
            cache.touch(stage)
            return Outcome("done", seconds, note)

    def train_along(self, stage: Stage) -> None:
        train = STEPS[stage.kind].data_parallel
        assert train is not None
        with self.display.stage(str(stage)) as progress:
            try:
                train(StageContext(stage, self.state.cache, self.context(stage, progress)))
            except ProcessError:
                raise
            except Exception as error:  # a plugin may raise anything
                self.failed(stage, error)

    def context(self, stage: Stage, progress: Progress) -> Context:
        cache = self.state.cache
        checkpoints = FileCheckpoints(
            cache.write_dir(stage) / WORK,
            self.options.checkpoint_seconds,
            cache.digests(stage.inputs.values()),
            self.stop,
        )

        def show(done: int, total: int, detail: str) -> None:
            if not self.stop.delayed:
                self.stop.check()
            progress(done, total, detail)

        return Context(
            self.options.device,
            seed=seed_from(stage.key),
            batch_size=self.options.batch_size,
            bfloat16=gains_from_bfloat16(self.options.device),
            progress=show,
            checkpoints=checkpoints,
            process_group=self.options.process_group if is_data_parallel(stage) else None,
        )

    def failed(self, stage: Stage, error: Exception) -> Outcome:
        """Store the reason. Raises what ends the run, for only the user can fix it."""
        cache = self.state.cache
        unsuitable = isinstance(error, DataError | UsageError) and STEPS[stage.kind].essential
        fatal = unsuitable or isinstance(error, CacheError | ProcessError)
        reason = str(error)
        if not isinstance(error, GvrError):
            reason = f"{one_line(error)} (traceback in {cache.write_dir(stage) / ERROR})"
        outcome = Outcome("failed", 0.0, reason)
        if isinstance(error, Unsupported):
            outcome = Outcome("n/a", 0.0, reason, not_applicable=True)
        report = {"status": outcome.status, "reason": reason, "fatal": fatal}
        cache.fail(stage, error, traceback.format_exc(), report)
        if fatal:
            raise error
        alone = not (self.options.process_group and is_data_parallel(stage))
        if alone or outcome.not_applicable:
            return outcome
        raise ProcessError(f"{stage} failed: {reason}") from error  # the other processes wait


def is_data_parallel(stage: Stage) -> bool:
    component = stage.component
    return (
        STEPS[stage.kind].data_parallel is not None
        and isinstance(component, Generator | Encoder)
        and component.data_parallel
    )
