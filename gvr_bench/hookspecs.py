"""The hooks a plugin may implement, and when each is called."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from gvr_bench.api import Plugin

hookspec = pluggy.HookspecMarker("gvr_bench")


@hookspec
def gvr_plugins() -> Iterable[Plugin]:  # type: ignore[empty-body]
    """Yield the components this package supplies.

    Called whenever plugins are listed, so it must stay cheap: import no torch here.
    """


@hookspec
def gvr_stage_finished(kind: str, name: str, key: str, seconds: float, status: str) -> None:
    """Called after each stage of a run, computed (`done`), reused (`cached`) or `failed`.

    An exception raised here is shown as a warning and changes nothing.
    """
