"""Benchmark for explainers of image classifiers.

`load` opens a finished run to explain new images with its model:

```python
import gvr_bench

rationale = gvr_bench.load("reports/phantom-1a2b3c4d").explain("chest.png")
rationale.save("rationale.png")
```

`read_results` reads the scores of finished runs as a data frame of pandas:

```python
scores = gvr_bench.read_results("reports/phantom-1a2b3c4d")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gvr_bench.explain import load
    from gvr_bench.results.run_folder import read_results

__version__ = "0.1.0"
__all__ = ["__version__", "load", "read_results"]


def __getattr__(name: str) -> Any:
    """Import on first use, for torch and pandas are slow to import."""
    if name == "load":
        from gvr_bench.explain import load

        return load
    if name == "read_results":
        from gvr_bench.results.run_folder import read_results

        return read_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
