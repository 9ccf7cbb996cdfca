"""Which records may stand in one table, and which in one row of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gvr_bench.records import Record
from gvr_bench.report.folder import Run

Scope = TypeVar("Scope", bound=Hashable)


@dataclass(frozen=True)
class Entry:
    """A record with the name of its run."""

    run: str
    record: Record

    @property
    def column(self) -> tuple[str, str]:
        """What has one protocol per table."""
        return self.record.finding, self.record.metric


@dataclass
class _Group:
    protocols: dict[tuple[str, str], str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def agrees(self, entry: Entry) -> bool:
        protocol = entry.record.protocol
        return bool(protocol) and self.protocols.get(entry.column) == protocol

    def takes(self, entry: Entry) -> bool:
        protocol = entry.record.protocol
        return not protocol or self.protocols.get(entry.column, protocol) == protocol

    def add(self, entry: Entry) -> None:
        if entry.record.protocol:
            self.protocols[entry.column] = entry.record.protocol
        self.entries.append(entry)


def entries_of(runs: Sequence[Run], wanted: Callable[[Record], bool]) -> list[Entry]:
    """The records that are `wanted`, each with a name of its run that no other run has."""
    names = [run.name for run in runs]
    unique = len(set(names)) == len(names)
    return [
        Entry(run.name if unique else str(run.path), record)
        for run in runs
        for record in run.records
        if wanted(record)
    ]


def comparable(
    entries: Iterable[Entry], scope: Callable[[Record], Scope]
) -> list[tuple[Scope, list[list[Entry]]]]:
    """Split by scope, and each scope into groups in which no column has two protocols."""
    scopes: dict[Scope, dict[tuple[str, int], list[Entry]]] = {}
    for entry in entries:
        batches = scopes.setdefault(scope(entry.record), {})
        batches.setdefault((entry.run, entry.record.seed), []).append(entry)
    found = []
    for key, batches in scopes.items():
        groups: list[_Group] = []
        for batch in batches.values():
            _place(batch, groups)
        found.append((key, [group.entries for group in groups]))
    return found


def _place(batch: list[Entry], groups: list[_Group]) -> None:
    """Add one seed of one run where its protocols are at home, else to a group of its own."""
    bare = not any(entry.record.protocol for entry in batch)
    home = next(
        (group for group in groups if bare or any(group.agrees(entry) for entry in batch)), None
    )
    if home is None:
        home = _Group()
        groups.append(home)
    for entry in batch:
        options = [group for group in groups if group.agrees(entry)] or [home]
        group = options[0]
        if not group.takes(entry):
            group = _Group()
            groups.append(group)
        group.add(entry)


def rows_of(
    group: Iterable[Entry], name: Callable[[Record], tuple[str, ...]]
) -> dict[tuple[str, ...], dict[str, list[Record]]]:
    """Rows by name, each with the records of its metrics, one per seed.

    What two runs share is shown once. Where they differ, or one run holds two variants of an
    explainer, each is a row: other settings are never averaged as if they were other seeds.
    """
    seen: set[Hashable] = set()
    slots: dict[tuple[tuple[str, ...], str, int], dict[str, list[Record]]] = {}
    for entry in group:
        record = entry.record
        label = name(record)
        fact = (label, *_identity(record))
        if record.keys and fact in seen:
            continue
        seen.add(fact)
        variant = 1
        while _taken(slots.get((label, entry.run, variant), {}), record):
            variant += 1
        slots.setdefault((label, entry.run, variant), {}).setdefault(record.metric, []).append(
            record
        )
    return _named(slots)


def _identity(record: Record) -> tuple[Hashable, ...]:
    return record.metric, record.seed, record.keys, record.value, record.status, record.reason


def _taken(slot: dict[str, list[Record]], record: Record) -> bool:
    return any(other.seed == record.seed for other in slot.get(record.metric, ()))


def _named(
    slots: dict[tuple[tuple[str, ...], str, int], dict[str, list[Record]]],
) -> dict[tuple[str, ...], dict[str, list[Record]]]:
    """Add the run's name and the variant's number to labels that need them."""
    runs: dict[tuple[str, ...], set[str]] = {}
    for label, run, _ in slots:
        runs.setdefault(label, set()).add(run)
    named = {}
    for (label, run, variant), cells in slots.items():
        suffix = f" [{run}]" if len(runs[label]) > 1 else ""
        suffix += f" ({variant})" if variant > 1 else ""
        named[(label[0] + suffix, *label[1:])] = cells
    return named
