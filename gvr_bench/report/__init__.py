"""Shows a finished run: in the terminal, as a page, as tables to paste. It computes nothing.

Importing this package stays cheap; import `terminal`, `html` or `exports` for the work.
"""

from __future__ import annotations

from pathlib import Path

from gvr_bench.core.errors import DataError

__all__ = ["check_run"]

_FILES = ("records.jsonl", "spec.toml", "environment.json")


def check_run(path: Path) -> Path:
    """Return `path` if it is the folder of a finished run.

    `cases.h5` may be absent: a run whose models all failed has no cases to show. Raises
    `DataError` naming what is missing and what to type.
    """
    if not path.exists():
        raise DataError(f"there is no run at {path}; make one with: gvr-bench run --out {path}")
    if path.is_file():
        raise DataError(
            f"{path} is a file, not the folder of a run; type: gvr-bench report {path.parent}"
        )
    missing = [name for name in _FILES if not (path / name).is_file()]
    if len(missing) == len(_FILES):
        raise DataError(
            f"{path} is not the folder of a run (it has no {', '.join(missing)}); "
            "make one with: gvr-bench run"
        )
    if not missing:
        return path
    spec = path / "spec.toml"
    again = f"finish it with: gvr-bench run {spec} --out {path}"
    if not spec.is_file():  # to run the defaults would put another run in its place
        again = f"put it back, or repeat the command that made it: gvr-bench run ... --out {path}"
    verb = "is" if len(missing) == 1 else "are"
    raise DataError(
        f"the run at {path} is incomplete: {', '.join(missing)} {verb} missing; {again}"
    )
