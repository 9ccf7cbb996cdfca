"""From which prediction on a model sees a finding, and what it predicts without one."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gvr_bench.core.types import Bools, Floats, Task


def decide(
    outputs: Tensor, targets: Floats, task: Task, threshold: tuple[float, ...] | None = None
) -> dict[str, Any]:
    """Return the threshold of a positive prediction, and typical predictions without the finding.

    Outputs (N, K) of validation images with their targets (N, columns) in the task's unit, and
    the user's own thresholds (K,) if any ->

    - `threshold` (K,): the task's for regression; else the user's; else the prediction with the
      highest Youden index, for findings are rare and 0.5 would call none. `threshold_source` says
      in words which.
    - `reference_value` (K, K): row k, column j is the median prediction of output k among images of
      class j; all columns are alike, those without finding k, where the task has no classes.
    """
    positive = torch.from_numpy(task.positives(targets))
    k, values = len(task.outputs), task.activate(outputs)
    if task.kind == "multiclass":
        reference_value = [[_median(values[positive[:, j], i]) for j in range(k)] for i in range(k)]
        source = "the largest output decides"
        return {"threshold": [0.5] * k, "threshold_source": source,
                "reference_value": reference_value}  # fmt: skip
    rest = [_median(values[~positive[:, i], i]) for i in range(k)]
    if task.kind == "regression":
        limits, source = [task.scale.apply_one(cast(float, task.threshold))] * k, "of the task"
    elif threshold is not None:
        limits, source = list(threshold), "setting of the head"
    else:
        limits = [youden(values[:, i].numpy(), positive[:, i].numpy()) for i in range(k)]
        source = f"highest Youden index on {len(values)} validation images"
    reference_value = [[min(rest[i], limits[i])] * k for i in range(k)]
    return {"threshold": limits, "threshold_source": source, "reference_value": reference_value}


def _median(values: Tensor) -> float:
    return float(values.median()) if len(values) else 0.0


def youden(prediction: Floats, positive: Bools) -> float:
    """Return the threshold with the highest sensitivity + specificity; 0.5 for one class."""
    from sklearn.metrics import roc_curve

    if positive.all() or not positive.any():
        return 0.5
    false, true, thresholds = roc_curve(positive, prediction)
    return float(thresholds[1:][np.argmax((true - false)[1:])])
