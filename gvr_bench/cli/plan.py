"""What `run --dry-run` shows: what is cached, and what like stages took, a row per explainer."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gvr_bench.cli.shell import print_json, print_table
from gvr_bench.core.stage import canonical

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.pipeline.plan import Plan

UNITS = ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))


def show_plan(
    plan: Plan, cache: ArtifactCache, device: str, recompute: Collection[str], *, as_json: bool
) -> None:
    again, measured = plan.stages_to_recompute(recompute), measured_seconds(cache, device)
    rows, parts = [], defaultdict(list)
    for stage in plan.stages:
        cached = stage.key not in again and cache.has(stage)
        above = {s.kind: s.settings for s in stage.lineage()}
        alike = () if cached else measured.get(_likeness(stage.key_content(), above), ())
        state = "cached" if cached else ""
        seconds = statistics.median(alike) if alike else None
        rows.append((stage.kind, stage.name, stage.key[:16], state, seconds))
        kind = "explainer" if "explanations" in above else stage.kind
        parts[kind, stage.name].append(rows[-1])
    if as_json:
        print_json(("kind", "name", "key", "state", "seconds"), rows)
        return
    table = [(*names, *_missing(stages)) for names, stages in parts.items()]
    count, took = _missing(rows)
    print_table(("part", "component", "to compute", "took before"), table)
    like = f"; like ones took {took} here" if took else ""
    print(f"{count} stages to compute in {cache.root}{like}")


def _missing(rows: Sequence[tuple[str, str, str, str, float | None]]) -> tuple[str, str]:
    """How many of these stages are not cached, and what like ones took."""
    missing = [seconds for *_, state, seconds in rows if not state]
    known = [seconds for seconds in missing if seconds is not None]
    of = f" ({len(known)} of them)" if 0 < len(known) < len(missing) else ""
    return f"{len(missing)} of {len(rows)}", duration(sum(known)) + of if known else ""


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
    for least, unit, name in UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"
