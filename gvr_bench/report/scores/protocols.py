"""Why two tables of the same model stand apart: which facts their protocols differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gvr_bench.report.folder import Run
from gvr_bench.report.metric_info import entry
from gvr_bench.report.scores.grouping import Entry
from gvr_bench.results.run_folder import Fact

_OF_ONE_SCORE = ("metric", "metric version", "output")
_LONG = 24

Known = Mapping[str, Mapping[str, Fact]]


def known_protocols(runs: Sequence[Run]) -> Known:
    """What each protocol of the runs consists of."""
    return {name: facts for run in runs for name, facts in run.protocols.items()}


def told_apart(groups: Sequence[Sequence[Entry]], known: Known) -> list[tuple[str, ...]]:
    """One line per group and other group: the facts that differ, as `limit: 100 here, 50 there`."""
    merged = [_facts(group, known) for group in groups]
    return [
        tuple(
            f"not comparable with protocol {number}: {_difference(mine, theirs)}"
            for number, theirs in enumerate(merged, start=1)
            if theirs is not mine
        )
        for mine in merged
    ]


def _facts(group: Sequence[Entry], known: Known) -> dict[str, Fact]:
    """What is asked in a group, and the version of each of its scores."""
    found: dict[str, Fact] = {}
    for item in group:
        facts = known.get(item.record.protocol, {})
        found |= {name: fact for name, fact in facts.items() if name not in _OF_ONE_SCORE}
        found[f"version of {entry(item.record.metric).title}"] = item.record.metric_version
    return found


def _difference(mine: Mapping[str, Fact], theirs: Mapping[str, Fact]) -> str:
    lines = []
    for name in mine:
        if name in theirs and mine[name] != theirs[name]:
            here, there = _shown(mine[name]), _shown(theirs[name])
            lines.append(f"{name}: {here} here, {there} there" if here != there else name)
    return "; ".join(lines) or "the runs do not say in what; repeat them to find out"


def _shown(fact: Fact) -> str:
    text = "none" if fact is None else f"{fact:g}" if isinstance(fact, float) else str(fact)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
