"""Which records may stand in one table, and which in one row of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from numpy.typing import NDArray

from gvr_bench.report.folder import Run
from gvr_bench.report.metric_info import entry as declared
from gvr_bench.results.case_scores import EXPLANATIONS, Whose
from gvr_bench.results.records import Record

Scope = TypeVar("Scope", bound=Hashable)


@dataclass(frozen=True)
class Entry:
    """A record with the name of its run, and the value of each of its cases (N,) where known.

    Entries with the same `maker` and `recipe` differ by nothing but their seeds; both are empty
    where that is not known.
    """

    run: str
    record: Record
    values: NDArray[Any] | None = field(default=None, compare=False)
    maker: str = ""
    recipe: str = ""

    @property
    def column(self) -> tuple[str, str]:
        """What has one protocol per table."""
        return self.record.output, self.record.metric


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
        _entry(run, run.name if unique else str(run.path), record)
        for run in runs
        for record in run.records
        if wanted(record)
    ]


def _entry(run: Run, name: str, record: Record) -> Entry:
    whose, group = Whose.of(record), declared(record.metric).group
    recipes = run.values.recipes
    values = run.values.values.get((whose, record.metric)) if record.output == "all" else None
    made = "prediction" if record.explainer is None else EXPLANATIONS
    return Entry(
        name, record, values, recipes.get((whose, made), ""), recipes.get((whose, group), "")
    )


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


@dataclass
class _Slot:
    """One row in the making: the entries of each metric, and the runs and recipes they are of."""

    runs: list[str]
    maker: str
    cells: dict[str, list[Entry]] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is another seed, or another score, of what is in the row."""
        metric, seed = entry.record.metric, entry.record.seed
        if any(other.record.seed == seed for other in self.cells.get(metric, ())):
            return False
        at_home = entry.run in self.runs or (bool(entry.maker) and entry.maker == self.maker)
        recipes = {self.recipes.get(metric, ""), entry.recipe} - {""}
        return at_home and len(recipes) <= 1

    def add(self, entry: Entry) -> None:
        if entry.run not in self.runs:
            self.runs.append(entry.run)
        if entry.recipe:
            self.recipes[entry.record.metric] = entry.recipe
        self.cells.setdefault(entry.record.metric, []).append(entry)


def rows_of(
    group: Iterable[Entry], name: Callable[[Record], tuple[str, ...]]
) -> dict[tuple[str, ...], dict[str, list[Entry]]]:
    """Rows by name, each with the entries of its metrics, one per seed.

    What two runs share is shown once. Where they differ by the seed alone they are one row; where
    they differ otherwise, or one run holds two variants of an explainer, each is a row: other
    settings are never averaged as if they were other seeds.
    """
    seen: set[Hashable] = set()
    slots: dict[tuple[str, ...], list[_Slot]] = {}
    for entry in group:
        label = name(entry.record)
        fact = (label, *_identity(entry.record))
        if entry.record.keys and fact in seen:
            continue
        seen.add(fact)
        mine = slots.setdefault(label, [])
        slot = next((slot for slot in mine if slot.takes(entry)), None)
        if slot is None:
            slot = _Slot([entry.run], entry.maker)
            mine.append(slot)
        slot.add(entry)
    return _named(slots)


def _identity(record: Record) -> tuple[Hashable, ...]:
    return record.metric, record.seed, record.keys, record.value, record.status, record.reason


def _named(
    slots: dict[tuple[str, ...], list[_Slot]],
) -> dict[tuple[str, ...], dict[str, list[Entry]]]:
    """Add the names of runs and the variant's number to labels that need them."""
    named = {}
    for label, mine in slots.items():
        several = len({tuple(slot.runs) for slot in mine}) > 1
        for number, slot in enumerate(mine):
            earlier = sum(slot.runs == other.runs for other in mine[:number])
            suffix = f" [{', '.join(slot.runs)}]" if several else ""
            suffix += f" ({earlier + 1})" if earlier else ""
            named[(label[0] + suffix, *label[1:])] = slot.cells
    return named
