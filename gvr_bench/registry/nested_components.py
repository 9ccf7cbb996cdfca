"""Components that open others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from gvr_bench.core.components import Dataset, Explainer
from gvr_bench.registry import registry


def open_dataset(
    name: str, settings: dict[str, Any], profile: str, root: Path | None = None
) -> Dataset:
    """Open an installed data set, for one that changes the images of another.

    `settings` replace those of the profile `quick`, `standard` or `paper`; `root` is the folder
    from `--data-root`. Raises `UsageError` or `PluginError`.
    """
    return registry.installed().open_dataset(name, settings, profile, root)


def open_explainer(name: str, settings: dict[str, Any], profile: str) -> Explainer:
    """Open an installed explainer, for one that works on the explanations of another.

    `settings` replace those of the profile. Raises `UsageError` or `PluginError`.
    """
    cls, chosen = registry.installed().settings("explainer", name, profile, settings)
    return cast(type[Explainer], cls)(chosen)
