"""Benchmark for explainers of image classifiers.

`load` opens a finished run to explain new images with its model:

```python
import gvr_bench

rationale = gvr_bench.load("reports/phantom-1a2b3c4d").explain("chest.png")
rationale.save("rationale.png")
```

`run` is the command of that name, and `open` opens what it wrote: scores as data frames of pandas,
cases as pictures.

```python
run = gvr_bench.run(dataset="phantom", explainer=["gvr", "saliency"])
run.scoreboard()
```

`read_results` reads the scores of several runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gvr_bench.explain.load import load
    from gvr_bench.notebook import open_run as open  # noqa: A004 - gvr_bench.open
    from gvr_bench.notebook import run
    from gvr_bench.results.run_folder import read_results

__version__ = "0.1.0"
__all__ = ["__version__", "load", "open", "read_results", "run"]

_HOMES = {
    "load": ("gvr_bench.explain.load", "load"),
    "open": ("gvr_bench.notebook", "open_run"),
    "read_results": ("gvr_bench.results.run_folder", "read_results"),
    "run": ("gvr_bench.notebook", "run"),
}


def __getattr__(name: str) -> Any:
    """Import on first use, for torch and pandas are slow to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, function = _HOMES[name]
    return getattr(import_module(module), function)
