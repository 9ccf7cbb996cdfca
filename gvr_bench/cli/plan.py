"""What `run --dry-run` shows: what is cached, and what like stages took, a row per explainer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gvr_bench.cli.shell import print_json, print_table
from gvr_bench.core.stage import depends_on

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.pipeline.plan import Plan


def show_plan(
    plan: Plan, cache: ArtifactCache, device: str, recompute: Collection[str], *, as_json: bool
) -> None:
    from gvr_bench.pipeline.expected_time import ExpectedTime

    again = plan.stages_to_recompute(recompute)
    expected = ExpectedTime(plan, cache, device)
    rows, parts = [], defaultdict(list)
    for stage in plan.stages:
        cached = stage.key not in again and cache.has(stage)
        state = "cached" if cached else ""
        seconds = None if cached else expected.seconds.get(stage.key)
        rows.append((stage.kind, stage.name, stage.key[:16], state, seconds))
        kind = "explainer" if depends_on(stage, "explanations") else stage.kind
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
    from gvr_bench.pipeline.expected_time import rough_duration

    missing = [seconds for *_, state, seconds in rows if not state]
    known = [seconds for seconds in missing if seconds is not None]
    of = f" ({len(known)} of them)" if 0 < len(known) < len(missing) else ""
    return f"{len(missing)} of {len(rows)}", rough_duration(sum(known)) + of if known else ""
