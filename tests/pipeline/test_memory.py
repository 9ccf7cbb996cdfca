"""Memory that runs out: fewer images at once, then one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_up_stages import BINARY, Bank, Squares

from gvr_bench.core.errors import MemoryShortage
from gvr_bench.pipeline import steps as compute
from gvr_bench.pipeline.stage_context import StageContext


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


SHORTAGES = {
    "of Python": MemoryError(),
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "of a processor": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
}


def short(enough: int, error: Exception, asked: list[int]) -> Callable[[StageContext], None]:
    """A stage that has memory for `enough` images at once."""

    def work(stage_ctx: StageContext) -> None:
        asked.append(stage_ctx.ctx.batch_size)
        if stage_ctx.ctx.batch_size > enough:
            raise error

    return work


@pytest.mark.parametrize("whose", SHORTAGES)
def test_fewer_images_at_once_are_tried_and_told(bank: Bank, monkeypatch, whose: str) -> None:
    asked: list[int] = []
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    monkeypatch.setitem(compute.COMPUTE, "data", short(8, SHORTAGES[whose], asked))
    stage_ctx.ctx.batch_size = 128
    note = compute.compute(stage, stage_ctx.cache, stage_ctx.ctx).note
    assert asked == [128, 32, 8]
    assert note == "memory ran out with 128 images at once; it took 8"


def test_no_memory_for_one_image_is_one_line(bank: Bank, monkeypatch) -> None:
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    monkeypatch.setitem(compute.COMPUTE, "data", short(0, SHORTAGES["of a GPU"], []))
    with pytest.raises(MemoryShortage, match=r"too little memory for data .*, even one image"):
        compute.compute(stage, stage_ctx.cache, stage_ctx.ctx)


def test_a_training_that_does_not_fit_is_not_tried_again(bank: Bank, monkeypatch) -> None:
    asked: list[int] = []
    stage = bank.stage("oracle", bank.data(Squares(BINARY)))
    stage_ctx = bank.stage_ctx(stage)
    monkeypatch.setitem(compute.COMPUTE, "oracle", short(0, SHORTAGES["of a GPU"], asked))
    with pytest.raises(MemoryShortage, match=r"to train oracle .*; nothing is kept; give it a sm"):
        compute.compute(stage, stage_ctx.cache, stage_ctx.ctx)
    assert len(asked) == 1


def test_another_error_of_torch_is_passed_on(bank: Bank, monkeypatch) -> None:
    stage = bank.data(Squares(BINARY))
    stage_ctx = bank.stage_ctx(stage)
    monkeypatch.setitem(compute.COMPUTE, "data", short(0, RuntimeError("shapes differ"), []))
    with pytest.raises(RuntimeError, match="shapes differ"):
        compute.compute(stage, stage_ctx.cache, stage_ctx.ctx)
