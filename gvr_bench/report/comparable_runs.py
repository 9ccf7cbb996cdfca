"""Which scores may share a table, and which of them are one row of it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar

import pandas as pd

from gvr_bench.report.metric_info import entry
from gvr_bench.report.run import Run
from gvr_bench.results.case_scores import EXPLANATIONS, Whose
from gvr_bench.results.records import Fact, Record, model_label, run_names

Key = TypeVar("Key", bound=Hashable)
Grid = dict[tuple[str, ...], dict[str, list[Any]]]
"""Names of a row -> metric -> its scores, one per seed, with the fields of a `Record`."""

_MORE = ("run", "model", "group", "maker", "recipe", "values")
_MAX_FACT = 24  # characters


def model_of(record: Record) -> str:
    return model_label(record.generator, record.encoder, record.head)


def scores_of(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per record.

    Besides the fields of the record: the names of its `run` and `model`, the `group` of its metric,
    the recipes of its explanations (`maker`, the run where that is unknown) and of its scores
    (`recipe`), and the `values` of its cases (N,) or None. Recipes differ by all but the seed.
    """
    names = run_names([run.path for run in runs])
    rows = [
        _row(run, name, record)
        for run, name in zip(runs, names, strict=True)
        for record in run.records
    ]
    columns = [*(field.name for field in fields(Record)), *_MORE]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def lines(scores: pd.DataFrame) -> list[Any]:
    return list(map(_line(tuple(scores.columns))._make, scores.to_numpy()))  # not column by column


@cache
def _line(columns: tuple[str, ...]) -> Any:
    return namedtuple("Line", columns)


def _row(run: Run, name: str, record: Record) -> dict[str, object]:
    whose, group = Whose.of(record), entry(record.metric).group
    recipes = run.values.recipes
    stage = "prediction" if record.explainer is None else EXPLANATIONS
    values = run.values.values.get((whose, record.metric)) if record.output == "all" else None
    return vars(record) | {
        "run": name,
        "model": model_of(record),
        "group": group,
        "maker": recipes.get((whose, stage)) or name,
        "recipe": recipes.get((whose, group), ""),
        "values": values,
    }


@dataclass(frozen=True)
class Part:
    """Scores that may share a table; `apart` says how other parts of the same scope differ."""

    scope: tuple[str, ...]
    title: str
    scores: pd.DataFrame
    apart: tuple[str, ...]


def comparable(
    scores: pd.DataFrame, scope: Sequence[str], protocols: Mapping[str, Mapping[str, Fact]]
) -> list[Part]:
    """Split by scope and protocol.

    Runs share a part if they agree on the protocol of every score that both have; `title` counts
    the parts where one scope has several.
    """
    parts = []
    for key, mine in scores.groupby(list(scope), sort=False):
        facts: dict[tuple[str, int], dict[Hashable, str]] = {}
        for row in lines(mine):
            facts.setdefault((row.run, row.seed), {})[row.output, row.metric] = row.protocol
        number = agreeing(facts)
        numbers = pd.Series([number[row.run, row.seed] for row in lines(mine)], mine.index)
        groups = [group for _, group in mine.groupby(numbers, sort=False)]
        merged = [_facts(group, protocols) for group in groups]
        for i, group in enumerate(groups):
            title = "" if len(groups) == 1 else f", protocol {i + 1} of {len(groups)}"
            apart = tuple(
                f"Not comparable with protocol {j + 1}: {_difference(merged[i], other)}."
                for j, other in enumerate(merged)
                if j != i
            )
            parts.append(Part(tuple(map(str, key)), title, group, apart))
    return parts


def agreeing(facts: Mapping[Key, Mapping[Hashable, str]]) -> dict[Key, int]:
    """Number what agrees on all facts that it shares with others, and on at least one, alike."""
    groups: list[dict[Hashable, str]] = []
    numbers = {}
    for key, mine in facts.items():
        matches = [i for i, group in enumerate(groups) if _agree(mine, group)]
        if not matches:
            matches = [len(groups)]
            groups.append({})
        groups[matches[0]] |= mine
        numbers[key] = matches[0]
    return numbers


def _agree(mine: Mapping[Hashable, str], theirs: Mapping[Hashable, str]) -> bool:
    shared = mine.keys() & theirs.keys()
    return bool(shared) and all(mine[name] == theirs[name] for name in shared)


def rows_of(scores: pd.DataFrame, by: Sequence[str]) -> Grid:
    """Rows of a table, named by the columns `by`.

    Results that several runs share are taken once. Runs that differ by the seed alone are one row;
    where they differ otherwise each has a row with the run's name: other settings are never
    averaged as if they were other seeds.
    """
    successful_first = scores.sort_values("status", key=lambda s: s != "ok", kind="stable")
    once = (
        successful_first.drop_duplicates([*by, "metric", "seed", "maker", "recipe"])
        .drop_duplicates([*by, "metric", "seed", "keys", "value", "status", "reason"])
        .sort_index()
    )
    grid: Grid = {}
    for names, mine in once.groupby(list(by), sort=False):
        facts: dict[str, dict[Hashable, str]] = {}
        for row in lines(mine):
            known = facts.setdefault(row.run, {EXPLANATIONS: row.maker})
            if row.recipe:
                known[row.group] = row.recipe
        number = agreeing(facts)
        variants = [[run for run in number if number[run] == i] for i in set(number.values())]
        for runs in variants:
            suffix = f" [{', '.join(runs)}]" if len(variants) > 1 else ""
            first, *rest = map(str, names)
            cells = grid.setdefault((first + suffix, *rest), {})
            for row in lines(mine[mine["run"].isin(runs)]):
                cells.setdefault(row.metric, []).append(row)
    return grid


def _facts(scores: pd.DataFrame, protocols: Mapping[str, Mapping[str, Fact]]) -> dict[str, Fact]:
    """The facts behind the protocols of a part, and the version of each of its metrics."""
    facts: dict[str, Fact] = {}
    for row in lines(scores):
        facts |= protocols.get(row.protocol, {})
        facts[f"version of {entry(row.metric).title}"] = row.metric_version
    return facts


def _difference(mine: Mapping[str, Fact], theirs: Mapping[str, Fact]) -> str:
    lines = []
    for name in mine:
        if name in theirs and mine[name] != theirs[name]:
            here, there = _shown(mine[name]), _shown(theirs[name])
            lines.append(f"{name}: {here} here, {there} there" if here != there else name)
    return "; ".join(lines) or "the runs do not record what differs; repeat them to find out"


def _shown(fact: Fact) -> str:
    text = "none" if fact is None else f"{fact:g}" if isinstance(fact, float) else str(fact)
    return text if len(text) <= _MAX_FACT else text[: _MAX_FACT - 1] + "…"
