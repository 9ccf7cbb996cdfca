"""Memory that runs out: fewer images at once, then one clear line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_up_stages import BINARY, Bank, Squares

from gvr_bench.core.errors import MemoryShortage
from gvr_bench.pipeline.memory_shortage import compute
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


SHORTAGES = {
    "of Python": MemoryError(),
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "of a processor": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
}


def short(enough: int, error: Exception, calls: list[int]) -> Callable[[StageContext], None]:
    """A stage that has memory for `enough` images at once."""

    def work(stage_ctx: StageContext) -> None:
        calls.append(stage_ctx.ctx.batch_size)
        if stage_ctx.ctx.batch_size > enough:
            raise error

    return work


def replace_run(
    monkeypatch: pytest.MonkeyPatch, kind: str, run: Callable[[StageContext], None]
) -> None:
    """Let a kind of stage compute something else."""
    monkeypatch.setitem(STEPS, kind, dataclasses.replace(STEPS[kind], run=run))


@pytest.mark.parametrize("whose", SHORTAGES)
def test_smaller_batch_is_tried_and_noted(bank: Bank, monkeypatch, whose: str) -> None:
    calls: list[int] = []
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    replace_run(monkeypatch, "data", short(8, SHORTAGES[whose], calls))
    stage_ctx.ctx.batch_size = 128
    note = compute(stage, stage_ctx.cache, stage_ctx.ctx)[0]
    assert calls == [128, 32, 8]
    assert note == "out of memory with batches of 128; computed with 8"


def test_no_memory_for_one_image(bank: Bank, monkeypatch) -> None:
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    replace_run(monkeypatch, "data", short(0, SHORTAGES["of a GPU"], []))
    with pytest.raises(MemoryShortage, match=r"too little memory for data .*, even one image"):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)


def test_training_without_memory_is_not_retried(bank: Bank, monkeypatch) -> None:
    calls: list[int] = []
    stage = bank.stage("oracle", bank.data(Squares(BINARY)))
    stage_ctx = bank.stage_ctx(stage)
    replace_run(monkeypatch, "oracle", short(0, SHORTAGES["of a GPU"], calls))
    with pytest.raises(
        MemoryShortage, match=r"to train oracle .*; no checkpoint is left; give it a sm"
    ):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)
    assert len(calls) == 1


def test_other_torch_errors_are_passed_on(bank: Bank, monkeypatch) -> None:
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    replace_run(monkeypatch, "data", short(0, RuntimeError("shapes differ"), []))
    with pytest.raises(RuntimeError, match="shapes differ"):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)
