"""Do my components keep the rules? For the tests of those who write plugins.

```python
from gvr_bench.testing import assert_kept, check_explainer
from gvr_smooth.explainer import Smooth


def test_smooth_keeps_the_rules() -> None:
    assert_kept(check_explainer(Smooth, samples=2))
```

Each `check_...` tries a component on tiny random models and returns a `CheckResult` per rule: what is
broken comes with what to write instead. `gvr-bench plugins check NAME` prints them as a table.
"""

from gvr_bench.testing.check_report import CheckResult, assert_passes
from gvr_bench.testing.datasets import check_dataset
from gvr_bench.testing.explainers import check_explainer
from gvr_bench.testing.trained_components import (
    Pictures,
    check_encoder,
    check_generator,
    check_head,
)

__all__ = [
    "CheckResult",
    "Pictures",
    "assert_passes",
    "check_dataset",
    "check_encoder",
    "check_explainer",
    "check_generator",
    "check_head",
]
