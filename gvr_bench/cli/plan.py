"""What `--plan` shows: every stage, whether it is stored, and what it will take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from gvr_bench.cli.shell import print_json

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.pipeline.estimates import Estimate
    from gvr_bench.pipeline.plan import Plan

COLUMNS = ("stage", "component", "key", "state", "about", "disk", "memory", "from")
NAMES = ("kind", "name", "key", "state", "seconds", "disk_bytes", "memory_bytes", "from")


def show_plan(
    plan: Plan, cache: ArtifactCache, device: str, fresh: Sequence[str], *, as_json: bool
) -> None:
    """Show the stages of a plan, which of them are stored, and what the others will take."""
    from gvr_bench.pipeline.estimates import estimate

    found = estimate(plan, cache, device, fresh)
    if as_json:
        print_json(NAMES, [_row(one) for one in found])
        return
    _print_table(found)
    missing = [one for one in found if not one.stored]
    print(f"{len(missing)} of {len(found)} stages to compute in {cache.root}")
    if missing:
        print(summed_up(missing))
    _tell_machine(found)


def _tell_machine(found: Iterable[Estimate]) -> None:
    """Say where the numbers come from that were not measured here."""
    from gvr_bench.pipeline.estimates import reference

    if any(one.source == "reference" for one in found):
        print(f"reference: measured on {reference().machine}; another machine takes its own time")


def _print_table(found: Iterable[Estimate]) -> None:
    """Print the stages to stdout, in 80 columns where names allow."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for name in COLUMNS:
        numbers = name in ("about", "disk", "memory")
        table.add_column(
            name,
            justify="right" if numbers else "left",
            no_wrap=name != "component",
            overflow="fold",
        )
    for one in found:
        table.add_row(*map(Text, _cells(one)))
    Console().print(table)


def _row(one: Estimate) -> tuple[object, ...]:
    state = "stored" if one.stored else ""
    told = one.stage.kind, one.stage.name, one.stage.key[:16], state
    return (*told, one.seconds, one.disk, one.memory, one.source)


def _cells(one: Estimate) -> tuple[str, ...]:
    told = one.stage.kind, one.stage.name, one.stage.key[:8]
    if one.stored:
        return *told, "stored", "", "", "", ""
    return (
        *told,
        "",
        _shown(one.seconds, duration),
        _shown(one.disk, size),
        _shown(one.memory, size),
        one.source,
    )


def _shown(value: float | None, written: Callable[[float], str]) -> str:
    return "?" if value is None else written(value)


def summed_up(missing: Sequence[Estimate]) -> str:
    """Return the totals of what is to be computed, in one line."""
    known = [one for one in missing if one.seconds is not None]
    said = []
    if known:
        said.append(f"about {duration(math.fsum(one.seconds or 0.0 for one in known))}")
        said.append(size(math.fsum(one.disk or 0.0 for one in known)))
        memory = [one.memory for one in known if one.memory is not None]
        if memory:
            said.append(f"at most {size(max(memory))} of memory")
    unknown = len(missing) - len(known)
    stages = f"{unknown} stage{'s' if unknown > 1 else ''} unknown" if unknown else ""
    return "; ".join(filter(None, (", ".join(said), stages)))


def duration(seconds: float) -> str:
    """Write a time to about two digits."""
    for least, unit, name in ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"


def size(count: float) -> str:
    """Write a number of bytes to about two digits."""
    for least, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= least:
            value = count / least
            return f"{value:,.0f} {name}" if value >= 10 else f"{value:.1f} {name}"
    return f"{max(count / 1e3, 0.1):.1f} kB"
