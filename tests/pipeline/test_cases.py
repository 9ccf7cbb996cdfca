"""Which test images are explained."""

from __future__ import annotations

import numpy as np
import pytest

from gvr_bench.core.types import Split, Task
from gvr_bench.pipeline.steps.data import choose_cases


def split(targets: list[list[float]]) -> Split:
    n = len(targets)
    names = np.array([f"s{i}" for i in range(n)])
    blank = np.zeros((n, 1, 8, 8), np.uint8)
    return Split(names, names, np.array(targets, np.float32), lambda index: blank[index])


def chosen(targets: list[list[float]], task: Task, limit: int) -> list[tuple[int, int]]:
    position, output = choose_cases(split(targets), task, limit)
    assert position.dtype == output.dtype == np.int64
    return list(zip(position.tolist(), output.tolist(), strict=True))


FINDINGS = Task("multilabel", ("nodule", "mass", "effusion"))
MANY = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_no_positive_image_is_no_case() -> None:
    assert chosen([[0, 0, 0]] * 4, FINDINGS, 10) == []


def test_outputs_take_turns() -> None:
    assert chosen(MANY, FINDINGS, 5) == [(0, 0), (1, 1), (5, 2), (1, 0), (3, 1)]


def test_rare_output_is_not_crowded_out() -> None:
    targets = [[1, 0, 0]] * 50 + [[0, 0, 1]]
    assert chosen(targets, FINDINGS, 2) == [(0, 0), (50, 2)]


@pytest.mark.parametrize("limit", range(1, 8))
def test_a_larger_limit_only_adds_cases(limit: int) -> None:
    fewer, more = chosen(MANY, FINDINGS, limit), chosen(MANY, FINDINGS, limit + 1)
    assert fewer == more[: len(fewer)]
    assert len(fewer) == min(limit, 7)


def test_unlabelled_image_is_no_case() -> None:
    assert chosen([[np.nan, 1, 0], [1, 0, 0]], FINDINGS, 9) == [(1, 0), (0, 1)]


def test_multiclass_cases_use_the_source_class() -> None:
    task = Task("multiclass", ("0", "1", "2"), source=2, target=0)
    assert chosen([[2], [0], [1], [2], [2]], task, 2) == [(0, 2), (3, 2)]


def test_value_at_threshold_is_positive() -> None:
    task = Task("regression", ("BNP",), unit="ng/L", threshold=100.0)
    assert chosen([[99.9], [100.0], [np.nan], [2000.0]], task, 9) == [(1, 0), (3, 0)]
