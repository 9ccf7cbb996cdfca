"""Checks for the tests of plugin authors.

```python
from gvr_bench.testing import assert_passes, check_explainer
from gvr_smooth.explainer import Smooth


def test_smooth_passes_all_checks() -> None:
    assert_passes(check_explainer(Smooth, samples=2))
```

Each `check_...` runs a component on tiny random models and returns a `CheckResult` per check; a
failed one says what to write instead. `gvr-bench plugins check NAME` prints them as a table.
"""

from typing import Any

from gvr_bench.core.types import Kind
from gvr_bench.testing.checks import CheckResult, CheckSuite, assert_passes
from gvr_bench.testing.datasets import DATASETS, check_dataset
from gvr_bench.testing.explainers import EXPLAINERS, check_explainer
from gvr_bench.testing.metrics import METRICS, check_metric, metric_input
from gvr_bench.testing.networks import (
    ENCODERS,
    GENERATORS,
    HEADS,
    check_encoder,
    check_generator,
    check_head,
)
from gvr_bench.testing.toy_models import Pictures

__all__ = [
    "CheckResult",
    "Pictures",
    "assert_passes",
    "check_dataset",
    "check_encoder",
    "check_explainer",
    "check_generator",
    "check_head",
    "check_metric",
    "metric_input",
]

SUITES: dict[Kind, CheckSuite[Any]] = {
    suite.kind: suite for suite in (DATASETS, GENERATORS, ENCODERS, HEADS, EXPLAINERS, METRICS)
}
