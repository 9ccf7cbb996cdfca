"""Maps of another output: which output that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from made_up_inputs import question

from gvr_bench.core.types import Task
from gvr_bench.pipeline.steps import perturbed_explanations
from gvr_bench.pipeline.steps.perturbed_explanations import other_target

FOUR = Task("multiclass", ("a", "b", "c", "d"), source=3, target=1)
THREE = Task("multilabel", ("mass", "fluid", "air"))


@pytest.mark.parametrize(
    ("task", "source", "target", "expected"),
    [
        (FOUR, 3, 1, (1, 3)),  # the way back
        (THREE, 0, 0, (1, 1)),
        (THREE, 2, 2, (0, 0)),  # the first follows the last
    ],
)
def test_another_output_is_explained(
    monkeypatch: pytest.MonkeyPatch, task: Task, source: int, target: int, expected: Any
) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def read(_: object, __: Task, source: np.ndarray, target: np.ndarray) -> None:
        seen.append((source, target))

    monkeypatch.setattr(perturbed_explanations, "read_targets", read)
    other_target(None, question(task, 2, source, target))  # type: ignore[arg-type]
    assert [of.tolist() for of in seen[0]] == [[index] * 2 for index in expected]
    assert torch.tensor(seen[0][0]).dtype == torch.int64
