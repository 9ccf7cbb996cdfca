"""The hooks a plugin may implement, and when each is called.

An implementation may name fewer arguments than the hook has. Exceptions of `gvr_stage_finished` and
`gvr_run_finished` are shown as warnings and do not affect the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from gvr_bench.core.components import Plugin

hookimpl = pluggy.HookimplMarker("gvr_bench")
hookspec = pluggy.HookspecMarker("gvr_bench")


@hookspec
def gvr_plugins() -> Iterable[Plugin]:  # type: ignore[empty-body]
    """Yield the components this package supplies.

    Called whenever plugins are listed, so it must stay cheap: import no torch here.
    """


@hookspec
def gvr_stage_finished(
    kind: str, name: str, key: str, seconds: float, status: str, folder: Path | None
) -> None:
    """Called after each stage of a run.

    `status` is `done`, `cached` (it was in the cache), `failed`, `skipped` (what it needs failed)
    or `n/a`. `seconds` is what computing it took, then or earlier. `folder` holds its value, to be
    read and not written, or is None where there is none; `history.json` in it holds the losses of
    a training.
    """


@hookspec
def gvr_run_finished(
    folder: Path, records: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]
) -> None:
    """Called when a run has ended and all files are in its `folder`, the page among them.

    `records` are the lines of `records.jsonl`, one mapping per score. `stages` are, in the order of
    the run, the arguments of `gvr_stage_finished`.
    """
