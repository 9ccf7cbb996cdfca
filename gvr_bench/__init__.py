"""Benchmark for explainers of image classifiers.

`load` opens a finished run to explain new images with its model:

```python
import gvr_bench

rationale = gvr_bench.load("reports/phantom-1a2b3c4d").explain("chest.png")
rationale.save("rationale.png")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gvr_bench.explain import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name == "load":
        from gvr_bench.explain import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
