"""What `run --dry-run` shows: every stage, whether it is cached, and what a like one took."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gvr_bench.cli.shell import print_json, print_table
from gvr_bench.core.stage import Stage, canonical

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.pipeline.plan import Plan

UNITS = ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan; `seconds` is what a like one took, None where none was measured."""

    stage: Stage
    cached: bool
    seconds: float | None


def show_plan(
    plan: Plan, cache: ArtifactCache, device: str, recompute: Collection[str], *, as_json: bool
) -> None:
    """Show the stages of a plan, which of them are cached, and what like ones took."""
    rows = planned_stages(plan, cache, device, recompute)
    cells = [
        (row.stage.kind, row.stage.name, row.stage.key[:16], "cached" if row.cached else "")
        for row in rows
    ]
    if as_json:
        fields = ("kind", "name", "key", "state", "seconds")
        print_json(fields, [(*cell, row.seconds) for cell, row in zip(cells, rows, strict=True)])
        return
    seconds = ["" if row.seconds is None else duration(row.seconds) for row in rows]
    columns = ("stage", "component", "key", "state", "took before")
    print_table(columns, [(*cell, text) for cell, text in zip(cells, seconds, strict=True)])
    missing = [row for row in rows if not row.cached]
    measured = [row.seconds for row in missing if row.seconds is not None]
    line = f"{len(missing)} of {len(rows)} stages to compute in {cache.root}"
    if measured:
        line += f"; like ones of {len(measured)} of them took {duration(sum(measured))} here"
    print(line)


def planned_stages(
    plan: Plan, cache: ArtifactCache, device: str, recompute: Collection[str]
) -> list[PlannedStage]:
    """Look up every stage of a plan in the cache."""
    again = plan.stages_to_recompute(recompute)
    measured = measured_seconds(cache, device)
    rows = []
    for stage in plan.stages:
        cached = stage.key not in again and cache.has(stage)
        above = {s.kind: s.settings for s in stage.lineage()}
        alike = () if cached else measured.get(_likeness(stage.key_content(), above), ())
        rows.append(PlannedStage(stage, cached, statistics.median(alike) if alike else None))
    return rows


def measured_seconds(cache: ArtifactCache, device: str) -> Mapping[str, list[float]]:
    """Return what the values of a cache took on a device, by `_likeness`."""
    from gvr_bench.cache.gc import stage_folders
    from gvr_bench.cache.integrity import read_meta
    from gvr_bench.core.errors import CacheError

    contents: dict[str, dict[str, Any]] = {}
    for folder in stage_folders(cache.root):
        with contextlib.suppress(CacheError):
            meta, content = read_meta(folder)
            contents[meta.key] = content

    def ancestors(key: str) -> list[dict[str, Any]]:
        inputs = [text.split()[-1] for text in contents[key]["inputs"]]
        return [contents[key], *(content for needed in inputs for content in ancestors(needed))]

    seconds: dict[str, list[float]] = defaultdict(list)
    for key, content in contents.items():
        with contextlib.suppress(KeyError):  # an input is gone from the cache
            above = {a["kind"]: a["settings"] for a in ancestors(key)}
            if content["device"] == device:
                seconds[_likeness(content, above)].append(content["seconds"])
    return seconds


def _likeness(content: Mapping[str, Any], above: Mapping[str, Mapping[str, Any]]) -> str:
    """Equal for stages of the same kind and component, on images of the same size and number."""
    component = [content[name] for name in ("kind", "name", "version", "settings")]
    size = above.get("data", {}).get("size")
    return canonical([*component, size, above.get("cases", {}).get("max_cases")])


def duration(seconds: float) -> str:
    """Write a time to about two digits."""
    for least, unit, name in UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"
